// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Base64} from "solady/utils/Base64.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

/// @title From a signature to the address that made it
/// @notice The three kinds of signature of IDidRegistry.isSignedBy. Returns the zero address for anything that is not
/// a signature; never reverts, so that a batch is not stopped by one item.
library Signers {
    uint8 internal constant KIND_ECDSA = 0;
    uint8 internal constant KIND_PASSKEY = 1;
    uint8 internal constant KIND_CONTRACT = 2;

    /// @dev Enough for a multisig wallet, too little to burn a relayer's block.
    uint256 internal constant CONTRACT_GAS = 250_000;
    bytes4 internal constant ERC1271_MAGIC = 0x1626ba7e;
    /// @dev rpIdHash (32), flags (1), counter (4).
    uint256 internal constant MIN_AUTHENTICATOR_DATA = 37;
    bytes1 internal constant USER_PRESENT_AND_VERIFIED = 0x05;

    function signerOf(bytes32 digest, bytes calldata signature) internal view returns (address) {
        if (signature.length < 2) return address(0);
        uint8 kind = uint8(signature[0]);
        bytes calldata body = signature[1:];
        if (kind == KIND_ECDSA) return _ecdsa(digest, body);
        if (kind == KIND_PASSKEY) return _passkey(digest, body);
        if (kind == KIND_CONTRACT) return _contract(digest, body);
        return address(0);
    }

    /// @notice The identity of a passkey. rpIdHash is inside, so a signature made for another web page is another
    /// identity's; it also means that the rpId can never move without an owner change.
    function passkeyAddress(bytes32 rpIdHash, bytes32 x, bytes32 y) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked("webauthn", rpIdHash, x, y)))));
    }

    /// @dev EIP-2098. High s is refused: Solady's ECDSA leaves that to its caller.
    function _ecdsa(bytes32 digest, bytes calldata body) private view returns (address) {
        if (body.length != 64) return address(0);
        bytes32 vs = bytes32(body[32:64]);
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        if (s > 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0) return address(0);
        return ECDSA.tryRecover(digest, bytes32(body[0:32]), vs);
    }

    /// @dev WebAuthn's limited verification (Level 2, 5.8.1.2): type and challenge stand at fixed places. The origin
    /// needs no check, because rpIdHash is bound into the address.
    function _passkey(bytes32 digest, bytes calldata body) private view returns (address) {
        if (body.length < 130 + MIN_AUTHENTICATOR_DATA) return address(0);
        uint256 end = 130 + uint256(uint16(bytes2(body[128:130])));
        if (end < 130 + MIN_AUTHENTICATOR_DATA || end > body.length) return address(0);
        bytes calldata authenticatorData = body[130:end];
        bytes calldata clientData = body[end:];
        if (authenticatorData[32] & USER_PRESENT_AND_VERIFIED != USER_PRESENT_AND_VERIFIED) return address(0);
        bytes memory start = abi.encodePacked(
            '{"type":"webauthn.get","challenge":"', Base64.encode(abi.encodePacked(digest), true, true), '"'
        );
        if (clientData.length < start.length || keccak256(clientData[0:start.length]) != keccak256(start)) {
            return address(0);
        }
        (bytes32 x, bytes32 y) = (bytes32(body[0:32]), bytes32(body[32:64]));
        bytes32 message = sha256(abi.encodePacked(authenticatorData, sha256(clientData)));
        if (!P256.verify(message, bytes32(body[64:96]), bytes32(body[96:128]), x, y)) return address(0);
        return passkeyAddress(bytes32(authenticatorData[0:32]), x, y);
    }

    /// @dev ERC-1271. The answer is read into scratch space, so a huge return cannot cost us memory.
    function _contract(bytes32 digest, bytes calldata body) private view returns (address) {
        if (body.length < 20) return address(0);
        address wallet = address(bytes20(body[0:20]));
        bytes memory question = abi.encodeWithSelector(ERC1271_MAGIC, digest, body[20:]);
        uint256 cap = CONTRACT_GAS;
        bool agreed;
        assembly ("memory-safe") {
            mstore(0, 0)
            let done := staticcall(cap, wallet, add(question, 32), mload(question), 0, 32)
            agreed := and(and(done, gt(returndatasize(), 31)), eq(mload(0), shl(224, 0x1626ba7e)))
        }
        return agreed ? wallet : address(0);
    }
}
