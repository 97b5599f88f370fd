// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {ReleasePolicy} from "../src/ReleasePolicy.sol";
import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import {Reason} from "../src/interfaces/IReleasePolicy.sol";
import {PolicyTest} from "./helpers/PolicyTest.sol";

/// @notice What concerns one record: her consent, as it stands, and its terms.
contract PolicyItemTest is PolicyTest {
    function test_WithoutAGrantThereIsNoConsent() public {
        _assertReason(Reason.NO_CONSENT);
        _givenAnew(Reason.ALLOWED);
    }

    function test_AnotherSubjectsGrantIsNoConsent() public {
        bytes32 commitment = _commitment();
        consents.grant(bob.id, commitment, _grantSig(bob, commitment));
        _assertReason(Reason.NO_CONSENT);
    }

    function test_ARevokedConsentIsRevoked() public {
        _give();
        _revoke(alice, _commitment());
        _assertReason(Reason.REVOKED);
        _give();
        _assertReason(Reason.REVOKED);
    }

    function test_AConsentRevokedBeforeItsGrantNeverBegins() public {
        _revoke(alice, _commitment());
        _assertReason(Reason.REVOKED);
        _give();
        _assertReason(Reason.REVOKED);
    }

    /// @dev Which of the two messages came first is chance, and the reason must not depend on it.
    function test_ARevocationBeforeItsGrantIsTheSameReasonAsAfterIt() public {
        uint256 fresh = vm.snapshotState();
        _give();
        _revoke(alice, _commitment());
        Reason after_ = _reason();
        vm.revertToState(fresh);
        _revoke(alice, _commitment());
        _give();
        _assertReason(_reason(), after_);
    }

    /// @dev Without a consent of hers nobody learns that a subject is frozen.
    function test_AFreezeShowsOnlyToWhoHoldsAConsentOfHers() public {
        _freeze(alice, alice.id, _now() + 100);
        _assertReason(Reason.NO_CONSENT);
        _give();
        _assertReason(Reason.FROZEN);
        _revoke(alice, _commitment());
        _assertReason(Reason.REVOKED);
    }

    function test_AFrozenSubjectIsFrozenUntilTheTimeIsUp() public {
        _give();
        _freeze(alice, alice.id, _now() + 100);
        _assertReason(Reason.FROZEN);
        vm.warp(block.timestamp + 99);
        _assertReason(Reason.FROZEN);
        vm.warp(block.timestamp + 1);
        _assertReason(Reason.ALLOWED);
    }

    function test_AConsentForAnotherPolicyIsNotReadByThisOne() public {
        item.consent.policy = address(new ReleasePolicy(studies));
        _givenAnew(Reason.OTHER_POLICY);
        item.consent.policy = address(0);
        _givenAnew(Reason.OTHER_POLICY);
    }

    function test_ACutoffEndsWhatWasSignedAtOrBeforeIt() public {
        _give();
        uint48 cutoff = item.consent.signedAt;
        consents.revokeAll(alice.id, cutoff - 1, _revokeAllSig(alice, alice.id, cutoff - 1));
        _assertReason(Reason.ALLOWED);
        consents.revokeAll(alice.id, cutoff, _revokeAllSig(alice, alice.id, cutoff));
        _assertReason(Reason.CUT_OFF);
        vm.warp(block.timestamp + 1);
        item.consent.signedAt = cutoff + 1;
        _givenAnew(Reason.ALLOWED);
    }

    function test_AConsentSignedAfterItsGrantIsCutOff() public {
        item.consent.signedAt = _now() + 1;
        _give();
        _assertReason(Reason.CUT_OFF);
        vm.warp(block.timestamp + 30 minutes);
        _assertReason(Reason.CUT_OFF);
    }

    function test_AnUndatedConsentIsCutOff() public {
        item.consent.signedAt = 0;
        _givenAnew(Reason.CUT_OFF);
    }

    function test_AConsentBeginsAtItsTime() public {
        item.consent.notBefore = _now() + 10;
        _givenAnew(Reason.NOT_YET_VALID);
        vm.warp(block.timestamp + 9);
        _assertReason(Reason.NOT_YET_VALID);
        vm.warp(block.timestamp + 1);
        _assertReason(Reason.ALLOWED);
    }

    function test_AConsentEndsAtItsTime() public {
        item.consent.expires = _now() + 10;
        _givenAnew(Reason.ALLOWED);
        vm.warp(block.timestamp + 9);
        _assertReason(Reason.ALLOWED);
        vm.warp(block.timestamp + 1);
        _assertReason(Reason.EXPIRED);
    }

    function test_AConsentForAnotherStudyOrBoardIsOutOfScope() public {
        item.consent.scope = "another study";
        _givenAnew(Reason.SCOPE);
        item.consent.scope = 0;
        _givenAnew(Reason.SCOPE);
        item.consent.scope = studies.createBoard(_addresses(), 1, "another board");
        _givenAnew(Reason.SCOPE);
    }

    function test_AConsentForTheRequesterIsOutOfAStudysScope() public {
        item.consent.scope = bytes32(uint256(uint160(requester.id)));
        _givenAnew(Reason.SCOPE);
    }

    function test_AFormThatTheStudyDoesNotHaveIsRefused() public {
        item.consent.form = "another form";
        _givenAnew(Reason.FORM);
        item.consent.form = 0;
        _givenAnew(Reason.FORM);
    }

    function test_AWideningAmendmentLeavesOldConsentsBehind() public {
        _give();
        IStudyRegistry.Terms memory wider = _terms();
        wider.categories = 15;
        uint32 version = _amend(study, wider, _forms("form 2"));
        _assertReason(Reason.ALLOWED);
        _approve(study, version, _now() + 1 days);
        _assertReason(Reason.FORM);
        item.consent.form = "form 2";
        _givenAnew(Reason.ALLOWED);
    }

    function test_ABoardScopedConsentCoversTheBoardsStudies() public {
        item.consent.scope = board;
        item.consent.form = "broad";
        _givenAnew(Reason.FORM);
        _accept("broad", true);
        _assertReason(Reason.ALLOWED);
        IStudyRegistry.Terms memory terms = _terms();
        terms.protocol = "another study";
        job.study = _openStudy(terms);
        job.requester = lead.id;
        _assertReason(Reason.ALLOWED);
        _accept("broad", false);
        _assertReason(Reason.FORM);
    }

    function test_ABoardScopedConsentOnAStudysFormIsRefused() public {
        item.consent.scope = board;
        _givenAnew(Reason.FORM);
    }

    function test_AStudyScopedConsentOnABroadFormIsRefused() public {
        _accept("broad", true);
        item.consent.form = "broad";
        _givenAnew(Reason.FORM);
    }

    function test_APurposeSheDidNotAllowIsRefused() public {
        item.consent.purposes = 2;
        _givenAnew(Reason.PURPOSE);
        item.consent.purposes = 0;
        _givenAnew(Reason.PURPOSE);
        job.purpose = 3;
        item.consent.purposes = 1;
        _givenAnew(Reason.PURPOSE);
    }

    function test_AConditionTheStudyDoesNotMeetIsRefused() public {
        item.consent.conditions = 4;
        _givenAnew(Reason.CONDITIONS);
        item.consent.conditions = 4 | 1;
        _givenAnew(Reason.CONDITIONS);
        item.consent.conditions = 0;
        _givenAnew(Reason.ALLOWED);
    }

    function test_ADiseaseTheStudyDoesNotListIsRefused() public {
        item.consent.disease = "MONDO:0000001";
        _givenAnew(Reason.DISEASE);
        item.consent.disease = PARENT;
        _givenAnew(Reason.ALLOWED);
        item.consent.disease = 0;
        _givenAnew(Reason.ALLOWED);
    }

    function test_ACategorySheDidNotAllowIsRefused() public {
        _give();
        item.categories = 4;
        _assertReason(Reason.CATEGORY);
        item.categories = 4 | 1;
        _assertReason(Reason.CATEGORY);
        item.categories = 0;
        _assertReason(Reason.CATEGORY);
    }

    function test_ACategoryTheStudyDoesNotHaveIsRefused() public {
        item.consent.categories = type(uint64).max;
        item.categories = 8;
        _givenAnew(Reason.CATEGORY);
    }

    function test_MoreAccessThanSheAllowedIsRefused() public {
        item.consent.access = 1;
        _givenAnew(Reason.ACCESS);
        item.consent.access = 0;
        _givenAnew(Reason.ACCESS);
        (item.consent.access, job.access, job.runner) = (2, 3, requester.id);
        _givenAnew(Reason.ACCESS);
    }

    function test_MorePrivacyBudgetThanSheAllowedIsRefused() public {
        _give();
        job.epsilonMilli = 1000;
        _assertReason(Reason.ALLOWED);
        job.epsilonMilli = 1001;
        _assertReason(Reason.EPSILON);
    }
}
