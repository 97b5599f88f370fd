// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "../../src/interfaces/IDidRegistry.sol";
import {BaseTest} from "../helpers/BaseTest.sol";

/// @title Six people who all try to become the owner of one identity
/// @notice 0 is the first controller, 1 to 3 are recovery delegates (two have to agree), 4 and 5 are strangers.
contract OwnerHandler is BaseTest {
    uint256 private constant PEOPLE = 6;
    uint48 private constant DELAY = 3 days;

    Actor[PEOPLE] private people;
    address public identity;
    address private owner;
    address private proposed;
    uint48 private proposedAt;
    bool private byRecovery;
    bool private friendsCount = true;
    uint256 private nonce;

    /// @dev Set once and never cleared: what an invariant asks for.
    string public wrong;

    constructor() {
        setUp();
        Actor[] memory friends = new Actor[](3);
        (friends[0], friends[1], friends[2]) = (_wallet("one"), _wallet("two"), _wallet("three"));
        _sort(friends);
        (people[0], people[4], people[5]) = (alice, mallory, _wallet("another stranger"));
        for (uint256 i; i < 3; ++i) {
            people[i + 1] = friends[i];
            bytes memory signature = _addSig(alice, alice.id, "recovery", friends[i].id, 1e9);
            did.addDelegate(alice.id, "recovery", friends[i].id, 1e9, signature);
        }
        did.setRecovery(alice.id, 2, _setRecoverySig(alice, alice.id, 2));
        vm.warp(block.timestamp + 60 days); // friends and threshold have long counted
        (identity, owner, nonce) = (alice.id, alice.id, did.nonce(alice.id));
    }

    function propose(uint256 who, uint256 next) external {
        Actor memory by = people[who % PEOPLE];
        address to = people[next % PEOPLE].id;
        try did.proposeOwner(identity, to, _proposeOwnerSig(by, identity, to)) {
            if (by.id != owner) wrong = "a stranger proposed";
            if (_frozen()) wrong = "a frozen controller proposed";
            _settle(1);
            (proposed, proposedAt, byRecovery) = (to, _now(), false);
        } catch {
            _settle(0);
        }
    }

    function recover(uint256 one, uint256 two, uint256 next) external {
        (one, two) = (one % PEOPLE, two % PEOPLE);
        address to = people[next % PEOPLE].id;
        IDidRegistry.Vote[] memory votes = new IDidRegistry.Vote[](2);
        votes[0] = _vote(people[one], identity, to);
        votes[1] = _vote(people[two], identity, to);
        bool rightful = friendsCount && one >= 1 && one < two && two <= 3;
        try did.recoverOwner(identity, to, votes) {
            if (!rightful) wrong = "too few friends recovered her";
            _settle(1);
            (proposed, proposedAt, byRecovery) = (to, _now(), true);
        } catch {
            if (rightful) wrong = "a rightful recovery was refused";
            _settle(0);
        }
    }

    function cancel(uint256 who) external {
        Actor memory by = people[who % PEOPLE];
        try did.cancelOwner(identity, _cancelOwnerSig(by, identity)) {
            if (by.id != owner) wrong = "a stranger cancelled";
            if (_frozen()) wrong = "a frozen controller cancelled";
            _settle(1);
            (proposed, proposedAt, byRecovery) = (address(0), 0, false);
        } catch {
            _settle(0);
        }
    }

    function finalize() external {
        bool voided = !byRecovery && consents.frozenUntil(identity) > proposedAt;
        bool due = proposedAt != 0 && _now() >= proposedAt + DELAY && !voided;
        try did.finalizeOwner(identity) {
            if (voided) wrong = "an owner changed whose change a freeze had voided";
            if (proposedAt == 0 || _now() < proposedAt + DELAY) wrong = "an owner changed too early";
            if (did.identityOwner(identity) != proposed) wrong = "an owner whom nobody proposed";
            if (byRecovery) friendsCount = false; // the old owner's delegates are gone
            (owner, proposed, proposedAt, byRecovery) = (proposed, address(0), 0, false);
            _settle(0);
        } catch {
            if (due) wrong = "a change that was due was refused";
            _settle(0);
        }
    }

    function freeze(uint256 who, uint48 time) external {
        uint48 until = _now() + time % 5 days;
        bytes memory signature = _freezeSig(people[who % PEOPLE], identity, until);
        try consents.freeze(identity, until, signature) {} catch {}
        _settle(0);
    }

    function wait_(uint24 time) external {
        vm.warp(_now() + time % 2 days);
        _settle(0);
    }

    function _frozen() private view returns (bool) {
        return _now() < consents.frozenUntil(identity);
    }

    /// @dev Invariant C3 as well: each message that counted has spent one nonce, and nothing else has.
    function _settle(uint256 spent) private {
        if (did.identityOwner(identity) != owner) wrong = "the owner changed unasked";
        if (did.nonce(identity) != nonce + spent) wrong = "a nonce was not spent once";
        nonce += spent;
        if (spent != 0) return;
        (address next, uint48 from, bool recovery) = did.pendingOwner(identity);
        bool same = next == proposed && from == (proposedAt == 0 ? 0 : proposedAt + DELAY) && recovery == byRecovery;
        if (!same) wrong = "a proposal changed unasked";
    }
}
