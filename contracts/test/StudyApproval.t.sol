// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {StudyTest} from "./helpers/StudyTest.sol";

contract StudyApprovalTest is StudyTest {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = _propose(_terms(), _forms(FORM));
    }

    function _wrongStatus(IStudyRegistry.Status status) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IStudyRegistry.WrongStatus.selector, status);
    }

    function _approvalRefused(uint32 version, bytes memory why) private {
        IStudyRegistry.Vote[] memory votes = _votes(_approveHash(id, version, _now() + 1 days));
        vm.expectRevert(why);
        studies.approve(id, version, _now() + 1 days, votes);
    }

    function _rejectionRefused(uint32 version, bytes memory why) private {
        IStudyRegistry.Vote[] memory votes = _votes(_rejectHash(id, version));
        vm.expectRevert(why);
        studies.reject(id, version, "why", votes);
    }

    function _wrongVersion(uint32 proposed) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IStudyRegistry.WrongVersion.selector, proposed);
    }

    function test_AnApprovedStudyIsOpenUntilAndAtItsDate() public {
        uint48 until = _now() + 100;
        bytes32 hash = _approveHash(id, 1, until);
        vm.expectEmit(address(studies));
        emit IStudyRegistry.StudyApproved(id, 1, until, true);
        studies.approve(id, 1, until, _votes(hash));
        vm.warp(until);
        assertTrue(studies.isOpen(id));
        vm.warp(until + 1);
        assertFalse(studies.isOpen(id));
    }

    function test_AnApprovalIsRenewedBeforeAndAfterItsEnd() public {
        _approve(id, 1, _now() + 100);
        _approve(id, 1, _now() + 200);
        vm.warp(block.timestamp + 500);
        assertFalse(studies.isOpen(id));
        _approve(id, 1, _now() + 100);
        assertTrue(studies.isOpen(id));
        assertTrue(studies.isFormApproved(id, FORM, false), "a renewal asks for no new consents");
    }

    function test_TheApprovedVersionIsRenewedWhileANewerOneWaits() public {
        _approve(id, 1, _now() + 100);
        _amend(id, _terms(), _forms("form 2"));
        _approve(id, 1, _now() + 200);
        assertEq(studies.study(id).version, 1);
        assertEq(studies.study(id).approvedUntil, _now() + 200);
    }

    function test_VersionsThatAreNotTheNewestOrApprovedAreRefused() public {
        _approvalRefused(0, _wrongVersion(1));
        _approvalRefused(2, _wrongVersion(1));
        _amend(id, _terms(), _forms(FORM));
        _amend(id, _terms(), _forms(FORM));
        _approvalRefused(1, _wrongVersion(3));
        _approvalRefused(2, _wrongVersion(3));
        _approve(id, 3, _now() + 1);
        _approvalRefused(2, _wrongVersion(3));
    }

    function test_VotesForOneVersionOrDateApproveNoOther() public {
        IStudyRegistry.Vote[] memory votes = _votes(_approveHash(id, 1, _now() + 100));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.approve(id, 1, _now() + 101, votes);
        _amend(id, _terms(), _forms(FORM));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.approve(id, 2, _now() + 100, votes);
    }

    function test_AnOldApprovalCannotUndoASuspensionOrARejection() public {
        IStudyRegistry.Vote[] memory votes = _votes(_approveHash(id, 1, _now() + 100));
        studies.approve(id, 1, _now() + 100, votes);
        _suspend(id);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.approve(id, 1, _now() + 100, votes);
    }

    function test_AnUnusedApprovalDiesWithTheNextDecision() public {
        IStudyRegistry.Vote[] memory votes = _votes(_approveHash(id, 1, _now() + 100));
        _accredit(runner.id, 1);
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.approve(id, 1, _now() + 100, votes);
    }

    function test_TheLeadCannotApproveHerOwnStudy() public {
        IStudyRegistry.Vote[] memory votes = new IStudyRegistry.Vote[](2);
        bytes32 hash = _approveHash(id, 1, _now() + 100);
        votes[0] = IStudyRegistry.Vote(lead.id, _studySign(lead, hash));
        votes[1] = votes[0];
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.NotAMember.selector, lead.id));
        studies.approve(id, 1, _now() + 100, votes);
    }

    function test_AnotherBoardsQuorumDoesNotDecide() public {
        address[] memory own = new address[](1);
        own[0] = mallory.id;
        studies.createBoard(own, 1, "");
        bytes32 hash = _approveHash(id, 1, _now() + 100);
        IStudyRegistry.Vote[] memory votes = new IStudyRegistry.Vote[](2);
        votes[0] = IStudyRegistry.Vote(mallory.id, _studySign(mallory, hash));
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.NotAMember.selector, mallory.id));
        studies.approve(id, 1, _now() + 100, votes);
    }

    function test_ARejectedStudyIsApprovedOnlyAfterAnAmendment() public {
        bytes32 hash = _rejectHash(id, 1);
        vm.expectEmit(address(studies));
        emit IStudyRegistry.StudyRejected(id, 1, "why");
        studies.reject(id, 1, "why", _votes(hash));
        _approvalRefused(1, _wrongStatus(IStudyRegistry.Status.Rejected));
        _rejectionRefused(1, _wrongStatus(IStudyRegistry.Status.Rejected));
        _amend(id, _terms(), _forms("form 2"));
        _approvalRefused(1, _wrongVersion(2));
        _approve(id, 2, _now() + 100);
        assertTrue(studies.isOpen(id));
    }

    function test_RejectingAnAmendmentLeavesTheStudyAsApproved() public {
        _approve(id, 1, _now() + 100);
        _amend(id, _terms(), _forms("form 2"));
        _reject(id, 2);
        assertTrue(studies.isOpen(id));
        assertEq(studies.study(id).version, 1);
        assertFalse(studies.isFormApproved(id, "form 2", false));
    }

    function test_AnApprovedVersionIsNotRejected() public {
        _approve(id, 1, _now() + 100);
        _rejectionRefused(1, _wrongVersion(1));
    }

    function test_ASuspendedStudyIsShutUntilApprovedAgain() public {
        _approve(id, 1, _now() + 100);
        _suspend(id);
        assertFalse(studies.isOpen(id));
        _approve(id, 1, _now() + 100);
        assertTrue(studies.isOpen(id));
    }

    function test_RejectingAnAmendmentDoesNotLiftASuspension() public {
        _approve(id, 1, _now() + 100);
        _amend(id, _terms(), _forms("form 2"));
        _suspend(id);
        _reject(id, 2);
        assertFalse(studies.isOpen(id));
    }

    function test_AnAmendmentDoesNotLiftASuspension() public {
        _approve(id, 1, _now() + 100);
        _suspend(id);
        _amend(id, _terms(), _forms("form 2"));
        assertFalse(studies.isOpen(id));
    }

    function test_OnlyAnApprovedStudyIsSuspended() public {
        bytes32 hash = keccak256(abi.encode(Types.SUSPEND_TYPEHASH, id, _boardNonce()));
        IStudyRegistry.Vote[] memory votes = _votes(hash);
        vm.expectRevert(_wrongStatus(IStudyRegistry.Status.Proposed));
        studies.suspend(id, votes);
    }

    function test_AClosedStudyIsClosedForEver() public {
        _approve(id, 1, _now() + 100);
        _close(id);
        assertFalse(studies.isOpen(id));
        _approvalRefused(1, _wrongStatus(IStudyRegistry.Status.Closed));
        _rejectionRefused(1, _wrongStatus(IStudyRegistry.Status.Closed));
        IStudyRegistry.Vote[] memory votes = _votes(0);
        vm.expectRevert(_wrongStatus(IStudyRegistry.Status.Closed));
        studies.close(id, votes);
        vm.expectRevert(_wrongStatus(IStudyRegistry.Status.Closed));
        studies.suspend(id, votes);
        bytes memory signature = _memberSig(lead, id, bob.id, true);
        vm.expectRevert(_wrongStatus(IStudyRegistry.Status.Closed));
        studies.setMember(id, bob.id, true, signature);
        _propose(_terms(), _forms(FORM));
        assertFalse(studies.isOpen(id), "proposing it again does not open it");
    }

    function test_AClosingNeedsTheQuorumToo() public {
        bytes32 hash = keccak256(abi.encode(Types.CLOSE_TYPEHASH, id, _boardNonce()));
        IStudyRegistry.Vote[] memory votes = _votesOf(hash, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IStudyRegistry.TooFewVotes.selector, 2));
        studies.close(id, votes);
        votes = _votes(keccak256(abi.encode(Types.SUSPEND_TYPEHASH, id, _boardNonce())));
        vm.expectRevert(IStudyRegistry.BadSignature.selector);
        studies.close(id, votes);
    }

    function test_AStudyThatNobodyProposedIsNotApproved() public {
        id = "nothing";
        _approvalRefused(0, _wrongStatus(IStudyRegistry.Status.None));
        _approvalRefused(1, _wrongStatus(IStudyRegistry.Status.None));
    }
}
