// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

/// @title What a delegate may do, as bits, so that one look-up can accept several types
library Roles {
    /// @dev The controller alone.
    uint8 internal constant CONTROLLER = 0;
    /// @dev Grant and revoke: a proxy, a second passkey.
    uint8 internal constant CONSENT = 1;
    /// @dev Only revoke and freeze.
    uint8 internal constant GUARDIAN = 2;
    /// @dev Together propose a new owner.
    uint8 internal constant RECOVERY = 4;
    /// @dev A custodian's staff keys.
    uint8 internal constant DEPOSIT = 8;
    /// @dev Sign-in.
    uint8 internal constant ASSERTION = 16;

    /// @dev The ERC-1056 delegate type of one bit.
    function delegateType(uint8 role) internal pure returns (bytes32) {
        if (role == CONSENT) return "consent";
        if (role == GUARDIAN) return "guardian";
        if (role == RECOVERY) return "recovery";
        if (role == DEPOSIT) return "deposit";
        return "assertion";
    }
}
