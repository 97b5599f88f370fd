// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract ConsentFreezeTest is BaseTest {
    function _refused(Actor memory by) private {
        bytes memory signature = _freezeSig(by, alice.id, _now() + 1 days);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(alice.id, _now() + 1 days, signature);
        assertEq(consents.frozenUntil(alice.id), 0);
    }

    function test_ASubjectFreezesHerself() public {
        uint48 until = _now() + 1 days;
        bytes memory signature = _freezeSig(alice, alice.id, until);
        vm.expectEmit(address(consents));
        emit IConsentRegistry.SubjectFrozen(alice.id, until);
        consents.freeze(alice.id, until, signature);
        assertEq(consents.frozenUntil(alice.id), until);
        assertEq(consents.standing(alice.id, COMMITMENT).frozenUntil, until);
        assertEq(consents.frozenUntil(bob.id), 0);
    }

    function test_APasskeyFreezes() public {
        _freeze(dora, dora.id, _now() + 1);
        assertEq(consents.frozenUntil(dora.id), _now() + 1);
    }

    function test_AGuardianFreezes() public {
        _addDelegate(alice, "guardian", bob.id);
        _freeze(bob, alice.id, _now() + 1 days);
        assertEq(consents.frozenUntil(alice.id), _now() + 1 days);
    }

    function test_AConsentDelegateCannotFreeze() public {
        _addDelegate(alice, "consent", bob.id);
        _refused(bob);
    }

    function test_OtherDelegatesAndStrangersCannotFreeze() public {
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "deposit", bob.id);
        _addDelegate(alice, "assertion", bob.id);
        _refused(bob);
        _refused(mallory);
    }

    function test_AnExpiredGuardianCannotFreeze() public {
        _addDelegate(alice, "guardian", bob.id);
        vm.warp(block.timestamp + 365 days);
        _refused(bob);
    }

    function test_AFreezeIsAtMostThirtyDaysAhead() public {
        uint48 latest = _now() + 30 days;
        bytes memory signature = _freezeSig(alice, alice.id, latest + 1);
        vm.expectRevert(abi.encodeWithSelector(IConsentRegistry.TooFarAhead.selector, latest));
        consents.freeze(alice.id, latest + 1, signature);
        _freeze(alice, alice.id, latest);
        assertEq(consents.frozenUntil(alice.id), latest);
    }

    function test_AFreezeOnlyGrows() public {
        uint48 until = _now() + 2 days;
        _freeze(alice, alice.id, until);
        vm.recordLogs();
        _freeze(alice, alice.id, until - 1);
        consents.freeze(alice.id, until, "");
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(consents.frozenUntil(alice.id), until);
        _freeze(alice, alice.id, until + 1);
        assertEq(consents.frozenUntil(alice.id), until + 1);
    }

    function test_ASignedFreezeIsForItsTimeSubjectAndChainOnly() public {
        uint48 until = _now() + 1 days;
        bytes memory signature = _freezeSig(alice, alice.id, until);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(alice.id, until + 1, signature);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(bob.id, until, signature);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(alice.id, until, signature);
    }

    function test_ARevokeAllIsNoFreeze() public {
        uint48 time = _now() + 1 hours;
        bytes memory signature = _revokeAllSig(alice, alice.id, time);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(alice.id, time, signature);
        signature = _freezeSig(alice, alice.id, time);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.revokeAll(alice.id, time, signature);
    }
}
