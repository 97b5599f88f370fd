// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Boards} from "./Boards.sol";
import {IDidRegistry} from "./interfaces/IDidRegistry.sol";
import {IStudyRegistry} from "./interfaces/IStudyRegistry.sol";
import "./libraries/TypeHashes.sol" as Types;

/// @title StudyRegistry
/// @notice See IStudyRegistry, where everything is documented.
contract StudyRegistry is Boards {
    uint8 private constant MAX_ACCESS = 3;

    mapping(bytes32 study => Study data) private _studies;
    mapping(bytes32 study => mapping(uint32 version => Terms terms)) private _terms;
    mapping(bytes32 study => mapping(bytes32 form => uint32 version)) private _forms;
    mapping(bytes32 study => mapping(uint32 version => bytes32[] forms)) private _listed;
    mapping(bytes32 study => mapping(address member => bool allowed)) private _members;
    mapping(bytes32 study => uint256 next) public leadNonce;

    constructor(IDidRegistry didRegistry_) Boards(didRegistry_) {}

    // Reads

    /// @inheritdoc IStudyRegistry
    function study(bytes32 id) external view returns (Study memory) {
        return _studies[id];
    }

    /// @inheritdoc IStudyRegistry
    function termsOf(bytes32 id, uint32 version) external view returns (Terms memory) {
        return _terms[id][version];
    }

    /// @inheritdoc IStudyRegistry
    function isOpen(bytes32 id) external view returns (bool) {
        Study storage s = _studies[id];
        return s.status == Status.Approved && block.timestamp <= s.approvedUntil;
    }

    /// @inheritdoc IStudyRegistry
    function isMember(bytes32 id, address who) external view returns (bool) {
        return who != address(0) && (_studies[id].lead == who || _members[id][who]);
    }

    /// @inheritdoc IStudyRegistry
    function isFormApproved(bytes32 id, bytes32 form, bool scopeIsBoard) external view returns (bool) {
        Study storage s = _studies[id];
        if (scopeIsBoard) return _boardForms[s.board][form];
        uint32 since = _forms[id][form];
        return since != 0 && since >= s.formsFrom && since <= s.version;
    }

    // Studies, by their lead

    /// @inheritdoc IStudyRegistry
    function propose(
        address lead,
        bytes32 board,
        Terms calldata terms,
        bytes32[] calldata forms,
        bytes32 salt,
        bytes calldata signature
    ) external returns (bytes32 id) {
        if (_boards[board].quorum == 0) revert UnknownBoard();
        bytes32 list = keccak256(abi.encodePacked(forms));
        id = keccak256(abi.encode(Types.PROPOSE_TYPEHASH, lead, board, _hashTerms(terms), list, salt));
        if (_studies[id].status != Status.None) return id;
        if (!_isSigned(lead, id, signature)) revert BadSignature();
        Study storage s = _studies[id];
        (s.lead, s.board, s.status) = (lead, board, Status.Proposed);
        _addVersion(id, s, terms, forms);
    }

    /// @inheritdoc IStudyRegistry
    function amend(bytes32 id, Terms calldata terms, bytes32[] calldata forms, bytes calldata signature) external {
        Study storage s = _studies[id];
        if (s.status == Status.None || s.status == Status.Closed) revert WrongStatus(s.status);
        bytes32 list = keccak256(abi.encodePacked(forms));
        bytes32 structHash = keccak256(abi.encode(Types.AMEND_TYPEHASH, id, s.proposed + 1, _hashTerms(terms), list));
        if (!_isSigned(s.lead, structHash, signature)) revert BadSignature();
        if (s.status == Status.Rejected) s.status = Status.Proposed;
        _addVersion(id, s, terms, forms);
    }

    /// @inheritdoc IStudyRegistry
    function setMember(bytes32 id, address member, bool allowed, bytes calldata signature) external {
        bytes32 structHash = keccak256(abi.encode(Types.SET_MEMBER_TYPEHASH, id, member, allowed, leadNonce[id]));
        _spendByLead(id, structHash, signature);
        _members[id][member] = allowed;
        emit MemberSet(id, member, allowed);
    }

    /// @inheritdoc IStudyRegistry
    function withdraw(bytes32 id, bytes calldata signature) external {
        _spendByLead(id, keccak256(abi.encode(Types.WITHDRAW_TYPEHASH, id, leadNonce[id])), signature);
        _studies[id].status = Status.Closed;
        emit StudyClosed(id);
    }

    // Studies, by their board

    /// @inheritdoc IStudyRegistry
    function approve(bytes32 id, uint32 version, uint48 until, Vote[] calldata votes) external {
        Study storage s = _live(id, version);
        _requireQuorum(
            s.board, keccak256(abi.encode(Types.APPROVE_TYPEHASH, id, version, until, _boards[s.board].nonce)), votes
        );
        bool needsNewConsents = s.version != version && _widens(_terms[id][s.version], _terms[id][version]);
        if (needsNewConsents) s.formsFrom = version;
        bytes32[] storage listed = _listed[id][version];
        for (uint256 i; i < listed.length; ++i) {
            if (_forms[id][listed[i]] == 0) _forms[id][listed[i]] = version;
        }
        (s.version, s.approvedUntil, s.status) = (version, until, Status.Approved);
        emit StudyApproved(id, version, until, needsNewConsents);
    }

    /// @inheritdoc IStudyRegistry
    function reject(bytes32 id, uint32 version, bytes32 reason, Vote[] calldata votes) external {
        Study storage s = _live(id, version);
        if (s.version == version) revert WrongVersion(s.proposed);
        _requireQuorum(
            s.board, keccak256(abi.encode(Types.REJECT_TYPEHASH, id, version, reason, _boards[s.board].nonce)), votes
        );
        if (s.status == Status.Proposed) s.status = Status.Rejected;
        emit StudyRejected(id, version, reason);
    }

    /// @inheritdoc IStudyRegistry
    function suspend(bytes32 id, Vote[] calldata votes) external {
        Study storage s = _studies[id];
        if (s.status != Status.Approved) revert WrongStatus(s.status);
        _requireQuorum(s.board, keccak256(abi.encode(Types.SUSPEND_TYPEHASH, id, _boards[s.board].nonce)), votes);
        s.status = Status.Suspended;
        emit StudySuspended(id);
    }

    /// @inheritdoc IStudyRegistry
    function close(bytes32 id, Vote[] calldata votes) external {
        Study storage s = _studies[id];
        if (s.status == Status.None || s.status == Status.Closed) revert WrongStatus(s.status);
        _requireQuorum(s.board, keccak256(abi.encode(Types.CLOSE_TYPEHASH, id, _boards[s.board].nonce)), votes);
        s.status = Status.Closed;
        emit StudyClosed(id);
    }

    // Inside

    function _spendByLead(bytes32 id, bytes32 structHash, bytes calldata signature) private {
        Study storage s = _studies[id];
        if (s.status == Status.None || s.status == Status.Closed) revert WrongStatus(s.status);
        if (!_isSigned(s.lead, structHash, signature)) revert BadSignature();
        ++leadNonce[id];
    }

    /// @dev The study, if its board can still decide on its newest proposed version.
    function _live(bytes32 id, uint32 version) private view returns (Study storage s) {
        s = _studies[id];
        if (s.status == Status.None || s.status == Status.Rejected || s.status == Status.Closed) {
            revert WrongStatus(s.status);
        }
        // The approved version can be renewed while a newer one waits.
        if (version != s.proposed && (version != s.version || version == 0)) revert WrongVersion(s.proposed);
    }

    function _addVersion(bytes32 id, Study storage s, Terms calldata terms, bytes32[] calldata forms) private {
        if (terms.purposes == 0 || terms.categories == 0 || terms.access == 0 || terms.access > MAX_ACCESS) {
            revert BadTerms();
        }
        uint32 version = ++s.proposed;
        _terms[id][version] = terms;
        _listed[id][version] = forms;
        emit StudyProposed(id, s.board, s.lead, version);
    }

    /// @dev True if `next` allows anything that `prior` did not.
    function _widens(Terms storage prior, Terms storage next) private view returns (bool) {
        if (next.purposes & ~prior.purposes != 0 || next.categories & ~prior.categories != 0) return true;
        if (prior.conditions & ~next.conditions != 0 || next.access > prior.access) return true;
        for (uint256 i; i < next.diseases.length; ++i) {
            bool known;
            for (uint256 j; j < prior.diseases.length && !known; ++j) {
                known = prior.diseases[j] == next.diseases[i];
            }
            if (!known) return true;
        }
        return false;
    }

    function _hashTerms(Terms calldata t) private pure returns (bytes32) {
        bytes32 diseases = keccak256(abi.encodePacked(t.diseases));
        return keccak256(
            abi.encode(Types.TERMS_TYPEHASH, t.purposes, t.conditions, t.categories, t.access, diseases, t.protocol)
        );
    }
}
