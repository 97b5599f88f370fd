// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {StudyRegistry} from "../src/StudyRegistry.sol";
import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import {StudyTest} from "./helpers/StudyTest.sol";

contract StudyLeadTest is StudyTest {
    function _status(bytes32 id) private view returns (uint8) {
        return uint8(studies.study(id).status);
    }

    function _proposalRefused(IStudyRegistry.Terms memory terms, bytes4 why) private {
        bytes memory signature = _proposeSig(lead, terms, _forms(FORM));
        vm.expectRevert(why);
        studies.propose(lead.id, board, terms, _forms(FORM), "s", signature);
    }

    function test_AProposalIsStoredAndNotOpen() public {
        bytes32 id = _propose(_terms(), _forms(FORM));
        IStudyRegistry.Study memory s = studies.study(id);
        assertEq(s.lead, lead.id);
        assertEq(s.board, board);
        assertEq(s.proposed, 1);
        assertEq(s.version, 0);
        assertEq(_status(id), uint8(IStudyRegistry.Status.Proposed));
        assertFalse(studies.isOpen(id));
        assertFalse(studies.isFormApproved(id, FORM, false));
        assertEq(studies.termsOf(id, 1).diseases, _terms().diseases);
    }

    function test_OnlyTheNamedLeadProposes() public {
        bytes memory signature = _proposeSig(mallory, _terms(), _forms(FORM));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, board, _terms(), _forms(FORM), "s", signature);
    }

    function test_TheSignatureCoversTermsFormsBoardAndSalt() public {
        bytes memory signature = _proposeSig(lead, _terms(), _forms(FORM));
        IStudyRegistry.Terms memory wider = _terms();
        wider.diseases[0] = "another";
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, board, wider, _forms(FORM), "s", signature);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, board, _terms(), _forms("another"), "s", signature);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, board, _terms(), _forms(FORM), "another", signature);
        bytes32 other = studies.createBoard(_addresses(), 1, "other");
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, other, _terms(), _forms(FORM), "s", signature);
    }

    function test_AProposalToNoBoardIsRefused() public {
        vm.expectRevert(IStudyRegistry.UnknownBoard.selector);
        studies.propose(lead.id, "no board", _terms(), _forms(FORM), "s", "");
    }

    function test_TermsThatAskForNothingOrTooMuchAreRefused() public {
        IStudyRegistry.Terms memory terms = _terms();
        terms.purposes = 0;
        _proposalRefused(terms, IStudyRegistry.BadTerms.selector);
        terms = _terms();
        terms.categories = 0;
        _proposalRefused(terms, IStudyRegistry.BadTerms.selector);
        terms = _terms();
        terms.access = 0;
        _proposalRefused(terms, IStudyRegistry.BadTerms.selector);
        terms.access = 4;
        _proposalRefused(terms, IStudyRegistry.BadTerms.selector);
    }

    function test_AProposalOnAnotherChainOrDeploymentIsRefused() public {
        bytes memory signature = _proposeSig(lead, _terms(), _forms(FORM));
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.propose(lead.id, board, _terms(), _forms(FORM), "s", signature);
        vm.chainId(chain);
        StudyRegistry second = new StudyRegistry(did);
        second.createBoard(_addresses(), 2, "salt");
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        second.propose(lead.id, board, _terms(), _forms(FORM), "s", signature);
    }

    function test_ASecondSubmissionOfAProposalChangesNothing() public {
        bytes32 id = _openStudy(_terms());
        _suspend(id);
        vm.recordLogs();
        assertEq(_propose(_terms(), _forms(FORM)), id);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(_status(id), uint8(IStudyRegistry.Status.Suspended));
    }

    function test_AnAmendmentLeavesTheApprovedVersionInForce() public {
        bytes32 id = _openStudy(_terms());
        IStudyRegistry.Terms memory wider = _terms();
        wider.purposes = 31;
        assertEq(_amend(id, wider, _forms("form 2")), 2);
        assertTrue(studies.isOpen(id));
        assertEq(studies.study(id).version, 1);
        assertEq(studies.termsOf(id, 1).purposes, 15);
        assertFalse(studies.isFormApproved(id, "form 2", false));
        assertTrue(studies.isFormApproved(id, FORM, false));
    }

    function test_OnlyTheLeadAmendsAndEachAmendmentOnce() public {
        bytes32 id = _openStudy(_terms());
        bytes memory signature = _amendSig(mallory, id, 2, _terms(), _forms(FORM));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.amend(id, _terms(), _forms(FORM), signature);
        signature = _amendSig(lead, id, 2, _terms(), _forms(FORM));
        studies.amend(id, _terms(), _forms(FORM), signature);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.amend(id, _terms(), _forms(FORM), signature);
    }

    function test_AnAmendmentWithBadTermsOrOfNoStudyIsRefused() public {
        bytes32 id = _openStudy(_terms());
        IStudyRegistry.Terms memory bad = _terms();
        bad.access = 4;
        bytes memory signature = _amendSig(lead, id, 2, bad, _forms(FORM));
        vm.expectRevert(IStudyRegistry.BadTerms.selector);
        studies.amend(id, bad, _forms(FORM), signature);
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.WrongStatus.selector, IStudyRegistry.Status.None));
        studies.amend("nothing", _terms(), _forms(FORM), signature);
    }

    function test_AClosedStudyIsAmendedNoMore() public {
        bytes32 id = _openStudy(_terms());
        _close(id);
        bytes memory signature = _amendSig(lead, id, 2, _terms(), _forms(FORM));
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.WrongStatus.selector, IStudyRegistry.Status.Closed));
        studies.amend(id, _terms(), _forms(FORM), signature);
    }

    function test_TheLeadIsAMemberAndNamesOthers() public {
        bytes32 id = _openStudy(_terms());
        assertTrue(studies.isMember(id, lead.id));
        assertFalse(studies.isMember(id, bob.id));
        assertFalse(studies.isMember(id, address(0)));
        assertFalse(studies.isMember("no study", address(0)));
        _setMember(id, bob.id, true);
        assertTrue(studies.isMember(id, bob.id));
        assertFalse(studies.isMember("another study", bob.id));
        _setMember(id, bob.id, false);
        assertFalse(studies.isMember(id, bob.id));
    }

    function test_OnlyTheLeadNamesMembers() public {
        bytes32 id = _openStudy(_terms());
        _setMember(id, bob.id, true);
        bytes memory signature = _memberSig(bob, id, mallory.id, true);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.setMember(id, mallory.id, true, signature);
        signature = _memberSig(members[0], id, mallory.id, true);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.setMember(id, mallory.id, true, signature);
    }

    function test_AnOldMembershipCannotBeSubmittedAgain() public {
        bytes32 id = _openStudy(_terms());
        bytes memory signature = _memberSig(lead, id, bob.id, true);
        studies.setMember(id, bob.id, true, signature);
        _setMember(id, bob.id, false);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.setMember(id, bob.id, true, signature);
    }

    function test_TheLeadWithdrawsForEver() public {
        bytes32 id = _openStudy(_terms());
        bytes memory signature = _withdrawSig(mallory, id);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.withdraw(id, signature);
        studies.withdraw(id, _withdrawSig(lead, id));
        assertFalse(studies.isOpen(id));
        bytes memory again = _withdrawSig(lead, id);
        bytes memory closed = abi.encodeWithSelector(IStudyRegistry.WrongStatus.selector, IStudyRegistry.Status.Closed);
        vm.expectRevert(closed);
        studies.withdraw(id, again);
        IStudyRegistry.Vote[] memory votes = _votes(_approveHash(id, 1, _now() + 1));
        vm.expectRevert(closed);
        studies.approve(id, 1, _now() + 1, votes);
    }
}
