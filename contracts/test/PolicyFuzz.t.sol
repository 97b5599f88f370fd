// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IReleasePolicy, Reason} from "../src/interfaces/IReleasePolicy.sol";
import {IStudyRegistry} from "../src/interfaces/IStudyRegistry.sol";
import {PolicyTest} from "./helpers/PolicyTest.sol";

contract PolicyFuzzTest is PolicyTest {
    struct Masks {
        uint64 wanted;
        uint64 allowed;
        uint64 ofStudy;
        uint64 conditions;
        uint64 conditionsMet;
        uint64 record;
        uint64 categories;
        uint64 categoriesOfStudy;
        uint8 access;
        uint8 accessAllowed;
        uint32 epsilon;
        uint32 epsilonAllowed;
        uint8 disease;
    }

    uint256[14] private widths = [160, 160, 256, 256, 64, 64, 256, 64, 48, 48, 48, 8, 32, 256];

    /// @dev Any change of an opening is a commitment that nobody granted.
    function testFuzz_AnyChangedFieldOfAnOpeningIsNoConsent(uint256 field, uint256 change) public {
        _give();
        field %= 14;
        change &= type(uint256).max >> (256 - widths[field]);
        vm.assume(change != 0);
        bytes memory words = abi.encode(item.consent);
        assembly {
            let place := add(add(words, 32), mul(field, 32))
            mstore(place, xor(mload(place), change))
        }
        item.consent = abi.decode(words, (IReleasePolicy.Consent));
        _assertReason(field == 1 ? Reason.OTHER_POLICY : Reason.NO_CONSENT);
    }

    /// @dev The rules of the terms again, bit by bit, so that they share no mask arithmetic with the contract.
    function testFuzz_TheTermsAreReadAsTheReferenceReadsThem(Masks memory m, uint256 mercy) public {
        _soften(m, mercy);
        IStudyRegistry.Terms memory terms = _terms();
        (terms.purposes, terms.conditions, terms.categories) = (m.ofStudy, m.conditionsMet, m.categoriesOfStudy);
        vm.mockCall(address(studies), abi.encodeCall(studies.termsOf, (study, 1)), abi.encode(terms));
        (job.purpose, job.access, job.epsilonMilli) = (m.wanted, m.access, m.epsilon);
        if (m.access == 3) job.runner = requester.id;
        IReleasePolicy.Consent storage c = item.consent;
        (c.purposes, c.conditions, c.categories) = (m.allowed, m.conditions, m.categories);
        (c.access, c.epsilonMilli) = (m.accessAllowed, m.epsilonAllowed);
        c.disease = m.disease == 0 ? bytes32(0) : m.disease == 1 ? PARENT : bytes32("unlisted");
        item.categories = m.record;
        _givenAnew(_reference(m));
    }

    /// @dev Makes each rule hold in half of the runs: pure chance would fail the first one nearly always.
    function _soften(Masks memory m, uint256 mercy) private pure {
        m.access %= 5;
        m.accessAllowed %= 5;
        m.disease %= 3;
        if (mercy & 1 != 0) m.wanted = uint64(1) << (m.wanted % 64);
        if (mercy & 6 != 0) m.ofStudy |= m.wanted;
        if (mercy & 24 != 0) m.allowed |= m.wanted;
        if (mercy & 32 != 0) m.conditionsMet |= m.conditions;
        if (mercy & 64 != 0) m.categories |= m.record;
        if (mercy & 128 != 0) m.categoriesOfStudy |= m.record;
        if (mercy & 256 != 0 && m.access > m.accessAllowed) (m.access, m.accessAllowed) = (1, 2);
        if (mercy & 512 != 0 && m.epsilon > m.epsilonAllowed) m.epsilon = m.epsilonAllowed;
        if (mercy & 1024 != 0) m.disease = 1;
    }

    function _reference(Masks memory m) private pure returns (Reason) {
        if (m.wanted == 0 || !_within(m.wanted, m.ofStudy)) return Reason.PURPOSE_NOT_OF_STUDY;
        if (m.access < 1 || m.access > 3) return Reason.ACCESS_NOT_OF_STUDY;
        if (!_within(m.wanted, m.allowed)) return Reason.PURPOSE;
        if (!_within(m.conditions, m.conditionsMet)) return Reason.CONDITIONS;
        if (m.disease == 2) return Reason.DISEASE;
        if (m.record == 0 || !_within(m.record, m.categories)) return Reason.CATEGORY;
        if (!_within(m.record, m.categoriesOfStudy)) return Reason.CATEGORY;
        if (m.accessAllowed < m.access) return Reason.ACCESS;
        return m.epsilonAllowed < m.epsilon ? Reason.EPSILON : Reason.ALLOWED;
    }

    function _within(uint64 some, uint64 all) private pure returns (bool) {
        for (uint256 bit; bit < 64; ++bit) {
            if ((some >> bit) % 2 == 1 && (all >> bit) % 2 == 0) return false;
        }
        return true;
    }

    /// @dev The times again: allowed only in the one order in which all of them hold.
    function testFuzz_TheTimesAreReadAsTheReferenceReadsThem(uint8[5] memory offsets, uint8 later) public {
        uint48 base = _now();
        IReleasePolicy.Consent storage c = item.consent;
        c.signedAt = base - 128 + offsets[0];
        c.notBefore = base + offsets[1];
        c.expires = base + offsets[2];
        uint48 cutoff = base - 128 + offsets[3];
        _give();
        consents.revokeAll(alice.id, cutoff, _revokeAllSig(alice, alice.id, cutoff));
        _freeze(alice, alice.id, base + offsets[4]);
        vm.warp(uint256(base) + later);
        Reason expected = Reason.ALLOWED;
        if (later >= offsets[2]) expected = Reason.EXPIRED;
        if (later < offsets[1]) expected = Reason.NOT_YET_VALID;
        if (offsets[0] <= offsets[3] || offsets[0] > 128) expected = Reason.CUT_OFF;
        if (later < offsets[4]) expected = Reason.FROZEN;
        _assertReason(expected);
    }

    function testFuzz_NoRandomSignatureIsAJobsOrAReleases(uint8 kind, bytes calldata body) public {
        _give();
        bytes memory random = abi.encodePacked(kind % 4, body);
        _assertReason(_checked(random, _sign(runner, RELEASE)), Reason.JOB_SIGNATURE);
        _assertReason(_checked(_jobSig(requester), random), Reason.RELEASE_SIGNATURE);
    }
}
