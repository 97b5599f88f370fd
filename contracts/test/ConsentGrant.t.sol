// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {BaseTest} from "./helpers/BaseTest.sol";

contract ConsentGrantTest is BaseTest {
    function _refused(Actor memory by, address subject) private {
        bytes memory signature = _grantSig(by, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(subject, COMMITMENT, signature);
        _assertStanding(subject, COMMITMENT, 0, 0);
    }

    function test_TheDomainIsTheOneOfTheTypedData() public view {
        assertEq(consents.domainSeparator(), _domain(address(consents)));
        assertEq(consents.digestOf(COMMITMENT), _digest(address(consents), COMMITMENT));
        assertEq(address(consents.didRegistry()), address(did));
    }

    function test_NothingIsKnownOfAnUntouchedConsent() public view {
        _assertStanding(alice.id, COMMITMENT, 0, 0);
        assertEq(consents.frozenUntil(alice.id), 0);
    }

    function test_ASubjectGrantsWithAWallet() public {
        bytes memory signature = _grantSig(alice, COMMITMENT);
        vm.expectEmit(address(consents));
        emit IConsentRegistry.ConsentGranted(alice.id, COMMITMENT);
        vm.prank(mallory.id);
        consents.grant(alice.id, COMMITMENT, signature);
        _assertStanding(alice.id, COMMITMENT, _now(), 0);
    }

    function test_ASubjectGrantsWithAPasskey() public {
        _grant(dora, COMMITMENT);
        _assertStanding(dora.id, COMMITMENT, _now(), 0);
    }

    function test_AConsentDelegateGrants() public {
        _addDelegate(alice, "consent", bob.id);
        consents.grant(alice.id, COMMITMENT, _grantSig(bob, COMMITMENT));
        _assertStanding(alice.id, COMMITMENT, _now(), 0);
    }

    function test_AStrangerCannotGrant() public {
        _refused(mallory, alice.id);
    }

    function test_SendingTheTransactionIsNoConsent() public {
        bytes memory signature = _grantSig(mallory, COMMITMENT);
        vm.prank(alice.id);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, COMMITMENT, signature);
    }

    function test_EveryOtherKindOfDelegateCannotGrant() public {
        _addDelegate(alice, "guardian", bob.id);
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "deposit", bob.id);
        _addDelegate(alice, "assertion", bob.id);
        _refused(bob, alice.id);
    }

    function test_AnExpiredConsentDelegateCannotGrant() public {
        _addDelegate(alice, "consent", bob.id);
        vm.warp(block.timestamp + 365 days);
        _refused(bob, alice.id);
    }

    function test_ARevokedConsentDelegateCannotGrant() public {
        _addDelegate(alice, "consent", bob.id);
        did.revokeDelegate(alice.id, "consent", bob.id, _dropSig(alice, alice.id, "consent", bob.id));
        _refused(bob, alice.id);
    }

    function test_AFormerOwnerCannotGrant() public {
        did.proposeOwner(alice.id, bob.id, _proposeOwnerSig(alice, alice.id, bob.id));
        vm.warp(block.timestamp + 3 days);
        did.finalizeOwner(alice.id);
        _refused(alice, alice.id);
        consents.grant(alice.id, COMMITMENT, _grantSig(bob, COMMITMENT));
    }

    function test_ASignatureForOneSubjectIsNoneForAnother() public {
        _refused(alice, bob.id);
    }

    function test_ASignatureForOneCommitmentIsNoneForAnother() public {
        bytes memory signature = _grantSig(alice, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, keccak256("another"), signature);
    }

    function test_ARevocationIsNoGrantAndAGrantNoRevocation() public {
        bytes memory signature = _revokeSig(alice, alice.id, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, COMMITMENT, signature);
        signature = _grantSig(alice, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revoke(alice.id, COMMITMENT, signature);
    }

    function test_TheBareCommitmentWithoutItsDomainIsRefused() public {
        bytes memory signature = _sign(alice, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, COMMITMENT, signature);
    }

    function test_AGrantOnAnotherChainIsRefused() public {
        bytes memory signature = _grantSig(alice, COMMITMENT);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, COMMITMENT, signature);
    }

    function test_AGrantForAnotherDeploymentIsRefused() public {
        bytes memory signature = _grantSig(alice, COMMITMENT);
        super.setUp();
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.grant(alice.id, COMMITMENT, signature);
    }

    function test_ASecondSubmissionIsHarmlessAndKeepsTheFirstTime() public {
        uint48 first = _now();
        bytes memory signature = _grantSig(alice, COMMITMENT);
        consents.grant(alice.id, COMMITMENT, signature);
        vm.warp(block.timestamp + 1 days);
        vm.recordLogs();
        consents.grant(alice.id, COMMITMENT, signature);
        consents.grant(alice.id, COMMITMENT, "nonsense");
        assertEq(vm.getRecordedLogs().length, 0);
        _assertStanding(alice.id, COMMITMENT, first, 0);
    }

    function test_AnOldGrantCannotUndoARevocation() public {
        uint48 first = _now();
        bytes memory signature = _grantSig(alice, COMMITMENT);
        consents.grant(alice.id, COMMITMENT, signature);
        vm.warp(block.timestamp + 1 days);
        _revoke(alice, COMMITMENT);
        consents.grant(alice.id, COMMITMENT, signature);
        _assertStanding(alice.id, COMMITMENT, first, first + 1 days);
    }

    function test_AWithheldGrantDiesWithItsRevocation() public {
        bytes memory withheld = _grantSig(alice, COMMITMENT);
        _revoke(alice, COMMITMENT);
        vm.recordLogs();
        consents.grant(alice.id, COMMITMENT, withheld);
        assertEq(vm.getRecordedLogs().length, 0);
        _assertStanding(alice.id, COMMITMENT, 0, _now());
    }

    function test_AnEnrolmentsHashIsGrantedAndRevokedLikeAnyOther() public {
        bytes32 enrolment = keccak256(abi.encode(Types.ENROL_TYPEHASH, alice.id, bob.id, bytes32("patient 7")));
        _revoke(alice, enrolment);
        _assertStanding(alice.id, enrolment, 0, _now());
    }
}
