// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {BaseTest} from "./helpers/BaseTest.sol";

contract SignaturesEcdsaTest is BaseTest {
    bytes32 private constant DIGEST = keccak256("digest");

    function _accepts(address who, bytes memory signature) private view returns (bool) {
        return did.isSignedBy(who, 0, DIGEST, signature);
    }

    function test_AWalletSignsForItsOwnAddressOnly() public view {
        bytes memory signature = _sign(alice, DIGEST);
        assertEq(signature.length, 65);
        assertTrue(_accepts(alice.id, signature));
        assertFalse(_accepts(bob.id, signature));
        assertFalse(_accepts(address(0), signature));
    }

    function test_ASignatureOverAnotherDigestIsRefused() public view {
        assertFalse(did.isSignedBy(alice.id, 0, keccak256("another"), _sign(alice, DIGEST)));
    }

    function test_TheTwinWithAHighSIsRefused() public view {
        for (uint256 i; i < 8; ++i) {
            bytes32 digest = keccak256(abi.encode(i));
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(alice.key, digest);
            uint256 twin = K1_ORDER - uint256(s);
            assertEq(ecrecover(digest, v == 27 ? 28 : 27, r, bytes32(twin)), alice.id, "the twin is valid as such");
            bytes memory signature = abi.encodePacked(uint8(0), r, twin | uint256(28 - v) << 255);
            assertFalse(did.isSignedBy(alice.id, 0, digest, signature), "high s");
        }
    }

    /// @dev EIP-2098 has no room for most high s; for the few that fit, a key is made up by recovery.
    function test_AHighSThatFitsIntoTwoHundredFiftyFiveBitsIsRefused() public view {
        (, bytes32 r,) = vm.sign(alice.key, DIGEST);
        uint256 half = K1_ORDER / 2;
        uint256[3] memory high = [half + 1, half + 2, type(uint256).max >> 1];
        for (uint256 i; i < 3; ++i) {
            address signer = ecrecover(DIGEST, 28, r, bytes32(high[i]));
            assertTrue(signer != address(0), "valid as such");
            assertFalse(_accepts(signer, abi.encodePacked(uint8(0), r, high[i] | 1 << 255)), "high s");
            uint256 low = K1_ORDER - high[i];
            assertTrue(_accepts(signer, abi.encodePacked(uint8(0), r, low)), "its low twin");
        }
    }

    function test_TheOtherRecoveryBitIsRefused() public view {
        bytes memory signature = _sign(alice, DIGEST);
        signature[33] ^= 0x80;
        assertFalse(_accepts(alice.id, signature));
    }

    function test_TheCustomarySixtyFiveBytesAreRefused() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(alice.key, DIGEST);
        assertFalse(_accepts(alice.id, abi.encodePacked(r, s, v)), "r, s, v without a type");
        assertFalse(_accepts(alice.id, abi.encodePacked(uint8(0), r, s, v)), "r, s, v behind type 0");
        assertFalse(_accepts(alice.id, abi.encodePacked(v, r, s)), "v as a type");
        assertFalse(_accepts(alice.id, abi.encodePacked(r, uint256(s) | uint256(v - 27) << 255)), "no type");
    }

    function test_EveryLengthButOneIsRefused() public view {
        bytes memory whole = abi.encodePacked(_sign(alice, DIGEST), new bytes(40));
        for (uint256 length; length < whole.length; ++length) {
            bytes memory part = new bytes(length);
            for (uint256 i; i < length; ++i) {
                part[i] = whole[i];
            }
            assertEq(_accepts(alice.id, part), length == 65);
        }
    }

    function test_EveryOtherTypeByteIsRefused() public view {
        bytes memory signature = _sign(alice, DIGEST);
        for (uint256 kind = 1; kind < 256; ++kind) {
            signature[0] = bytes1(uint8(kind));
            assertFalse(_accepts(alice.id, signature));
        }
    }

    function test_EveryFlippedBitIsRefused() public view {
        bytes memory signature = _sign(alice, DIGEST);
        for (uint256 bit; bit < 8 * signature.length; ++bit) {
            signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
            assertFalse(_accepts(alice.id, signature));
            signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        }
    }

    function test_ZerosAndOnesAreNobodysSignature() public view {
        bytes memory signature = new bytes(65);
        assertFalse(_accepts(address(0), signature));
        for (uint256 i = 1; i < 65; ++i) {
            signature[i] = 0xff;
        }
        assertFalse(_accepts(address(0), signature));
    }

    function test_ADelegateSignsForHerOnlyInItsRoles() public {
        _addDelegate(alice, "guardian", bob.id);
        bytes memory signature = _sign(bob, DIGEST);
        assertTrue(did.isSignedBy(alice.id, 2, DIGEST, signature));
        assertTrue(did.isSignedBy(alice.id, 3, DIGEST, signature));
        assertFalse(did.isSignedBy(alice.id, 0, DIGEST, signature));
        assertFalse(did.isSignedBy(alice.id, 1, DIGEST, signature));
        assertFalse(did.isSignedBy(alice.id, 0xfd, DIGEST, signature));
    }

    /// forge-config: default.fuzz.runs = 2048
    function testFuzz_RandomBytesAreNobodysSignatureAndNeverRevert(uint8 kind, bytes32 digest, bytes calldata body)
        public
        view
    {
        bytes memory signature = abi.encodePacked(kind % 4, body);
        assertFalse(did.isSignedBy(alice.id, 255, digest, signature));
        assertFalse(did.isSignedBy(dora.id, 255, digest, signature));
        assertFalse(did.isSignedBy(address(0), 255, digest, signature));
    }

    function testFuzz_SixtyFourRandomBytesAreNobodysSignature(bytes32 digest, bytes32 r, bytes32 vs) public view {
        assertFalse(did.isSignedBy(alice.id, 255, digest, abi.encodePacked(uint8(0), r, vs)));
        assertFalse(did.isSignedBy(address(0), 255, digest, abi.encodePacked(uint8(0), r, vs)));
    }
}
