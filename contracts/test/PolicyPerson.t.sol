// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Reason} from "../src/interfaces/IReleasePolicy.sol";
import {PolicyTest} from "./helpers/PolicyTest.sol";

/// @notice The two branches without a study: a person whom she allowed, and her own records.
contract PolicyPersonTest is PolicyTest {
    function setUp() public override {
        super.setUp();
        _toPerson();
    }

    function _toOwn(Actor memory who) private {
        (job.requester, job.runner) = (who.id, who.id);
    }

    function test_APersonWhomSheAllowedIsAllowed() public {
        _assertReason(Reason.NO_CONSENT);
        _givenAnew(Reason.ALLOWED);
        _assertReason(_checked(_jobSig(requester), _sign(requester, RELEASE)), Reason.ALLOWED);
    }

    function test_AnotherPersonIsOutOfScope() public {
        _give();
        _toOwn(mallory);
        _assertReason(Reason.SCOPE);
    }

    function test_APersonRunsTheJobHerself() public {
        _give();
        job.runner = runner.id;
        _assertReason(Reason.RUNNER_NOT_REQUESTER);
    }

    function test_ADirtyAddressIsNobody() public {
        item.consent.scope |= bytes32(uint256(1) << 200);
        _givenAnew(Reason.SCOPE);
    }

    function test_AConsentToAStudyIsNoneToAPerson() public {
        item.consent.scope = study;
        _givenAnew(Reason.SCOPE);
        item.consent.scope = 0;
        _givenAnew(Reason.SCOPE);
    }

    function test_NobodyVouchesForConditionsOrADisease() public {
        item.consent.conditions = 1;
        _givenAnew(Reason.CONDITIONS);
        item.consent.conditions = 0;
        item.consent.disease = DISEASE;
        _givenAnew(Reason.DISEASE);
    }

    function test_ThePersonsTermsAreKeptToo() public {
        _give();
        job.purpose = 0;
        _assertReason(Reason.PURPOSE);
        job.purpose = 4;
        _assertReason(Reason.PURPOSE);
        job.purpose = 1;
        item.categories = 0;
        _assertReason(Reason.CATEGORY);
        item.categories = 4;
        _assertReason(Reason.CATEGORY);
        item.categories = 1;
        job.epsilonMilli = 1001;
        _assertReason(Reason.EPSILON);
    }

    /// @dev She holds the keys, whatever her job calls it: only a download is called by its name.
    function test_APersonsJobIsADownloadOrNothing() public {
        _give();
        for (uint8 access; access < 6; ++access) {
            job.access = access;
            _assertReason(access == 3 ? Reason.ALLOWED : Reason.ACCESS);
        }
    }

    function test_APersonNeedsAConsentToADownload() public {
        for (uint8 access; access < 3; ++access) {
            item.consent.access = access;
            _givenAnew(Reason.ACCESS);
        }
        item.consent.access = 3;
        _givenAnew(Reason.ALLOWED);
    }

    function test_ThePersonsConsentIsRevokedCutOffFrozenAndExpires() public {
        _give();
        vm.warp(block.timestamp + 1);
        uint256 fresh = vm.snapshotState();
        _revoke(alice, _commitment());
        _assertReason(Reason.REVOKED);
        vm.revertToState(fresh);
        consents.revokeAll(alice.id, _now(), _revokeAllSig(alice, alice.id, _now()));
        _assertReason(Reason.CUT_OFF);
        vm.revertToState(fresh);
        _freeze(alice, alice.id, _now() + 1);
        _assertReason(Reason.FROZEN);
        vm.revertToState(fresh);
        job.deadline = type(uint48).max;
        vm.warp(item.consent.expires);
        _assertReason(Reason.EXPIRED);
    }

    function test_ANewOwnerOfThePersonsAddressSignsForIt() public {
        _give();
        did.proposeOwner(requester.id, carol.id, _proposeOwnerSig(requester, requester.id, carol.id));
        vm.warp(block.timestamp + 3 days);
        did.finalizeOwner(requester.id);
        job.deadline = type(uint48).max;
        _assertReason(_checked(_jobSig(requester), _sign(requester, RELEASE)), Reason.JOB_SIGNATURE);
        _assertReason(_checked(_jobSig(carol), _sign(carol, RELEASE)), Reason.ALLOWED);
    }

    function test_HerOwnRecordsNeedNoConsent() public {
        _toOwn(alice);
        _assertReason(Reason.ALLOWED);
        _assertReason(_checked(_jobSig(alice), _sign(alice, RELEASE)), Reason.ALLOWED);
        (job.access, job.epsilonMilli, job.purpose) = (1, 9999, 0);
        _assertReason(Reason.ALLOWED);
    }

    function test_HerConsentDelegateReadsHerRecords() public {
        _addDelegate(alice, "consent", bob.id);
        _toOwn(bob);
        _assertReason(Reason.ALLOWED);
        vm.warp(block.timestamp + 365 days);
        job.deadline = type(uint48).max;
        _assertReason(Reason.NO_CONSENT);
    }

    function test_HerOtherDelegatesDoNot() public {
        _addDelegate(alice, "guardian", bob.id);
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "deposit", bob.id);
        _addDelegate(alice, "assertion", bob.id);
        _toOwn(bob);
        _assertReason(Reason.NO_CONSENT);
    }

    function test_HerOwnRecordsAreHersAlone() public {
        _toOwn(alice);
        item.consent.subject = bob.id;
        _assertReason(Reason.NO_CONSENT);
    }

    function test_AFreezeStopsHerOwnRecordsToo() public {
        _toOwn(alice);
        _freeze(alice, alice.id, _now() + 10);
        _assertReason(Reason.FROZEN);
    }

    function test_AFormerOwnerReadsNothing() public {
        did.proposeOwner(alice.id, bob.id, _proposeOwnerSig(alice, alice.id, bob.id));
        vm.warp(block.timestamp + 3 days);
        did.finalizeOwner(alice.id);
        job.deadline = type(uint48).max;
        _toOwn(alice);
        _assertReason(Reason.NO_CONSENT);
        _toOwn(bob);
        _assertReason(Reason.ALLOWED);
    }

    function test_HerOwnJobHasADeadlineAndHerOwnRunnerToo() public {
        _toOwn(alice);
        job.runner = runner.id;
        _assertReason(Reason.RUNNER_NOT_REQUESTER);
        job.runner = alice.id;
        vm.warp(uint256(job.deadline) + 1);
        _assertReason(Reason.DEADLINE_PASSED);
    }

    function test_InAStudyHerOwnRecordsNeedHerConsentLikeAll() public {
        (job.study, job.runner, job.requester, job.access) = (study, runner.id, alice.id, 2);
        _assertReason(Reason.REQUESTER_NOT_MEMBER);
        _setMember(study, alice.id, true);
        _assertReason(Reason.NO_CONSENT);
    }
}
