// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Vm} from "forge-std/Vm.sol";
import {IConsentRegistry} from "../../src/interfaces/IConsentRegistry.sol";
import {IReleasePolicy} from "../../src/interfaces/IReleasePolicy.sol";
import "../../src/libraries/TypeHashes.sol" as Types;
import {PolicyTest} from "../helpers/PolicyTest.sol";

/// @notice Every message is monotone: it may arrive twice, late, in any order and from anybody.
contract OrderTest is PolicyTest {
    uint256 private constant COMMITMENTS = 4;

    bytes[] private calls;

    /// @dev Signed so that of the four cutoffs some are before it and some after.
    function _opening(uint256 i) private view returns (IReleasePolicy.Consent memory consent) {
        consent = item.consent;
        (consent.subject, consent.salt, consent.signedAt) = (_subject(i), bytes32(i), _now() - 9);
    }

    function _commitment(uint256 i) private view returns (bytes32) {
        return keccak256(abi.encode(Types.CONSENT_TYPEHASH, _opening(i)));
    }

    function _subject(uint256 i) private view returns (address) {
        return i % 2 == 0 ? alice.id : dora.id;
    }

    /// @dev A random set of signed messages by and about two people, the chosen bits of `which`.
    function _sign(uint256 which) private {
        for (uint256 i; i < COMMITMENTS; ++i) {
            Actor memory who = i % 2 == 0 ? alice : dora;
            bytes32 c = _commitment(i);
            _push(which >> (4 * i), abi.encodeCall(IConsentRegistry.grant, (who.id, c, _grantSig(who, c))));
            _push(
                which >> (4 * i + 1), abi.encodeCall(IConsentRegistry.revoke, (who.id, c, _revokeSig(who, who.id, c)))
            );
            uint48 time = _now() - 10 + uint48(i);
            _push(
                which >> (4 * i + 2),
                abi.encodeCall(IConsentRegistry.revokeAll, (who.id, time, _revokeAllSig(who, who.id, time)))
            );
            time += 1 days;
            _push(
                which >> (4 * i + 3),
                abi.encodeCall(IConsentRegistry.freeze, (who.id, time, _freezeSig(who, who.id, time)))
            );
        }
        bytes memory bad = _grantSig(mallory, _commitment(0));
        _push(which >> 20, abi.encodeCall(IConsentRegistry.grant, (alice.id, _commitment(0), bad)));
    }

    function _push(uint256 bit, bytes memory data) private {
        if (bit & 1 == 1) calls.push(data);
    }

    /// @dev Sends all messages in a random order, some of them twice, and says where that ends. A grant that came
    /// after its revocation leaves no time, so what counts is whether a consent holds, not when it once began.
    function _sendAll(uint256 seed) private returns (bytes32) {
        uint256 count = calls.length;
        uint256[] memory order = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            order[i] = i;
        }
        for (uint256 i = count; i > 1; --i) {
            uint256 j = uint256(keccak256(abi.encode(seed, i))) % i;
            (order[i - 1], order[j]) = (order[j], order[i - 1]);
        }
        vm.recordLogs();
        for (uint256 i; i < count; ++i) {
            vm.prank(address(uint160(uint256(keccak256(abi.encode(seed, "sender", i))))));
            (bool done,) = address(consents).call(calls[order[i]]);
            if (done && (seed >> (i % 64)) & 1 == 1) {
                (done,) = address(consents).call(calls[order[i]]);
                assertTrue(done, "a second submission reverted");
            }
        }
        _assertLogTellsAll(vm.getRecordedLogs());
        bytes32 state = _state();
        bytes memory reasons = _reasons();
        vm.warp(_now() + 2 days); // every freeze is over: it no longer hides what is below it
        return keccak256(abi.encode(state, reasons, _reasons()));
    }

    /// @dev What a key server answers, which is what it writes into its journal.
    function _reasons() private view returns (bytes memory) {
        IReleasePolicy.Item[] memory items = new IReleasePolicy.Item[](COMMITMENTS);
        for (uint256 i; i < COMMITMENTS; ++i) {
            items[i] = IReleasePolicy.Item(_opening(i), item.categories);
        }
        IReleasePolicy.Job memory late = job;
        late.deadline = type(uint48).max;
        return abi.encode(policy.review(late, items));
    }

    function _state() private view returns (bytes32 state) {
        for (uint256 i; i < COMMITMENTS; ++i) {
            IConsentRegistry.Standing memory s = consents.standing(_subject(i), _commitment(i));
            bool active = s.grantedAt != 0 && s.revokedAt == 0;
            state = keccak256(abi.encode(state, active, s.revokedAt, s.cutoff, s.frozenUntil));
        }
    }

    /// @dev Invariant C7: the events alone give the whole state.
    function _assertLogTellsAll(Vm.Log[] memory logs) private view {
        for (uint256 i; i < COMMITMENTS; ++i) {
            IConsentRegistry.Standing memory told;
            for (uint256 j; j < logs.length; ++j) {
                if (address(uint160(uint256(logs[j].topics[1]))) != _subject(i)) continue;
                bytes32 topic = logs[j].topics[0];
                bool same = logs[j].topics.length > 2 && logs[j].topics[2] == _commitment(i);
                if (topic == IConsentRegistry.ConsentGranted.selector && same) told.grantedAt = _now();
                if (topic == IConsentRegistry.ConsentRevoked.selector && same) told.revokedAt = _now();
                if (topic == IConsentRegistry.AllRevoked.selector) told.cutoff = abi.decode(logs[j].data, (uint48));
                if (topic == IConsentRegistry.SubjectFrozen.selector) {
                    told.frozenUntil = abi.decode(logs[j].data, (uint48));
                }
            }
            bytes32 held = keccak256(abi.encode(consents.standing(_subject(i), _commitment(i))));
            assertEq(keccak256(abi.encode(told)), held, "the log tells another state");
        }
    }

    /// forge-config: default.fuzz.runs = 256
    function testFuzz_AnyOrderOfTheSameMessagesEndsInTheSameState(uint256 which, uint256 one, uint256 two) public {
        _sign(which);
        uint256 fresh = vm.snapshotState();
        bytes32 first = _sendAll(one);
        vm.revertToState(fresh);
        assertEq(first, _sendAll(two));
    }
}
