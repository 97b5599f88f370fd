// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {ReleasePolicy} from "../src/ReleasePolicy.sol";
import {StudyRegistry} from "../src/StudyRegistry.sol";
import {DidRegistry} from "../src/DidRegistry.sol";
import {IReleasePolicy, Reason} from "../src/interfaces/IReleasePolicy.sol";
import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import {PolicyTest} from "./helpers/PolicyTest.sol";

/// @notice What concerns a job as a whole.
contract PolicyJobTest is PolicyTest {
    function setUp() public override {
        super.setUp();
        _give();
    }

    function test_APermittedJobIsAllowed() public view {
        _assertReason(Reason.ALLOWED);
        _assertReason(_checked(_jobSig(requester), _sign(runner, RELEASE)), Reason.ALLOWED);
    }

    function test_ThePolicyReadsOneSetOfRegistries() public view {
        assertEq(address(policy.studyRegistry()), address(studies));
        assertEq(address(policy.didRegistry()), address(did));
        assertEq(address(policy.consentRegistry()), address(consents));
    }

    function test_AnEmptyListReverts() public {
        IReleasePolicy.Item[] memory none = new IReleasePolicy.Item[](0);
        bytes memory jobSignature = _jobSig(requester);
        bytes memory releaseSignature = _sign(runner, RELEASE);
        vm.expectRevert(IReleasePolicy.EmptyItems.selector);
        policy.review(job, none);
        vm.expectRevert(IReleasePolicy.EmptyItems.selector);
        policy.check(job, jobSignature, RELEASE, releaseSignature, none);
        vm.expectRevert(IReleasePolicy.EmptyItems.selector);
        policy.check(job, "", RELEASE, "", none);
    }

    function test_AJobByAnyoneElseIsRefused() public {
        bytes memory release = _sign(runner, RELEASE);
        _assertReason(_checked("", release), Reason.JOB_SIGNATURE);
        _assertReason(_checked(_jobSig(mallory), release), Reason.JOB_SIGNATURE);
        _assertReason(_checked(_jobSig(runner), release), Reason.JOB_SIGNATURE);
        _addDelegate(requester, "consent", mallory.id);
        _assertReason(_checked(_jobSig(mallory), release), Reason.JOB_SIGNATURE);
    }

    function test_EveryFieldOfAJobIsSigned() public {
        bytes memory signature = _jobSig(requester);
        bytes memory release = _sign(runner, RELEASE);
        IReleasePolicy.Job memory signed = job;
        for (uint256 field; field < 9; ++field) {
            bytes memory words = abi.encode(signed);
            words[32 * field + 31] ^= 0x02;
            job = abi.decode(words, (IReleasePolicy.Job));
            _assertReason(_checked(signature, release), Reason.JOB_SIGNATURE);
        }
        job = signed;
        _assertReason(_checked(signature, release), Reason.ALLOWED);
    }

    function test_AJobSignedForAnotherDeploymentIsRefused() public {
        bytes memory signature = _jobSig(requester);
        policy = new ReleasePolicy(new StudyRegistry(new DidRegistry()));
        _assertReason(_checked(signature, _sign(runner, RELEASE)), Reason.JOB_SIGNATURE);
    }

    function test_AReleaseByAnyoneButTheRunnerIsRefused() public view {
        bytes memory signature = _jobSig(requester);
        _assertReason(_checked(signature, ""), Reason.RELEASE_SIGNATURE);
        _assertReason(_checked(signature, _sign(requester, RELEASE)), Reason.RELEASE_SIGNATURE);
        _assertReason(_checked(signature, _sign(runner, "another digest")), Reason.RELEASE_SIGNATURE);
    }

    function test_AJobEndsAfterItsDeadline() public {
        vm.warp(job.deadline);
        _assertReason(Reason.ALLOWED);
        vm.warp(uint256(job.deadline) + 1);
        _assertReason(Reason.DEADLINE_PASSED);
    }

    function test_AStudyThatIsNotOpenGetsNothing() public {
        bytes32 known = job.study;
        job.study = "unknown";
        _assertReason(Reason.STUDY_NOT_OPEN);
        job.study = known;
        _suspend(study);
        _assertReason(Reason.STUDY_NOT_OPEN);
        _approve(study, 1, _now() + 10);
        _assertReason(Reason.ALLOWED);
        vm.warp(block.timestamp + 10);
        _assertReason(Reason.ALLOWED);
        vm.warp(block.timestamp + 1);
        _assertReason(Reason.STUDY_NOT_OPEN);
    }

    function test_AProposedOrClosedStudyGetsNothing() public {
        IStudyRegistry.Terms memory terms = _terms();
        terms.protocol = "another";
        job.study = _propose(terms, _forms(FORM));
        _assertReason(Reason.STUDY_NOT_OPEN);
        job.study = study;
        _close(study);
        _assertReason(Reason.STUDY_NOT_OPEN);
    }

    function test_ARequesterWhoIsNoMemberGetsNothing() public {
        job.requester = mallory.id;
        _assertReason(Reason.REQUESTER_NOT_MEMBER);
        job.requester = requester.id;
        _setMember(study, requester.id, false);
        _assertReason(Reason.REQUESTER_NOT_MEMBER);
        job.requester = lead.id;
        _assertReason(Reason.ALLOWED);
    }

    function test_ARunnerWithoutAccreditationGetsNothing() public {
        job.runner = mallory.id;
        _assertReason(Reason.RUNNER_NOT_ACCREDITED);
        job.runner = requester.id;
        _assertReason(Reason.RUNNER_NOT_ACCREDITED);
        job.runner = runner.id;
        _accredit(runner.id, _now());
        _assertReason(Reason.RUNNER_NOT_ACCREDITED);
        _accredit(runner.id, _now() + 1);
        _assertReason(Reason.ALLOWED);
    }

    function test_APurposeThatTheStudyDoesNotHaveIsRefused() public {
        job.purpose = 0;
        _assertReason(Reason.PURPOSE_NOT_OF_STUDY);
        job.purpose = 16;
        _assertReason(Reason.PURPOSE_NOT_OF_STUDY);
        job.purpose = 16 | 1;
        _assertReason(Reason.PURPOSE_NOT_OF_STUDY);
    }

    function test_AnAccessThatTheStudyDoesNotHaveIsRefused() public {
        job.access = 0;
        _assertReason(Reason.ACCESS_NOT_OF_STUDY);
        job.access = 4;
        _assertReason(Reason.ACCESS_NOT_OF_STUDY);
        IStudyRegistry.Terms memory terms = _terms();
        terms.access = 1;
        _approve(study, _amend(study, terms, new bytes32[](0)), _now() + 1 days);
        job.access = 2;
        _assertReason(Reason.ACCESS_NOT_OF_STUDY);
        (job.access, job.runner) = (3, requester.id);
        _assertReason(Reason.ACCESS_NOT_OF_STUDY);
        (job.access, job.runner) = (1, runner.id);
        _assertReason(Reason.ALLOWED);
    }

    function test_ADownloadGoesToTheRequesterAlone() public {
        item.consent.access = 3;
        _give();
        job.access = 3;
        _assertReason(Reason.RUNNER_NOT_REQUESTER);
        job.runner = requester.id;
        _assertReason(Reason.ALLOWED);
    }

    function test_AReasonOfTheJobIsEveryItems() public {
        IReleasePolicy.Item[] memory items = new IReleasePolicy.Item[](3);
        (items[0], items[2]) = (item, item);
        job.requester = mallory.id;
        uint8[] memory reasons = policy.review(job, items);
        assertEq(reasons.length, 3);
        for (uint256 i; i < 3; ++i) {
            assertEq(reasons[i], uint8(Reason.REQUESTER_NOT_MEMBER));
        }
    }

    function test_ItemsAreJudgedOneByOneInOrder() public {
        IReleasePolicy.Item[] memory items = new IReleasePolicy.Item[](4);
        (items[0], items[1], items[2], items[3]) = (item, item, item, item);
        items[1].categories = 4;
        items[2].consent.salt = "never granted";
        uint8[] memory reasons = policy.review(job, items);
        assertEq(reasons[0], uint8(Reason.ALLOWED));
        assertEq(reasons[1], uint8(Reason.CATEGORY));
        assertEq(reasons[2], uint8(Reason.NO_CONSENT));
        assertEq(reasons[3], uint8(Reason.ALLOWED));
    }
}
