// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {BaseTest} from "../helpers/BaseTest.sol";
import {IConsentRegistry} from "../../src/interfaces/IConsentRegistry.sol";

/// @title Five people who sign and submit whatever they like about one subject
/// @notice 0 is the controller, 1 a consent delegate, 2 a guardian, 3 and 4 are strangers. After every call the
/// handler compares what the chain says with what it said before.
contract ConsentHandler is BaseTest {
    uint256 public constant COMMITMENTS = 4;

    Actor[5] private people;
    address public subject;
    IConsentRegistry.Standing[COMMITMENTS] private before;

    bytes[] private seenSignatures;
    bytes32[] private seenCommitments;

    /// @dev Set once and never cleared: what an invariant asks for.
    string public wrong;
    uint256 public changes;

    constructor() {
        setUp();
        Actor[5] memory named =
            [alice, _wallet("delegate"), _passkey("guardian"), _wallet("stranger one"), _passkey("stranger two")];
        for (uint256 i; i < 5; ++i) {
            people[i] = named[i];
        }
        subject = alice.id;
        _addDelegate(alice, "consent", people[1].id);
        _addDelegate(alice, "guardian", people[2].id);
        // Delegates are for a year; no run of the suite lasts as long.
    }

    function commitment(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("commitment", i % COMMITMENTS));
    }

    function grant(uint256 who, uint256 i) external {
        bytes32 c = commitment(i);
        bytes memory signature = _grantSig(people[who % 5], c);
        _remember(c, signature);
        try consents.grant(subject, c, signature) {} catch {}
        _settle(who % 5 < 2, false);
    }

    function revoke(uint256 who, uint256 i) external {
        bytes32 c = commitment(i);
        bytes memory signature = _revokeSig(people[who % 5], subject, c);
        _remember(c, signature);
        bool done = consents.standing(subject, c).revokedAt != 0;
        try consents.revoke(subject, c, signature) {}
        catch {
            // Invariant C5: nothing can block a rightful revocation.
            if (done || who % 5 < 3) wrong = "a rightful revocation reverted";
        }
        _settle(who % 5 < 3, false);
    }

    function revokeAll(uint256 who, uint48 ahead) external {
        uint48 cutoff = _now() - 1 days + ahead % 2 days;
        bytes memory signature = _revokeAllSig(people[who % 5], subject, cutoff);
        try consents.revokeAll(subject, cutoff, signature) {} catch {}
        _settle(who % 5 < 3, false);
        if (consents.standing(subject, 0).cutoff > _now() + 1 hours) wrong = "a cutoff far ahead";
    }

    function freeze(uint256 who, uint48 ahead) external {
        uint48 until = _now() + ahead % 40 days;
        bytes memory signature = _freezeSig(people[who % 5], subject, until);
        try consents.freeze(subject, until, signature) {} catch {}
        _settle(who % 5 == 0 || who % 5 == 2, false);
        if (consents.frozenUntil(subject) > _now() + 30 days) wrong = "a freeze far ahead";
    }

    /// @dev Any signature seen so far, as a grant and as a revocation of any commitment, also by batches. What was
    /// once refused may count now only if its signer was entitled to it, which `grant` and `revoke` have tried.
    function replay(uint256 which, uint256 i) external {
        if (seenSignatures.length == 0) return;
        which %= seenSignatures.length;
        bool elsewhere = seenCommitments[which] != commitment(i);
        IConsentRegistry.Signed[] memory items = new IConsentRegistry.Signed[](1);
        items[0] = IConsentRegistry.Signed(subject, commitment(i), seenSignatures[which]);
        consents.grantBatch(items);
        consents.revokeBatch(items);
        _settle(!elsewhere, true);
    }

    function forge(uint256 i, uint8 kind, bytes calldata body) external {
        IConsentRegistry.Signed[] memory items = new IConsentRegistry.Signed[](1);
        items[0] = IConsentRegistry.Signed(subject, commitment(i), abi.encodePacked(kind % 4, body));
        consents.grantBatch(items);
        consents.revokeBatch(items);
        _settle(false, false);
    }

    /// @dev Being the sender gives no right, not even to the subject or to the deployer.
    function sendAsAnyone(uint256 who, uint256 i) external {
        bytes memory signature = _grantSig(people[3], commitment(i));
        vm.prank(who % 6 == 5 ? address(did) : people[who % 6].id);
        try consents.grant(subject, commitment(i), signature) {} catch {}
        _settle(false, false);
    }

    function wait_(uint24 time) external {
        vm.warp(block.timestamp + time % 3 days);
    }

    function standing(uint256 i) public view returns (IConsentRegistry.Standing memory) {
        return consents.standing(subject, commitment(i));
    }

    function _remember(bytes32 c, bytes memory signature) private {
        seenCommitments.push(c);
        seenSignatures.push(signature);
    }

    /// @dev Invariants C1 and C2: nothing goes back, and nothing changes unless `entitled`. A replay can change nothing
    /// either, because its message has had its effect already, or never has one.
    function _settle(bool entitled, bool replayed) private {
        for (uint256 i; i < COMMITMENTS; ++i) {
            IConsentRegistry.Standing memory old = before[i];
            IConsentRegistry.Standing memory next = standing(i);
            bool same = keccak256(abi.encode(old)) == keccak256(abi.encode(next));
            if (same) continue;
            ++changes;
            if (!entitled) wrong = "changed without a right to";
            if (replayed) wrong = "a replay had an effect";
            if (old.grantedAt != 0 && next.grantedAt != old.grantedAt) wrong = "a grant changed";
            if (old.revokedAt != 0 && next.revokedAt != old.revokedAt) wrong = "a revocation changed";
            if (old.revokedAt != 0 && next.grantedAt != old.grantedAt) wrong = "granted after its revocation";
            if (next.cutoff < old.cutoff || next.frozenUntil < old.frozenUntil) wrong = "a time went back";
            before[i] = next;
        }
    }
}
