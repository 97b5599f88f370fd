// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IReleasePolicy, Reason} from "../../src/interfaces/IReleasePolicy.sol";
import "../../src/libraries/TypeHashes.sol" as Types;
import {StudyTest} from "./StudyTest.sol";

/// @title An open study, a job of it, and a consent of Alice's that allows the job
/// @notice A test breaks one thing in `job` or `item` and asks for the reason.
abstract contract PolicyTest is StudyTest {
    Actor internal requester;
    bytes32 internal study;
    IReleasePolicy.Job internal job;
    IReleasePolicy.Item internal item;

    bytes32 internal constant RELEASE = keccak256("release digest");

    function setUp() public virtual override {
        super.setUp();
        requester = _wallet("requester");
        study = _openStudy(_terms());
        _accredit(runner.id, _now() + 365 days);
        _setMember(study, requester.id, true);
        job = IReleasePolicy.Job({
            requester: requester.id,
            runner: runner.id,
            study: study,
            code: keccak256("code"),
            purpose: 1,
            access: 2,
            epsilonMilli: 500,
            deadline: _now() + 1 hours,
            salt: "job salt"
        });
        item.consent = IReleasePolicy.Consent({
            subject: alice.id,
            policy: address(policy),
            scope: study,
            form: FORM,
            purposes: 3,
            conditions: 1,
            disease: DISEASE,
            categories: 3,
            signedAt: _now(),
            notBefore: _now(),
            expires: _now() + 30 days,
            access: 2,
            epsilonMilli: 1000,
            salt: "salt"
        });
        item.categories = 1;
    }

    function _commitment() internal view returns (bytes32) {
        return keccak256(abi.encode(Types.CONSENT_TYPEHASH, item.consent));
    }

    /// @dev Alice signs the consent as it now is. Granting again after a change is a new consent.
    function _give() internal {
        bytes32 commitment = _commitment();
        consents.grant(alice.id, commitment, _grantSig(alice, commitment));
    }

    function _items() internal view returns (IReleasePolicy.Item[] memory items) {
        items = new IReleasePolicy.Item[](1);
        items[0] = item;
    }

    function _reason() internal view returns (Reason) {
        return Reason(policy.review(job, _items())[0]);
    }

    function _jobSig(Actor memory by) internal view returns (bytes memory) {
        return _sign(by, _digest(address(consents), keccak256(abi.encode(Types.JOB_TYPEHASH, job))));
    }

    function _checked(bytes memory jobSignature, bytes memory releaseSignature) internal view returns (Reason) {
        return Reason(policy.check(job, jobSignature, RELEASE, releaseSignature, _items())[0]);
    }

    function _assertReason(Reason expected) internal view {
        assertEq(uint8(_reason()), uint8(expected));
    }

    function _assertReason(Reason actual, Reason expected) internal pure {
        assertEq(uint8(actual), uint8(expected));
    }

    /// @dev The same consent with the change just made, granted, has to be refused for `expected`.
    function _givenAnew(Reason expected) internal {
        _give();
        _assertReason(expected);
    }

    /// @dev Turns the scene into the person branch: no study, a download, the consent's scope is the requester.
    function _toPerson() internal {
        (job.study, job.runner, job.access, item.consent.access) = (0, requester.id, 3, 3);
        item.consent.scope = bytes32(uint256(uint160(requester.id)));
        (item.consent.conditions, item.consent.disease) = (0, 0);
    }
}
