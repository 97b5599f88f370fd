// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "../src/interfaces/IDidRegistry.sol";
import {Roles} from "../src/libraries/Roles.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

/// @notice A thief holds the controller's key; `alice` signs for him. A guardian has been named, frozen or not.
contract DidThiefTest is BaseTest {
    function setUp() public override {
        super.setUp();
        _addDelegate(alice, "guardian", bob.id);
    }

    /// @dev Naming somebody anew for no time must not do at once what revokeDelegate does after the delay.
    function test_NamingAGuardianAnewCannotShortenHisTime() public {
        did.addDelegate(alice.id, "guardian", bob.id, 0, _addSig(alice, alice.id, "guardian", bob.id, 0));
        assertTrue(did.mayAct(alice.id, Roles.GUARDIAN, bob.id), "the guardian was sent away at once");
    }

    /// @dev Friends whom the thief himself names are his proposal by another name: a freeze has to void it.
    function test_AThiefsOwnFriendsAreNoWayPastAFreeze() public {
        _addDelegate(alice, "recovery", mallory.id);
        did.setRecovery(alice.id, 1, _setRecoverySig(alice, alice.id, 1));
        IDidRegistry.Vote[] memory votes = new IDidRegistry.Vote[](1);
        votes[0] = _vote(mallory, alice.id, mallory.id);
        try did.recoverOwner(alice.id, mallory.id, votes) {} catch {}
        _freeze(bob, alice.id, _now() + 30 days);
        vm.warp(block.timestamp + 3 days);
        try did.recoverOwner(alice.id, mallory.id, votes) {} catch {}
        vm.warp(block.timestamp + 3 days);
        try did.finalizeOwner(alice.id) {} catch {}
        assertEq(did.identityOwner(alice.id), alice.id, "a frozen identity changed hands");
    }

    /// @dev With a threshold of the victim's in force he needs as many accounts, and nothing else.
    function test_NorAreTheyWithAThresholdOfHers() public {
        Actor[] memory own = new Actor[](2);
        (own[0], own[1]) = (mallory, carol);
        _sort(own);
        _addDelegate(alice, "recovery", makeAddr("friend one"));
        _addDelegate(alice, "recovery", makeAddr("friend two"));
        did.setRecovery(alice.id, 2, _setRecoverySig(alice, alice.id, 2));
        vm.warp(block.timestamp + 30 days);
        _addDelegate(alice, "recovery", own[0].id);
        _addDelegate(alice, "recovery", own[1].id);
        IDidRegistry.Vote[] memory votes = new IDidRegistry.Vote[](2);
        votes[0] = _vote(own[0], alice.id, mallory.id);
        votes[1] = _vote(own[1], alice.id, mallory.id);
        try did.recoverOwner(alice.id, mallory.id, votes) {} catch {}
        _freeze(bob, alice.id, _now() + 30 days);
        vm.warp(block.timestamp + 3 days);
        try did.recoverOwner(alice.id, mallory.id, votes) {} catch {}
        vm.warp(block.timestamp + 3 days);
        try did.finalizeOwner(alice.id) {} catch {}
        assertEq(did.identityOwner(alice.id), alice.id, "a frozen identity changed hands");
    }
}
