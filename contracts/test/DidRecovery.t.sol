// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "../src/interfaces/IDidRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract DidRecoveryTest is BaseTest {
    uint48 private constant DELAY = 3 days;

    Actor[3] private friends;
    address private rescued;

    function setUp() public override {
        super.setUp();
        Actor[] memory sorted = new Actor[](3);
        (sorted[0], sorted[1], sorted[2]) = (_wallet("friend one"), _wallet("friend two"), _passkey("friend three"));
        _sort(sorted);
        for (uint256 i; i < 3; ++i) {
            friends[i] = sorted[i];
        }
        for (uint256 i; i < 3; ++i) {
            _addDelegate(alice, "recovery", friends[i].id);
        }
        _setThreshold(2);
        rescued = makeAddr("a new phone");
        vm.warp(block.timestamp + 60 days); // friends and threshold have long counted
    }

    function _setThreshold(uint8 threshold) private {
        did.setRecovery(alice.id, threshold, _setRecoverySig(alice, alice.id, threshold));
    }

    function _votes(uint256 a, uint256 b) private view returns (IDidRegistry.Vote[] memory votes) {
        votes = new IDidRegistry.Vote[](2);
        votes[0] = _vote(friends[a], alice.id, rescued);
        votes[1] = _vote(friends[b], alice.id, rescued);
    }

    function test_EveryTwoOfThreeFriendsRecoverHer() public {
        for (uint256 skipped; skipped < 3; ++skipped) {
            uint256 fresh = vm.snapshotState();
            did.recoverOwner(alice.id, rescued, _votes(skipped == 0 ? 1 : 0, skipped == 2 ? 1 : 2));
            vm.warp(block.timestamp + 3 days);
            did.finalizeOwner(alice.id);
            assertEq(did.identityOwner(alice.id), rescued);
            vm.revertToState(fresh);
        }
    }

    function test_RecoveryWaitsForTheDelayToo() public {
        did.recoverOwner(alice.id, rescued, _votes(0, 1));
        uint48 from = _now() + 3 days;
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooEarly.selector, from));
        did.finalizeOwner(alice.id);
    }

    function test_RecoveryWorksWhileFrozenAndAThiefCannotCancelIt() public {
        _addDelegate(alice, "guardian", bob.id);
        _freeze(bob, alice.id, _now() + 7 days);
        did.recoverOwner(alice.id, rescued, _votes(0, 2));
        bytes memory signature = _cancelOwnerSig(alice, alice.id);
        vm.expectRevert(IDidRegistry.Frozen.selector);
        did.cancelOwner(alice.id, signature);
        vm.warp(block.timestamp + 3 days);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), rescued);
    }

    function test_RecoveryReplacesAThiefsProposal() public {
        did.proposeOwner(alice.id, mallory.id, _proposeOwnerSig(alice, alice.id, mallory.id));
        _freeze(alice, alice.id, _now() + 7 days);
        did.recoverOwner(alice.id, rescued, _votes(0, 1));
        (address next,, bool byRecovery) = did.pendingOwner(alice.id);
        assertEq(next, rescued);
        assertTrue(byRecovery);
    }

    function test_AControllerWhoIsNotFrozenCancelsAFalseRecovery() public {
        did.recoverOwner(alice.id, rescued, _votes(0, 1));
        did.cancelOwner(alice.id, _cancelOwnerSig(alice, alice.id));
        vm.expectRevert(IDidRegistry.NothingPending.selector);
        did.finalizeOwner(alice.id);
    }

    function test_OneFriendTwiceIsNotTwoFriends() public {
        IDidRegistry.Vote[] memory votes = _votes(1, 1);
        vm.expectRevert(IDidRegistry.VotesNotAscending.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_UnsortedVotesAreRefused() public {
        IDidRegistry.Vote[] memory votes = _votes(1, 0);
        vm.expectRevert(IDidRegistry.VotesNotAscending.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_TooFewVotesAreRefused() public {
        IDidRegistry.Vote[] memory votes = new IDidRegistry.Vote[](1);
        votes[0] = _vote(friends[0], alice.id, rescued);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooFewVotes.selector, 2));
        did.recoverOwner(alice.id, rescued, votes);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooFewVotes.selector, 2));
        did.recoverOwner(alice.id, rescued, new IDidRegistry.Vote[](0));
    }

    function test_WithoutAThresholdThereIsNoRecovery() public {
        _setThreshold(0);
        vm.warp(block.timestamp + DELAY);
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooFewVotes.selector, 0));
        did.recoverOwner(alice.id, rescued, votes);
        vm.expectRevert(abi.encodeWithSelector(IDidRegistry.TooFewVotes.selector, 0));
        did.recoverOwner(alice.id, rescued, new IDidRegistry.Vote[](0));
    }

    function test_AStrangerAmongTheVotersSpoilsThemAll() public {
        for (uint256 i; i < 2; ++i) {
            IDidRegistry.Vote[] memory votes = _votes(0, 1);
            votes[i] = _vote(mallory, alice.id, rescued);
            if (votes[0].member > votes[1].member) (votes[0], votes[1]) = (votes[1], votes[0]);
            vm.expectRevert(IDidRegistry.BadSignature.selector);
            did.recoverOwner(alice.id, rescued, votes);
        }
    }

    function test_AVoteInAFriendsNameBySomeoneElseIsRefused() public {
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        votes[1].signature = _proposeOwnerSig(mallory, alice.id, rescued);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
        votes[1].signature = votes[0].signature;
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_VotesForOneOwnerMakeNoOther() public {
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, mallory.id, votes);
    }

    function test_VotesCountOnce() public {
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        did.recoverOwner(alice.id, rescued, votes);
        did.cancelOwner(alice.id, _cancelOwnerSig(alice, alice.id));
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_AnExpiredOrRevokedFriendNoLongerVotes() public {
        did.revokeDelegate(alice.id, "recovery", friends[0].id, _dropSig(alice, alice.id, "recovery", friends[0].id));
        vm.warp(block.timestamp + DELAY);
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
        vm.warp(block.timestamp + 365 days);
        votes = _votes(1, 2);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_GuardiansAndConsentDelegatesDoNotRecover() public {
        _addDelegate(alice, "guardian", mallory.id);
        _addDelegate(alice, "consent", mallory.id);
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        votes[1] = _vote(mallory, alice.id, rescued);
        if (votes[0].member > votes[1].member) (votes[0], votes[1]) = (votes[1], votes[0]);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_RecoveryToNobodyIsRefused() public {
        rescued = address(0);
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        vm.expectRevert(IDidRegistry.ZeroOwner.selector);
        did.recoverOwner(alice.id, address(0), votes);
    }

    /// @dev Otherwise a thief first sends her friends away, then nobody can stop him.
    function test_AFriendWhomAThiefSentAwayStillRecoversHer() public {
        for (uint256 i; i < 3; ++i) {
            bytes memory signature = _dropSig(alice, alice.id, "recovery", friends[i].id);
            did.revokeDelegate(alice.id, "recovery", friends[i].id, signature);
        }
        vm.warp(block.timestamp + DELAY - 1);
        did.recoverOwner(alice.id, rescued, _votes(0, 1));
        vm.warp(block.timestamp + DELAY);
        did.finalizeOwner(alice.id);
        assertEq(did.identityOwner(alice.id), rescued);
    }

    /// @dev The same by switching recovery off, or by asking for more friends than she has.
    function test_AThiefsThresholdComesTooLateToStopHerFriends() public {
        for (uint8 threshold; threshold < 6; threshold += 5) {
            uint256 fresh = vm.snapshotState();
            _setThreshold(threshold);
            vm.warp(_now() + DELAY - 1);
            did.recoverOwner(alice.id, rescued, _votes(0, 1));
            vm.revertToState(fresh);
        }
    }

    function test_AFirstThresholdWaitsForTheDelayToo() public {
        did.setRecovery(bob.id, 3, _setRecoverySig(bob, bob.id, 3));
        vm.warp(block.timestamp + DELAY - 1);
        assertEq(did.recoveryThreshold(bob.id), 0);
        vm.warp(block.timestamp + 1);
        assertEq(did.recoveryThreshold(bob.id), 3);
    }

    function test_AFriendNamedLessThanTheDelayAgoDoesNotCount() public {
        _addDelegate(alice, "recovery", mallory.id);
        IDidRegistry.Vote[] memory votes = _votes(0, 1);
        (votes[0], votes[1]) = mallory.id < friends[0].id
            ? (_vote(mallory, alice.id, rescued), _vote(friends[0], alice.id, rescued))
            : (_vote(friends[0], alice.id, rescued), _vote(mallory, alice.id, rescued));
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.recoverOwner(alice.id, rescued, votes);
        vm.warp(block.timestamp + DELAY);
        did.recoverOwner(alice.id, rescued, votes);
    }

    function test_OnceRecoveredTheOldOwnersDelegatesAreGone() public {
        _addDelegate(alice, "consent", mallory.id);
        did.recoverOwner(alice.id, rescued, _votes(0, 1));
        vm.warp(block.timestamp + DELAY);
        did.finalizeOwner(alice.id);
        assertFalse(did.validDelegate(alice.id, "consent", mallory.id));
        assertFalse(did.validDelegate(alice.id, "recovery", friends[0].id));
    }

    function test_ALaterThresholdWaitsForTheDelay() public {
        uint48 from = _now() + DELAY;
        for (uint8 threshold; threshold < 4; ++threshold) {
            uint256 fresh = vm.snapshotState();
            _setThreshold(threshold);
            assertEq(did.recoveryThreshold(alice.id), 2);
            vm.warp(from - 1);
            assertEq(did.recoveryThreshold(alice.id), 2);
            vm.warp(from);
            assertEq(did.recoveryThreshold(alice.id), threshold);
            vm.revertToState(fresh);
        }
    }

    function test_AThresholdChangedAgainMeanwhileStartsTheDelayAnew() public {
        _setThreshold(1);
        vm.warp(_now() + DELAY - 1);
        _setThreshold(0);
        uint48 from = _now() + DELAY;
        vm.warp(from - 1);
        assertEq(did.recoveryThreshold(alice.id), 2);
        vm.warp(from);
        assertEq(did.recoveryThreshold(alice.id), 0);
    }

    function test_OnlyTheControllerSetsTheThreshold() public {
        bytes memory signature = _setRecoverySig(friends[0], alice.id, 1);
        vm.expectRevert(IDidRegistry.BadSignature.selector);
        did.setRecovery(alice.id, 1, signature);
        assertEq(did.recoveryThreshold(alice.id), 2);
    }
}
