// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Test} from "forge-std/Test.sol";
import {Base64} from "solady/utils/Base64.sol";

/// @title People with keys, and the signatures they make
/// @notice Written from IDidRegistry.isSignedBy alone, so that it does not repeat a mistake of Signers.sol.
abstract contract Signing is Test {
    struct Actor {
        address id;
        uint256 key;
        bool passkey;
    }

    /// @notice What an authenticator and a browser put into one passkey signature.
    struct Ceremony {
        bytes32 rpIdHash;
        uint8 flags;
        string purpose;
        bytes32 challenge;
        bool highS;
    }

    uint256 internal constant K1_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint256 internal constant P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    bytes32 internal constant RP_ID_HASH = sha256("localhost");
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    function _wallet(string memory name) internal returns (Actor memory) {
        (address id, uint256 key) = makeAddrAndKey(name);
        return Actor(id, key, false);
    }

    function _passkey(string memory name) internal pure returns (Actor memory) {
        uint256 key = uint256(keccak256(bytes(name))) % (P256_ORDER - 1) + 1;
        return Actor(_passkeyAddress(RP_ID_HASH, key), key, true);
    }

    function _passkeyAddress(bytes32 rpIdHash, uint256 key) internal pure returns (address) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return address(uint160(uint256(keccak256(abi.encodePacked("webauthn", rpIdHash, x, y)))));
    }

    /// @dev Ascending by address, as every list of voters and members has to be.
    function _sort(Actor[] memory people) internal pure {
        for (uint256 i; i < people.length; ++i) {
            for (uint256 j; j + 1 < people.length; ++j) {
                if (people[j].id > people[j + 1].id) (people[j], people[j + 1]) = (people[j + 1], people[j]);
            }
        }
    }

    function _domain(address verifyingContract) internal view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("Consentum"), keccak256("1"), block.chainid, verifyingContract)
        );
    }

    function _digest(address verifyingContract, bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", _domain(verifyingContract), structHash));
    }

    function _sign(Actor memory who, bytes32 digest) internal pure returns (bytes memory) {
        return who.passkey ? _passkeySignature(who.key, _ceremony(digest)) : _walletSignature(who.key, digest);
    }

    /// @dev Type 0: EIP-2098, the recovery bit in the top bit of s.
    function _walletSignature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(uint8(0), r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function _ceremony(bytes32 digest) internal pure returns (Ceremony memory) {
        return Ceremony(RP_ID_HASH, 0x05, "webauthn.get", digest, false);
    }

    /// @dev Type 1: x, y, r, s, length of authenticatorData, authenticatorData, clientDataJSON.
    function _passkeySignature(uint256 key, Ceremony memory c) internal pure returns (bytes memory) {
        bytes memory authenticatorData = abi.encodePacked(c.rpIdHash, c.flags, uint32(7));
        bytes memory clientData = abi.encodePacked(
            '{"type":"',
            c.purpose,
            '","challenge":"',
            Base64.encode(abi.encodePacked(c.challenge), true, true),
            '","origin":"http://localhost:8000","crossOrigin":false}'
        );
        bytes32 message = sha256(abi.encodePacked(authenticatorData, sha256(clientData)));
        (bytes32 r, bytes32 s) = vm.signP256(key, message);
        if (uint256(s) > P256_ORDER / 2 != c.highS) s = bytes32(P256_ORDER - uint256(s));
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encodePacked(uint8(1), x, y, r, s, uint16(authenticatorData.length), authenticatorData, clientData);
    }

    /// @dev Type 2: the contract that is asked, and what it is shown.
    function _contractSignature(address wallet, bytes memory shown) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(2), wallet, shown);
    }
}
