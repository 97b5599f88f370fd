// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "../src/interfaces/IDidRegistry.sol";
import {Roles} from "../src/libraries/Roles.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {BaseTest} from "./helpers/BaseTest.sol";

contract DidOwnerTest is BaseTest {
    uint48 private constant DELAY = 3 days;

    function _propose(Actor memory by, address identity, address owner) private {
        did.proposeOwner(identity, owner, _proposeOwnerSig(by, identity, owner));
    }

    function test_AnOwnerChangesAfterTheDelayAndNotBefore() public {
        _propose(alice, alice.id, bob.id);
        uint48 from = _now() + DELAY;
        (address next, uint48 pendingFrom, bool byRecovery) = did.pendingOwner(alice.id);
        assertFalse(byRecovery);
        assertEq(next, bob.id);
        assertEq(pendingFrom, from);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooEarly.selector, from));
        did.finalizeOwner(alice.id);
        vm.warp(from);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), bob.id);
        assertEq(did.owners(alice.id), bob.id);
    }

    function test_AProposalAloneChangesNothing() public {
        _propose(alice, alice.id, bob.id);
        vm.warp(block.timestamp + 365 days);
        assertEq(did.identityOwner(alice.id), alice.id);
        assertFalse(did.mayAct(alice.id, Roles.CONTROLLER, bob.id));
    }

    function test_TheOldOwnerIsOutAfterTheChange() public {
        _propose(alice, alice.id, bob.id);
        vm.warp(block.timestamp + DELAY);
        did.finalizeOwner(alice.id);
        assertFalse(did.mayAct(alice.id, 31, alice.id));
        bytes memory signature = _proposeOwnerSig(alice, alice.id, alice.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.proposeOwner(alice.id, alice.id, signature);
        _propose(bob, alice.id, carol.id);
    }

    function test_OnlyTheControllerProposes() public {
        _addDelegate(alice, "recovery", bob.id);
        _addDelegate(alice, "guardian", bob.id);
        _addDelegate(alice, "consent", bob.id);
        bytes memory signature = _proposeOwnerSig(bob, alice.id, bob.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.proposeOwner(alice.id, bob.id, signature);
    }

    function test_TheZeroAddressOwnsNothing() public {
        bytes memory signature = _proposeOwnerSig(alice, alice.id, address(0));
        vm.expectRevert(IDidRegistry.ZeroOwner.selector);
        did.proposeOwner(alice.id, address(0), signature);
    }

    function test_ANewProposalStartsTheDelayAnew() public {
        _propose(alice, alice.id, bob.id);
        vm.warp(block.timestamp + DELAY - 1);
        _propose(alice, alice.id, carol.id);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooEarly.selector, uint48(block.timestamp - 1 + DELAY)));
        did.finalizeOwner(alice.id);
    }

    function test_NothingToFinalizeOrToCancelIsSaid() public {
        vm.expectRevert(IDidRegistry.NothingPending.selector);
        did.finalizeOwner(alice.id);
        bytes memory signature = _cancelOwnerSig(alice, alice.id);
        vm.expectRevert(IDidRegistry.NothingPending.selector);
        did.cancelOwner(alice.id, signature);
    }

    function test_AChangeIsFinalizedOnce() public {
        _propose(alice, alice.id, bob.id);
        vm.warp(block.timestamp + DELAY);
        did.finalizeOwner(alice.id);
        vm.expectRevert(IDidRegistry.NothingPending.selector);
        did.finalizeOwner(alice.id);
    }

    function test_TheControllerCancels() public {
        _propose(alice, alice.id, mallory.id);
        did.cancelOwner(alice.id, _cancelOwnerSig(alice, alice.id));
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(IDidRegistry.NothingPending.selector);
        did.finalizeOwner(alice.id);
    }

    function test_ACancelledProposalCannotBeSubmittedAgain() public {
        bytes memory proposal = _proposeOwnerSig(alice, alice.id, mallory.id);
        did.proposeOwner(alice.id, mallory.id, proposal);
        did.cancelOwner(alice.id, _cancelOwnerSig(alice, alice.id));
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.proposeOwner(alice.id, mallory.id, proposal);
    }

    function test_NobodyElseCancels() public {
        _propose(alice, alice.id, bob.id);
        bytes memory signature = _cancelOwnerSig(mallory, alice.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.cancelOwner(alice.id, signature);
        signature = _cancelOwnerSig(bob, alice.id);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.cancelOwner(alice.id, signature);
    }

    function test_AFrozenControllerCannotCancel() public {
        _propose(alice, alice.id, bob.id);
        _freeze(alice, alice.id, _now() + 1 days);
        bytes memory signature = _cancelOwnerSig(alice, alice.id);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.cancelOwner(alice.id, signature);
    }

    function test_AFrozenControllerCannotProposeNorSetARecovery() public {
        _freeze(alice, alice.id, _now() + 1 days);
        bytes memory signature = _proposeOwnerSig(alice, alice.id, bob.id);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.proposeOwner(alice.id, bob.id, signature);
        signature = _setRecoverySig(alice, alice.id, 0);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.setRecovery(alice.id, 0, signature);
    }

    function test_AFrozenControllerCannotChangeDelegates() public {
        _addDelegate(alice, "guardian", bob.id);
        _freeze(alice, alice.id, _now() + 1 days);
        bytes memory signature = _addSig(alice, alice.id, "consent", bob.id, 1);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.addDelegate(alice.id, "consent", bob.id, 1, signature);
        signature = _dropSig(alice, alice.id, "guardian", bob.id);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.revokeDelegate(alice.id, "guardian", bob.id, signature);
    }

    function test_AFrozenControllerCannotChangeAttributes() public {
        _freeze(alice, alice.id, _now() + 1 days);
        bytes32 value = keccak256("v");
        bytes memory signature =
            _didSign(alice, keccak256(abi.encode(Types.SET_ATTRIBUTE_TYPEHASH, alice.id, bytes32("n"), value, 1, 0)));
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.setAttribute(alice.id, "n", "v", 1, signature);
        signature =
            _didSign(alice, keccak256(abi.encode(Types.REVOKE_ATTRIBUTE_TYPEHASH, alice.id, bytes32("n"), value, 0)));
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.revokeAttribute(alice.id, "n", "v", signature);
    }

    function test_AFreezeEndsAtItsTimeAndTheControllerIsBack() public {
        uint48 until = _now() + 1 days;
        _freeze(alice, alice.id, until);
        vm.warp(until - 1);
        bytes memory signature = _proposeOwnerSig(alice, alice.id, bob.id);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.proposeOwner(alice.id, bob.id, signature);
        vm.warp(until);
        did.proposeOwner(alice.id, bob.id, signature);
    }

    /// @dev Invariant C8. Otherwise a thief proposes himself and freezes her: nobody can cancel any more.
    function test_AFreezeStopsAnOwnerChangeThatTheControllerBegan() public {
        _propose(alice, alice.id, mallory.id);
        _freeze(alice, alice.id, _now() + 30 days);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), alice.id, "a frozen identity changed hands");
    }

    /// @dev The same: if a freeze only paused it, thief and victim would race when the freeze ends.
    function test_AnOwnerChangeThatAFreezeInterruptedHasToBeginAnew() public {
        _propose(alice, alice.id, mallory.id);
        _freeze(alice, alice.id, _now() + 30 days);
        vm.warp(block.timestamp + 31 days);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), alice.id, "the interrupted change went through");
        _propose(alice, alice.id, carol.id);
        vm.warp(block.timestamp + DELAY);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), carol.id);
    }

    function test_AFreezeThatEndedBeforeTheProposalDoesNotVoidIt() public {
        uint48 until = _now() + 1 days;
        _freeze(alice, alice.id, until);
        vm.warp(until);
        _propose(alice, alice.id, bob.id);
        vm.warp(until + DELAY);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), bob.id);
    }

    function test_AFreezeOfOneSecondPastTheProposalVoidsIt() public {
        _propose(alice, alice.id, mallory.id);
        _freeze(alice, alice.id, _now() + 1);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.finalizeOwner(alice.id);
    }
}
