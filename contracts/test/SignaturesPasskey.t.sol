// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {BaseTest} from "./helpers/BaseTest.sol";

contract SignaturesPasskeyTest is BaseTest {
    bytes32 private constant DIGEST = keccak256("digest");

    function _accepts(bytes memory signature) private view returns (bool) {
        return did.isSignedBy(dora.id, 0, DIGEST, signature);
    }

    function _made(Ceremony memory ceremony) private view returns (bytes memory) {
        return _passkeySignature(dora.key, ceremony);
    }

    function test_APasskeySignsForItsOwnAddressOnly() public view {
        bytes memory signature = _sign(dora, DIGEST);
        assertTrue(_accepts(signature));
        assertFalse(did.isSignedBy(alice.id, 0, DIGEST, signature));
        assertFalse(did.isSignedBy(_passkey("another").id, 0, DIGEST, signature));
        assertFalse(did.isSignedBy(address(0), 0, DIGEST, signature));
    }

    function test_ThirtyTwoDigestsAreSignedAndAccepted() public view {
        for (uint256 i; i < 32; ++i) {
            bytes32 digest = keccak256(abi.encode(i));
            assertTrue(did.isSignedBy(dora.id, 0, digest, _sign(dora, digest)));
        }
    }

    function test_TheTwinWithAHighSIsRefused() public view {
        for (uint256 i; i < 4; ++i) {
            Ceremony memory ceremony = _ceremony(keccak256(abi.encode(i)));
            assertTrue(did.isSignedBy(dora.id, 0, ceremony.challenge, _made(ceremony)));
            ceremony.highS = true;
            assertFalse(did.isSignedBy(dora.id, 0, ceremony.challenge, _made(ceremony)));
        }
    }

    function test_WithoutUserVerificationOrPresenceItIsRefused() public view {
        for (uint256 flags; flags < 256; ++flags) {
            if (flags & 0x05 == 0x05 && flags != 0x05 && flags != 0x1d && flags != 0xff) continue;
            Ceremony memory ceremony = _ceremony(DIGEST);
            ceremony.flags = uint8(flags);
            assertEq(_accepts(_made(ceremony)), flags & 0x05 == 0x05);
        }
    }

    function test_ARegistrationIsNoSignature() public view {
        Ceremony memory ceremony = _ceremony(DIGEST);
        ceremony.purpose = "webauthn.create";
        assertFalse(_accepts(_made(ceremony)));
        ceremony.purpose = "payment.get";
        assertFalse(_accepts(_made(ceremony)));
        ceremony.purpose = "webauthn.get ";
        assertFalse(_accepts(_made(ceremony)));
    }

    function test_AChallengeOfAnotherDigestIsRefused() public view {
        Ceremony memory ceremony = _ceremony(keccak256("another"));
        assertFalse(_accepts(_made(ceremony)));
        assertTrue(did.isSignedBy(dora.id, 0, ceremony.challenge, _made(ceremony)));
    }

    function test_ASignatureForAnotherPageIsAnotherIdentitys() public view {
        Ceremony memory ceremony = _ceremony(DIGEST);
        ceremony.rpIdHash = sha256("evil.example");
        bytes memory signature = _made(ceremony);
        assertFalse(_accepts(signature));
        assertTrue(did.isSignedBy(_passkeyAddress(ceremony.rpIdHash, dora.key), 0, DIGEST, signature));
    }

    function test_ASignatureByAnotherKeyUnderHerKeysNameIsRefused() public view {
        bytes memory signature = _sign(_passkey("another"), DIGEST);
        bytes memory hers = _sign(dora, DIGEST);
        for (uint256 i = 1; i < 65; ++i) {
            signature[i] = hers[i];
        }
        assertFalse(_accepts(signature));
    }

    function test_TruncatedAtAnyLengthItIsRefusedAndNeverReverts() public view {
        bytes memory whole = _sign(dora, DIGEST);
        for (uint256 length; length < whole.length; ++length) {
            bytes memory part = new bytes(length);
            for (uint256 i; i < length; ++i) {
                part[i] = whole[i];
            }
            assertFalse(_accepts(part));
            assertFalse(did.isSignedBy(address(0), 0, DIGEST, part));
        }
    }

    function test_EveryWrongLengthOfAuthenticatorDataIsRefused() public view {
        bytes memory signature = _sign(dora, DIGEST);
        for (uint256 length; length <= 400; ++length) {
            (signature[129], signature[130]) = (bytes1(uint8(length >> 8)), bytes1(uint8(length)));
            assertEq(_accepts(signature), length == 37);
        }
        (signature[129], signature[130]) = (0xff, 0xff);
        assertFalse(_accepts(signature));
    }

    function test_AnyFlippedByteIsRefused() public view {
        bytes memory signature = _sign(dora, DIGEST);
        for (uint256 i; i < signature.length; ++i) {
            signature[i] ^= 0x01;
            assertFalse(_accepts(signature));
            signature[i] ^= 0x01;
        }
    }

    function test_AKeyOffTheCurveOrAtInfinityIsRefused() public view {
        bytes memory signature = _sign(dora, DIGEST);
        for (uint256 i = 1; i < 65; ++i) {
            signature[i] = 0;
        }
        bytes32 nothing;
        address atInfinity =
            address(uint160(uint256(keccak256(abi.encodePacked("webauthn", RP_ID_HASH, nothing, nothing)))));
        assertFalse(did.isSignedBy(atInfinity, 0, DIGEST, signature));
    }

    function test_ZeroRAndSAreRefused() public view {
        bytes memory signature = _sign(dora, DIGEST);
        for (uint256 i = 65; i < 129; ++i) {
            signature[i] = 0;
        }
        assertFalse(_accepts(signature));
    }

    /// forge-config: default.fuzz.runs = 128
    function testFuzz_AChangedPasskeySignatureIsRefused(uint256 place, uint8 mask) public view {
        vm.assume(mask != 0);
        bytes memory signature = _sign(dora, DIGEST);
        signature[place % signature.length] ^= bytes1(mask);
        assertFalse(_accepts(signature));
    }
}
