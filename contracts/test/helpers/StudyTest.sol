// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IStudyRegistry} from "../../src/interfaces/IStudyRegistry.sol";
import "../../src/libraries/TypeHashes.sol" as Types;
import {BaseTest} from "./BaseTest.sol";

/// @title A board of three with a quorum of two, a lead, and what they sign
abstract contract StudyTest is BaseTest {
    Actor[3] internal members;
    Actor internal lead;
    Actor internal runner;
    bytes32 internal board;

    bytes32 internal constant FORM = keccak256("form, version 1, English");
    bytes32 internal constant DISEASE = "MONDO:0005148";
    bytes32 internal constant PARENT = "MONDO:0005015";

    function setUp() public virtual override {
        super.setUp();
        lead = _wallet("lead");
        runner = _wallet("runner");
        Actor[] memory sorted = new Actor[](3);
        (sorted[0], sorted[1], sorted[2]) = (_wallet("member one"), _wallet("member two"), _passkey("member three"));
        _sort(sorted);
        for (uint256 i; i < 3; ++i) {
            members[i] = sorted[i];
        }
        board = studies.createBoard(_addresses(), 2, "salt");
    }

    function _addresses() internal view returns (address[] memory addresses) {
        addresses = new address[](3);
        for (uint256 i; i < 3; ++i) {
            addresses[i] = members[i].id;
        }
    }

    function _terms() internal pure returns (IStudyRegistry.Terms memory) {
        bytes32[] memory diseases = new bytes32[](2);
        (diseases[0], diseases[1]) = (DISEASE, PARENT);
        return IStudyRegistry.Terms(15, 3, 7, 3, diseases, keccak256("protocol"));
    }

    function _forms(bytes32 form) internal pure returns (bytes32[] memory forms) {
        forms = new bytes32[](1);
        forms[0] = form;
    }

    function _hash(IStudyRegistry.Terms memory t) internal pure returns (bytes32) {
        bytes32 diseases = keccak256(abi.encodePacked(t.diseases));
        return keccak256(
            abi.encode(Types.TERMS_TYPEHASH, t.purposes, t.conditions, t.categories, t.access, diseases, t.protocol)
        );
    }

    // The lead's messages

    function _studySign(Actor memory by, bytes32 structHash) internal view returns (bytes memory) {
        return _sign(by, _digest(address(studies), structHash));
    }

    function _proposeSig(Actor memory by, IStudyRegistry.Terms memory terms, bytes32[] memory forms)
        internal
        view
        returns (bytes memory)
    {
        bytes32 list = keccak256(abi.encodePacked(forms));
        bytes32 structHash =
            keccak256(abi.encode(Types.PROPOSE_TYPEHASH, lead.id, board, _hash(terms), list, bytes32("s")));
        return _studySign(by, structHash);
    }

    function _propose(IStudyRegistry.Terms memory terms, bytes32[] memory forms) internal returns (bytes32) {
        return studies.propose(lead.id, board, terms, forms, "s", _proposeSig(lead, terms, forms));
    }

    function _amendSig(
        Actor memory by,
        bytes32 id,
        uint32 version,
        IStudyRegistry.Terms memory terms,
        bytes32[] memory forms
    ) internal view returns (bytes memory) {
        bytes32 list = keccak256(abi.encodePacked(forms));
        return _studySign(by, keccak256(abi.encode(Types.AMEND_TYPEHASH, id, version, _hash(terms), list)));
    }

    function _amend(bytes32 id, IStudyRegistry.Terms memory terms, bytes32[] memory forms)
        internal
        returns (uint32 version)
    {
        version = studies.study(id).proposed + 1;
        studies.amend(id, terms, forms, _amendSig(lead, id, version, terms, forms));
    }

    function _memberSig(Actor memory by, bytes32 id, address member, bool allowed)
        internal
        view
        returns (bytes memory)
    {
        uint256 nonce = studies.leadNonce(id);
        return _studySign(by, keccak256(abi.encode(Types.SET_MEMBER_TYPEHASH, id, member, allowed, nonce)));
    }

    function _withdrawSig(Actor memory by, bytes32 id) internal view returns (bytes memory) {
        return _studySign(by, keccak256(abi.encode(Types.WITHDRAW_TYPEHASH, id, studies.leadNonce(id))));
    }

    // The board's messages

    function _boardNonce() internal view returns (uint256 nonce) {
        (,, nonce) = studies.boardOf(board);
    }

    /// @dev The votes of members `from` and `from + 1` of three, or of as many as there are.
    function _votesOf(bytes32 structHash, uint256 from, uint256 count)
        internal
        view
        returns (IStudyRegistry.Vote[] memory votes)
    {
        votes = new IStudyRegistry.Vote[](count);
        for (uint256 i; i < count; ++i) {
            Actor memory member = members[from + i];
            votes[i] = IStudyRegistry.Vote(member.id, _studySign(member, structHash));
        }
    }

    function _votes(bytes32 structHash) internal view returns (IStudyRegistry.Vote[] memory) {
        return _votesOf(structHash, 0, 2);
    }

    function _approveHash(bytes32 id, uint32 version, uint48 until) internal view returns (bytes32) {
        return keccak256(abi.encode(Types.APPROVE_TYPEHASH, id, version, until, _boardNonce()));
    }

    function _approve(bytes32 id, uint32 version, uint48 until) internal {
        studies.approve(id, version, until, _votes(_approveHash(id, version, until)));
    }

    function _rejectHash(bytes32 id, uint32 version) internal view returns (bytes32) {
        return keccak256(abi.encode(Types.REJECT_TYPEHASH, id, version, bytes32("why"), _boardNonce()));
    }

    function _reject(bytes32 id, uint32 version) internal {
        studies.reject(id, version, "why", _votes(_rejectHash(id, version)));
    }

    function _suspend(bytes32 id) internal {
        studies.suspend(id, _votes(keccak256(abi.encode(Types.SUSPEND_TYPEHASH, id, _boardNonce()))));
    }

    function _close(bytes32 id) internal {
        studies.close(id, _votes(keccak256(abi.encode(Types.CLOSE_TYPEHASH, id, _boardNonce()))));
    }

    function _accreditHash(address who, uint48 until) internal view returns (bytes32) {
        return keccak256(abi.encode(Types.ACCREDIT_TYPEHASH, board, who, until, _boardNonce()));
    }

    function _accredit(address who, uint48 until) internal {
        studies.accredit(board, who, until, _votes(_accreditHash(who, until)));
    }

    function _acceptHash(bytes32 form, bool accepted) internal view returns (bytes32) {
        return keccak256(abi.encode(Types.ACCEPT_FORM_TYPEHASH, board, form, accepted, _boardNonce()));
    }

    function _accept(bytes32 form, bool accepted) internal {
        studies.acceptForm(board, form, accepted, _votes(_acceptHash(form, accepted)));
    }

    function _setMember(bytes32 id, address member, bool allowed) internal {
        studies.setMember(id, member, allowed, _memberSig(lead, id, member, allowed));
    }

    function _openStudy(IStudyRegistry.Terms memory terms) internal returns (bytes32 id) {
        id = _propose(terms, _forms(FORM));
        _approve(id, 1, _now() + 365 days);
    }
}
