// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IReleasePolicy, Reason} from "../src/interfaces/IReleasePolicy.sol";
import {PolicyTest} from "./helpers/PolicyTest.sol";

/// @notice The reason is the first failure in the order of the enum.
contract PolicyOrderTest is PolicyTest {
    /// @dev Breaks one thing more at a time, from the last reason up: each has to hide all below it.
    function test_EachReasonHidesAllThatComeAfterIt() public {
        _givenAnew(Reason.ALLOWED);
        IReleasePolicy.Consent storage c = item.consent;
        c.epsilonMilli = 0;
        _givenAnew(Reason.EPSILON);
        c.access = 1;
        _givenAnew(Reason.ACCESS);
        c.categories = 4;
        _givenAnew(Reason.CATEGORY);
        c.disease = "unlisted";
        _givenAnew(Reason.DISEASE);
        c.conditions = 4;
        _givenAnew(Reason.CONDITIONS);
        c.purposes = 8;
        _givenAnew(Reason.PURPOSE);
        c.form = "unlisted";
        _givenAnew(Reason.FORM);
        c.scope = "elsewhere";
        _givenAnew(Reason.SCOPE);
        c.expires = _now();
        _givenAnew(Reason.EXPIRED);
        c.notBefore = _now() + 1;
        _givenAnew(Reason.NOT_YET_VALID);
        c.signedAt = _now() + 1;
        _givenAnew(Reason.CUT_OFF);
        _freeze(alice, alice.id, _now() + 1);
        _assertReason(Reason.FROZEN);
        c.salt = "never granted";
        _assertReason(Reason.NO_CONSENT);
        _revoke(alice, _commitment());
        _assertReason(Reason.REVOKED);
        c.policy = address(1);
        _assertReason(Reason.OTHER_POLICY);
        _breakTheJob();
    }

    function _breakTheJob() private {
        job.access = 3;
        _assertReason(Reason.RUNNER_NOT_REQUESTER);
        job.access = 4;
        _assertReason(Reason.ACCESS_NOT_OF_STUDY);
        job.purpose = 1 << 40;
        _assertReason(Reason.PURPOSE_NOT_OF_STUDY);
        job.runner = mallory.id;
        _assertReason(Reason.RUNNER_NOT_ACCREDITED);
        job.requester = carol.id;
        _assertReason(Reason.REQUESTER_NOT_MEMBER);
        _suspend(study);
        _assertReason(Reason.STUDY_NOT_OPEN);
        job.deadline = _now() - 1;
        _assertReason(Reason.DEADLINE_PASSED);
        _assertReason(_checked(_jobSig(carol), _sign(runner, RELEASE)), Reason.RELEASE_SIGNATURE);
        _assertReason(_checked(_jobSig(alice), _sign(runner, RELEASE)), Reason.JOB_SIGNATURE);
    }

    /// @dev errors.py mirrors these numbers; a reordering would change what journals of the past say.
    function test_TheNumbersOfTheReasonsAreFrozen() public pure {
        assertEq(uint8(Reason.ALLOWED), 0);
        assertEq(uint8(Reason.JOB_SIGNATURE), 1);
        assertEq(uint8(Reason.STUDY_NOT_OPEN), 4);
        assertEq(uint8(Reason.RUNNER_NOT_REQUESTER), 9);
        assertEq(uint8(Reason.OTHER_POLICY), 10);
        assertEq(uint8(Reason.REVOKED), 11);
        assertEq(uint8(Reason.NO_CONSENT), 12);
        assertEq(uint8(Reason.FROZEN), 13);
        assertEq(uint8(Reason.CUT_OFF), 14);
        assertEq(uint8(Reason.FORM), 18);
        assertEq(uint8(type(Reason).max), uint8(Reason.EPSILON));
        assertEq(uint8(Reason.EPSILON), 24);
    }
}
