// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {EIP712} from "solady/utils/EIP712.sol";
import {IDidRegistry} from "./interfaces/IDidRegistry.sol";
import {IStudyRegistry} from "./interfaces/IStudyRegistry.sol";
import {Roles} from "./libraries/Roles.sol";
import "./libraries/TypeHashes.sol" as Types;

/// @title The boards' half of StudyRegistry: members, quorum, runners, forms for broad consents
/// @notice See IStudyRegistry, where everything is documented.
abstract contract Boards is IStudyRegistry, EIP712 {
    struct Board {
        address[] members;
        uint8 quorum;
        uint256 nonce;
    }

    IDidRegistry public immutable didRegistry;

    mapping(bytes32 board => Board data) internal _boards;
    mapping(bytes32 board => mapping(address runner => uint48 until)) private _runners;
    mapping(bytes32 board => mapping(bytes32 form => bool accepted)) internal _boardForms;

    constructor(IDidRegistry didRegistry_) {
        didRegistry = didRegistry_;
    }

    /// @inheritdoc IStudyRegistry
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @inheritdoc IStudyRegistry
    function boardOf(bytes32 board) external view returns (address[] memory, uint8, uint256) {
        Board storage b = _boards[board];
        return (b.members, b.quorum, b.nonce);
    }

    /// @inheritdoc IStudyRegistry
    function isAccredited(bytes32 board, address runner) external view returns (bool) {
        return _runners[board][runner] > block.timestamp;
    }

    /// @inheritdoc IStudyRegistry
    function createBoard(address[] calldata members, uint8 quorum, bytes32 salt) external returns (bytes32 board) {
        board = keccak256(abi.encode(members, quorum, salt));
        if (_boards[board].quorum != 0) return board;
        _setBoard(board, members, quorum);
        emit BoardCreated(board, members, quorum);
    }

    /// @inheritdoc IStudyRegistry
    function changeBoard(bytes32 board, address[] calldata members, uint8 quorum, Vote[] calldata votes) external {
        bytes32 list = keccak256(abi.encodePacked(members));
        _requireQuorum(
            board, keccak256(abi.encode(Types.CHANGE_BOARD_TYPEHASH, board, list, quorum, _boards[board].nonce)), votes
        );
        _setBoard(board, members, quorum);
        emit BoardChanged(board, members, quorum);
    }

    /// @inheritdoc IStudyRegistry
    function accredit(bytes32 board, address runner, uint48 until, Vote[] calldata votes) external {
        _requireQuorum(
            board, keccak256(abi.encode(Types.ACCREDIT_TYPEHASH, board, runner, until, _boards[board].nonce)), votes
        );
        _runners[board][runner] = until;
        emit RunnerAccredited(board, runner, until);
    }

    /// @inheritdoc IStudyRegistry
    function acceptForm(bytes32 board, bytes32 form, bool accepted, Vote[] calldata votes) external {
        _requireQuorum(
            board, keccak256(abi.encode(Types.ACCEPT_FORM_TYPEHASH, board, form, accepted, _boards[board].nonce)), votes
        );
        _boardForms[board][form] = accepted;
        emit BoardFormAccepted(board, form, accepted);
    }

    function _setBoard(bytes32 board, address[] calldata members, uint8 quorum) private {
        if (quorum == 0 || quorum > members.length) revert BadQuorum();
        address previous;
        for (uint256 i; i < members.length; ++i) {
            if (members[i] <= previous) revert MembersNotAscending();
            previous = members[i];
        }
        _boards[board].members = members;
        _boards[board].quorum = quorum;
    }

    /// @dev Counts distinct members, never signatures: one member cannot be a quorum.
    function _requireQuorum(bytes32 board, bytes32 structHash, Vote[] calldata votes) internal {
        Board storage b = _boards[board];
        if (b.quorum == 0) revert UnknownBoard();
        if (votes.length < b.quorum) revert TooFewVotes(b.quorum);
        bytes32 digest = _hashTypedData(structHash);
        address[] memory members = b.members;
        address previous;
        for (uint256 i; i < votes.length; ++i) {
            address member = votes[i].member;
            if (member <= previous) revert VotesNotAscending();
            previous = member;
            if (!_contains(members, member)) revert NotAMember(member);
            if (!didRegistry.isSignedBy(member, Roles.CONTROLLER, digest, votes[i].signature)) revert BadSignature();
        }
        ++b.nonce;
    }

    function _contains(address[] memory members, address who) private pure returns (bool) {
        for (uint256 i; i < members.length; ++i) {
            if (members[i] == who) return true;
        }
        return false;
    }

    function _isSigned(address who, bytes32 structHash, bytes calldata signature) internal view returns (bool) {
        return didRegistry.isSignedBy(who, Roles.CONTROLLER, _hashTypedData(structHash), signature);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Consentum", "1");
    }
}
