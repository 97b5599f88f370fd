// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {DidRegistry} from "../src/DidRegistry.sol";
import {IConsentRegistry} from "../src/interfaces/IConsentRegistry.sol";
import {IDidRegistry} from "../src/interfaces/IDidRegistry.sol";
import {Roles} from "../src/libraries/Roles.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract DidDelegatesTest is BaseTest {
    bytes32[5] private kinds =
        [bytes32("consent"), bytes32("guardian"), bytes32("recovery"), bytes32("deposit"), bytes32("assertion")];

    function _may(uint8 roles) private view returns (bool) {
        return did.mayAct(alice.id, roles, bob.id);
    }

    function test_AControllerMayDoEverythingWithoutAnyRegistration() public view {
        assertTrue(did.mayAct(alice.id, Roles.CONTROLLER, alice.id));
        assertTrue(did.mayAct(dora.id, Roles.CONSENT, dora.id));
    }

    function test_AStrangerMayDoNothing() public view {
        for (uint256 roles; roles < 256; ++roles) {
            assertFalse(_may(uint8(roles)));
        }
    }

    function test_NobodyIsTheZeroAddress() public view {
        assertFalse(did.mayAct(alice.id, 31, address(0)));
        assertFalse(did.mayAct(address(0), 31, address(0)));
        assertFalse(did.isSignedBy(address(0), 31, bytes32(uint256(1)), hex"0001"));
    }

    function test_EachDelegateTypeOpensItsOwnBitAndNoOther() public {
        for (uint256 i; i < kinds.length; ++i) {
            uint256 fresh = vm.snapshotState();
            _addDelegate(alice, kinds[i], bob.id);
            assertFalse(_may(Roles.CONTROLLER), "a delegate is not the controller");
            for (uint256 bit; bit < 8; ++bit) {
                assertEq(_may(uint8(1 << bit)), bit == i, "one bit");
            }
            assertEq(_may(Roles.CONSENT | Roles.GUARDIAN), i < 2, "a set of bits is an or");
            vm.revertToState(fresh);
        }
    }

    function test_ADelegateOfAnUnknownTypeMayDoNothingHere() public {
        _addDelegate(alice, "veriKey", bob.id);
        assertTrue(did.validDelegate(alice.id, "veriKey", bob.id));
        assertFalse(_may(255));
    }

    function test_ADelegateEndsExactlyWhenItsValidityEnds() public {
        did.addDelegate(alice.id, "consent", bob.id, 100, _addSig(alice, alice.id, "consent", bob.id, 100));
        uint256 start = _now();
        vm.warp(start + 99);
        assertTrue(_may(Roles.CONSENT));
        vm.warp(start + 100);
        assertFalse(_may(Roles.CONSENT));
    }

    function test_ADelegateOfNoValidityNeverStarts() public {
        did.addDelegate(alice.id, "consent", bob.id, 0, _addSig(alice, alice.id, "consent", bob.id, 0));
        assertFalse(_may(Roles.CONSENT));
    }

    function test_AValidityThatOverflowsIsRefused() public {
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, type(uint256).max);
        vm.expectRevert();
        did.addDelegate(alice.id, "consent", bob.id, type(uint256).max, signature);
    }

    function _drop(bytes32 kind) private {
        did.revokeDelegate(alice.id, kind, bob.id, _dropSig(alice, alice.id, kind, bob.id));
    }

    function test_ARevokedDelegateIsOutAtOnce() public {
        bytes32[4] memory atOnce = [bytes32("consent"), bytes32("deposit"), bytes32("assertion"), bytes32("sigAuth")];
        for (uint256 i; i < 4; ++i) {
            _addDelegate(alice, atOnce[i], bob.id);
            _drop(atOnce[i]);
            assertFalse(did.validDelegate(alice.id, atOnce[i], bob.id));
        }
        assertFalse(_may(31));
    }

    function test_ARevokedGuardianOrFriendIsOutAfterTheDelayAndNotBefore() public {
        for (uint256 i = 1; i < 3; ++i) {
            uint256 start = _now();
            _addDelegate(alice, kinds[i], bob.id);
            _drop(kinds[i]);
            assertTrue(_may(uint8(1 << i)), "at once");
            vm.warp(start + 3 days - 1);
            assertTrue(_may(uint8(1 << i)), "just before");
            vm.warp(start + 3 days);
            assertFalse(_may(uint8(1 << i)), "after");
        }
    }

    /// @dev A thief's first act cannot be to send away who would stop him.
    function test_AGuardianWhomAThiefSentAwayStillFreezes() public {
        _addDelegate(alice, "guardian", bob.id);
        _drop("guardian");
        vm.warp(block.timestamp + 3 days - 1);
        _freeze(bob, alice.id, _now() + 10 days);
        assertEq(consents.frozenUntil(alice.id), _now() + 10 days);
        vm.warp(block.timestamp + 1);
        bytes memory signature = _freezeSig(bob, alice.id, _now() + 20 days);
        vm.expectRevert(IConsentRegistry.BadSignature.selector);
        consents.freeze(alice.id, _now() + 20 days, signature);
    }

    function test_ARevocationNeverMakesAGuardianLastLonger() public {
        for (uint256 i = 1; i < 3; ++i) {
            uint256 start = _now();
            did.addDelegate(alice.id, kinds[i], bob.id, 1 days, _addSig(alice, alice.id, kinds[i], bob.id, 1 days));
            _drop(kinds[i]);
            vm.warp(start + 1 days);
            assertFalse(_may(uint8(1 << i)), "longer than he was named for");
            _drop(kinds[i]);
            assertFalse(_may(uint8(1 << i)), "back after his time");
        }
    }

    function test_ARevocationRepeatedDoesNotStartTheDelayAnew() public {
        _addDelegate(alice, "guardian", bob.id);
        uint256 start = _now();
        _drop("guardian");
        vm.warp(start + 2 days);
        _drop("guardian");
        vm.warp(start + 3 days);
        assertFalse(_may(Roles.GUARDIAN));
    }

    function test_RevokingWhoWasNeverNamedNamesNobody() public {
        _drop("guardian");
        _drop("recovery");
        assertFalse(_may(31));
    }

    function test_ADelegateOfOneSubjectIsNobodyForAnother() public {
        _addDelegate(alice, "consent", bob.id);
        assertFalse(did.mayAct(carol.id, Roles.CONSENT, bob.id));
    }

    function test_ADelegateOfADelegateIsNobody() public {
        _addDelegate(alice, "consent", bob.id);
        _addDelegate(bob, "consent", carol.id);
        assertFalse(did.mayAct(alice.id, Roles.CONSENT, carol.id));
    }

    function test_ADelegateCannotNameAnotherDelegate() public {
        for (uint256 i; i < kinds.length; ++i) {
            _addDelegate(alice, kinds[i], bob.id);
        }
        bytes memory signature = _addSig(bob, alice.id, "consent", mallory.id, 1 days);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", mallory.id, 1 days, signature);
    }

    function test_AStrangerCannotRevokeADelegate() public {
        _addDelegate(alice, "guardian", bob.id);
        bytes memory signature = _dropSig(mallory, alice.id, "guardian", bob.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.revokeDelegate(alice.id, "guardian", bob.id, signature);
    }

    function test_SendingTheTransactionGivesNoRight() public {
        bytes memory signature = _addSig(mallory, alice.id, "consent", mallory.id, 1 days);
        vm.prank(alice.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", mallory.id, 1 days, signature);
    }

    function test_ASignedMessageWorksOnce() public {
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, 1 days);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
        assertEq(did.nonce(alice.id), 1);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
    }

    function test_AnOldMessageCannotBringBackARevokedDelegate() public {
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, 1 days);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
        did.revokeDelegate(alice.id, "consent", bob.id, _dropSig(alice, alice.id, "consent", bob.id));
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
    }

    function test_ARefusedMessageLeavesTheNonceAsItWas() public {
        bytes memory bad = _addSig(mallory, alice.id, "consent", bob.id, 1 days);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, bad);
        assertEq(did.nonce(alice.id), 0);
    }

    function test_AMessageForAnotherTypeDelegateOrValidityIsRefused() public {
        bytes memory signature = _addSig(alice, alice.id, "guardian", bob.id, 1 days);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "guardian", mallory.id, 1 days, signature);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "guardian", bob.id, 2 days, signature);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(carol.id, "guardian", bob.id, 1 days, signature);
    }

    function test_AMessageOfAnotherChainIsRefused() public {
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, 1 days);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
    }

    function test_AMessageOfAnotherDeploymentIsRefused() public {
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, 1 days);
        DidRegistry second = new DidRegistry();
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        second.addDelegate(alice.id, "consent", bob.id, 1 days, signature);
    }

    function test_APasskeyNamesDelegatesLikeAWallet() public {
        _addDelegate(dora, "guardian", bob.id);
        assertTrue(did.mayAct(dora.id, Roles.GUARDIAN, bob.id));
    }
}
