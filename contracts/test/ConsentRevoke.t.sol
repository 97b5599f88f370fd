// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract ConsentRevokeTest is BaseTest {
    function _refused(Actor memory by, address subject) private {
        bytes memory signature = _revokeSig(by, subject, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revoke(subject, COMMITMENT, signature);
    }

    function _cutoff(Actor memory by, uint48 cutoff) private {
        consents.revokeAll(alice.id, cutoff, _revokeAllSig(by, alice.id, cutoff));
    }

    function _cutoffOf(address subject) private view returns (uint48) {
        return consents.standing(subject, COMMITMENT).cutoff;
    }

    function test_ASubjectRevokes() public {
        _grant(alice, COMMITMENT);
        uint48 granted = _now();
        vm.warp(granted + 5);
        bytes memory signature = _revokeSig(alice, alice.id, COMMITMENT);
        vm.expectEmit(address(consents));
        emit IConsentRegistry.ConsentRevoked(alice.id, COMMITMENT);
        consents.revoke(alice.id, COMMITMENT, signature);
        _assertStanding(alice.id, COMMITMENT, granted, granted + 5);
    }

    function test_APasskeyRevokes() public {
        _grant(dora, COMMITMENT);
        _revoke(dora, COMMITMENT);
        _assertStanding(dora.id, COMMITMENT, _now(), _now());
    }

    function test_ConsentDelegatesAndGuardiansRevoke() public {
        _addDelegate(alice, "consent", bob.id);
        _addDelegate(alice, "guardian", carol.id);
        consents.revoke(alice.id, COMMITMENT, _revokeSig(bob, alice.id, COMMITMENT));
        bytes32 second = keccak256("second");
        consents.revoke(alice.id, second, _revokeSig(carol, alice.id, second));
        _assertStanding(alice.id, COMMITMENT, 0, _now());
        _assertStanding(alice.id, second, 0, _now());
    }

    function test_AStrangerCannotRevoke() public {
        _grant(alice, COMMITMENT);
        _refused(mallory, alice.id);
        _assertStanding(alice.id, COMMITMENT, _now(), 0);
    }

    function test_OtherDelegatesCannotRevoke() public {
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "deposit", bob.id);
        _addDelegate(alice, "assertion", bob.id);
        _refused(bob, alice.id);
    }

    function test_ARevocationOfAnotherSubjectsConsentIsRefused() public {
        bytes memory signature = _revokeSig(alice, alice.id, COMMITMENT);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revoke(bob.id, COMMITMENT, signature);
    }

    function test_ARevocationOnAnotherChainOrDeploymentIsRefused() public {
        bytes memory signature = _revokeSig(alice, alice.id, COMMITMENT);
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revoke(alice.id, COMMITMENT, signature);
        vm.chainId(chain);
        super.setUp();
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revoke(alice.id, COMMITMENT, signature);
    }

    function test_ASecondRevocationIsHarmlessAndKeepsTheFirstTime() public {
        uint48 first = _now();
        _revoke(alice, COMMITMENT);
        vm.warp(first + 9);
        vm.recordLogs();
        _revoke(alice, COMMITMENT);
        consents.revoke(alice.id, COMMITMENT, "");
        assertEq(vm.getRecordedLogs().length, 0);
        _assertStanding(alice.id, COMMITMENT, 0, first);
    }

    function test_RevokingWorksWhileFrozenAndHasNoDeadline() public {
        _grant(alice, COMMITMENT);
        bytes memory signature = _revokeSig(alice, alice.id, COMMITMENT);
        vm.warp(block.timestamp + 3650 days);
        _freeze(alice, alice.id, _now() + 1 days);
        consents.revoke(alice.id, COMMITMENT, signature);
        assertEq(consents.standing(alice.id, COMMITMENT).revokedAt, _now());
    }

    function test_RevokingOneLeavesTheOthers() public {
        _grant(alice, COMMITMENT);
        _revoke(alice, keccak256("another"));
        _assertStanding(alice.id, COMMITMENT, _now(), 0);
    }

    function test_RevokeAllRaisesTheCutoffForHerAlone() public {
        uint48 cutoff = _now();
        bytes memory signature = _revokeAllSig(alice, alice.id, cutoff);
        vm.expectEmit(address(consents));
        emit IConsentRegistry.AllRevoked(alice.id, cutoff);
        consents.revokeAll(alice.id, cutoff, signature);
        assertEq(_cutoffOf(alice.id), cutoff);
        assertEq(_cutoffOf(bob.id), 0);
    }

    function test_ACutoffIsAtMostOneHourAhead() public {
        uint48 latest = _now() + 1 hours;
        bytes memory signature = _revokeAllSig(alice, alice.id, latest + 1);
        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.TooFarAhead.selector, latest));
        consents.revokeAll(alice.id, latest + 1, signature);
        signature = _revokeAllSig(alice, alice.id, type(uint48).max);
        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.TooFarAhead.selector, latest));
        consents.revokeAll(alice.id, type(uint48).max, signature);
        _cutoff(alice, latest);
        assertEq(_cutoffOf(alice.id), latest);
    }

    function test_ACutoffNeverGoesBack() public {
        uint48 time = _now();
        _cutoff(alice, time);
        vm.recordLogs();
        _cutoff(alice, time - 1);
        _cutoff(alice, time);
        consents.revokeAll(alice.id, 0, "");
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(_cutoffOf(alice.id), time);
    }

    function test_ConsentDelegatesAndGuardiansRevokeAll() public {
        _addDelegate(alice, "consent", bob.id);
        _addDelegate(alice, "guardian", carol.id);
        _cutoff(bob, _now() - 1);
        _cutoff(carol, _now());
        assertEq(_cutoffOf(alice.id), _now());
    }

    function test_AStrangerOrAnotherDelegateCannotRevokeAll() public {
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "deposit", bob.id);
        bytes memory signature = _revokeAllSig(bob, alice.id, _now());
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(alice.id, _now(), signature);
        signature = _revokeAllSig(mallory, alice.id, _now());
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(alice.id, _now(), signature);
    }

    function test_ASignedCutoffIsForItsTimeAndSubjectOnly() public {
        bytes memory signature = _revokeAllSig(alice, alice.id, _now() - 10);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(alice.id, _now(), signature);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(bob.id, _now() - 10, signature);
    }

    function test_RevokeAllOnAnotherChainIsRefused() public {
        bytes memory signature = _revokeAllSig(alice, alice.id, _now());
        vm.chainId(block.chainid + 1);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(alice.id, _now(), signature);
    }
}
