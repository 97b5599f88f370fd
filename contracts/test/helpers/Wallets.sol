// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

bytes4 constant MAGIC = 0x1626ba7e;

/// @notice A contract wallet that agrees to one digest, if shown the right word.
contract GoodWallet {
    bytes32 private immutable _digest;

    constructor(bytes32 digest) {
        _digest = digest;
    }

    function isValidSignature(bytes32 digest, bytes calldata shown) external view returns (bytes4) {
        return digest == _digest && keccak256(shown) == keccak256("sesame") ? MAGIC : bytes4(0xffffffff);
    }
}

/// @notice Burns all the gas it is given.
contract BurningWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return MAGIC;
    }
}

/// @notice Agrees, with as many bytes as its gas can pay for behind the answer.
contract HugeWallet {
    bytes32 private immutable _start;

    constructor(bytes32 start) {
        _start = start;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        bytes32 start = _start;
        assembly {
            mstore(0, start)
            return(0, 100000)
        }
    }
}

/// @notice Answers with fewer than 32 bytes, or reverts with the magic value.
contract RudeWallet {
    bool private immutable _reverts;

    constructor(bool reverts) {
        _reverts = reverts;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        bool reverts = _reverts;
        bytes32 magic = MAGIC;
        assembly {
            mstore(0, magic)
            if reverts { revert(0, 32) }
            return(0, 31)
        }
    }
}
