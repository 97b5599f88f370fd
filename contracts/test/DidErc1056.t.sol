// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "../src/interfaces/IDidRegistry.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {BaseTest} from "./helpers/BaseTest.sol";

/// @notice What ethr-did-resolver reads: it walks `changed` and `previousChange` back through the events.
contract DidErc1056Test is BaseTest {
    bytes32 private constant NAME = "did/pub/Ed25519/veriKey/base64";

    function _attributeSig(bytes32 typeHash, bool withValidity) private view returns (bytes memory) {
        bytes32 value = keccak256("key");
        uint256 nonce = did.nonce(alice.id);
        bytes memory words = withValidity
            ? abi.encode(typeHash, alice.id, NAME, value, uint256(50), nonce)
            : abi.encode(typeHash, alice.id, NAME, value, nonce);
        return _didSign(alice, keccak256(words));
    }

    function test_TheEventsHaveTheTopicsOfErc1056() public pure {
        assertEq(IDidRegistry.DIDOwnerChanged.selector, keccak256("DIDOwnerChanged(address,address,uint256)"), "owner");
        assertEq(
            IDidRegistry.DIDDelegateChanged.selector,
            keccak256("DIDDelegateChanged(address,bytes32,address,uint256,uint256)"),
            "delegate"
        );
        assertEq(
            IDidRegistry.DIDAttributeChanged.selector,
            keccak256("DIDAttributeChanged(address,bytes32,bytes,uint256,uint256)"),
            "attribute"
        );
    }

    function test_AnUntouchedIdentityOwnsItself() public view {
        assertEq(did.identityOwner(alice.id), alice.id);
        assertEq(did.owners(alice.id), address(0));
        assertEq(did.changed(alice.id), 0);
        assertEq(did.nonce(alice.id), 0);
    }

    function test_DelegatesAreKeyedByTheHashOfTheirType() public {
        _addDelegate(alice, "sigAuth", bob.id);
        bytes32 typeHash = keccak256(abi.encode(bytes32("sigAuth")));
        assertEq(did.delegates(alice.id, typeHash, bob.id), block.timestamp + 365 days);
        assertEq(did.delegates(alice.id, "sigAuth", bob.id), 0);
    }

    function test_EveryChangeNamesTheBlockOfTheOneBefore() public {
        bytes memory signature = _addSig(alice, alice.id, "sigAuth", bob.id, 10);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDDelegateChanged(alice.id, "sigAuth", bob.id, block.timestamp + 10, 0);
        did.addDelegate(alice.id, "sigAuth", bob.id, 10, signature);
        vm.roll(1010);
        signature = _attributeSig(Types.SET_ATTRIBUTE_TYPEHASH, true);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDAttributeChanged(alice.id, NAME, "key", block.timestamp + 50, 1000);
        did.setAttribute(alice.id, NAME, "key", 50, signature);
        vm.roll(1020);
        signature = _attributeSig(Types.REVOKE_ATTRIBUTE_TYPEHASH, false);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDAttributeChanged(alice.id, NAME, "key", 0, 1010);
        did.revokeAttribute(alice.id, NAME, "key", signature);
        vm.roll(1030);
        signature = _dropSig(alice, alice.id, "sigAuth", bob.id);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDDelegateChanged(alice.id, "sigAuth", bob.id, block.timestamp, 1020);
        did.revokeDelegate(alice.id, "sigAuth", bob.id, signature);
        assertEq(did.changed(alice.id), 1030);
    }

    /// @dev A resolver reads from the log when a guardian ends: the delay is in it.
    function test_ADelayedRevocationIsInTheLogWithItsTime() public {
        _addDelegate(alice, "guardian", bob.id);
        bytes memory signature = _dropSig(alice, alice.id, "guardian", bob.id);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDDelegateChanged(alice.id, "guardian", bob.id, block.timestamp + 3 days, block.number);
        did.revokeDelegate(alice.id, "guardian", bob.id, signature);
    }

    function test_AnOwnerChangesInTheLogWhenItIsFinalized() public {
        bytes memory signature = _proposeOwnerSig(alice, alice.id, bob.id);
        vm.expectEmit(address(did));
        emit IDidRegistry.OwnerChangeProposed(alice.id, bob.id, _now() + 3 days);
        did.proposeOwner(alice.id, bob.id, signature);
        assertEq(did.changed(alice.id), 0, "a proposal is no change of the document");
        vm.warp(block.timestamp + 3 days);
        vm.roll(2000);
        vm.expectEmit(address(did));
        emit IDidRegistry.DIDOwnerChanged(alice.id, bob.id, 0);
        did.finalizeOwner(alice.id);
        assertEq(did.changed(alice.id), 2000);
    }

    function test_AnotherIdentitysChangesDoNotTouchHerChain() public {
        _addDelegate(bob, "sigAuth", carol.id);
        assertEq(did.changed(alice.id), 0);
    }

    function test_AStrangerCannotSetAnAttribute() public {
        bytes32 structHash = keccak256(
            abi.encode(Types.SET_ATTRIBUTE_TYPEHASH, alice.id, NAME, keccak256("key"), uint256(50), uint256(0))
        );
        bytes memory signature = _didSign(mallory, structHash);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.setAttribute(alice.id, NAME, "key", 50, signature);
    }

    function test_AnAttributesValueIsSigned() public {
        bytes memory signature = _attributeSig(Types.SET_ATTRIBUTE_TYPEHASH, true);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.setAttribute(alice.id, NAME, "another key", 50, signature);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.setAttribute(alice.id, NAME, "key", 51, signature);
    }

    function test_CancellingIsInTheLog() public {
        did.proposeOwner(alice.id, bob.id, _proposeOwnerSig(alice, alice.id, bob.id));
        bytes memory signature = _cancelOwnerSig(alice, alice.id);
        vm.expectEmit(address(did));
        emit IDidRegistry.OwnerChangeCancelled(alice.id);
        did.cancelOwner(alice.id, signature);
    }

    function test_TheThresholdIsInTheLog() public {
        bytes memory signature = _setRecoverySig(alice, alice.id, 3);
        vm.expectEmit(address(did));
        emit IDidRegistry.RecoveryThresholdSet(alice.id, 3, _now() + 3 days);
        did.setRecovery(alice.id, 3, signature);
        signature = _setRecoverySig(alice, alice.id, 1);
        vm.expectEmit(address(did));
        emit IDidRegistry.RecoveryThresholdSet(alice.id, 1, _now() + 3 days);
        did.setRecovery(alice.id, 1, signature);
    }
}
