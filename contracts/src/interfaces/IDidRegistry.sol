// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "./IConsentRegistry.sol";

/// @title Identities: who may sign for whom
/// @notice The events and reads of ERC-1056, so did:ethr resolvers work unchanged. An address is an identity without
/// any deployment; a passkey is one too (see `isSignedBy`). Every change is a signed EIP-712 message with the chain id
/// and the identity's nonce; anybody may submit it.
/// @dev `isSignedBy` is the only verifier of signatures in the whole system.
interface IDidRegistry {
    /// @notice One recovery delegate's part of a joint proposal.
    struct Vote {
        address member;
        bytes signature;
    }

    struct PendingOwner {
        address newOwner;
        uint48 from;
        bool byRecovery;
    }

    /// @notice A threshold, and the one that replaces it at `from` (0: nothing pending).
    struct Recovery {
        uint8 threshold;
        uint8 next;
        uint48 from;
    }

    // The three events of ERC-1056, letter by letter.
    event DIDOwnerChanged(address indexed identity, address owner, uint256 previousChange);
    event DIDDelegateChanged(
        address indexed identity, bytes32 delegateType, address delegate, uint256 validTo, uint256 previousChange
    );
    event DIDAttributeChanged(
        address indexed identity, bytes32 name, bytes value, uint256 validTo, uint256 previousChange
    );
    event OwnerChangeProposed(address indexed identity, address newOwner, uint48 from);
    event OwnerChangeCancelled(address indexed identity);
    event RecoveryThresholdSet(address indexed identity, uint8 threshold, uint48 from);

    error BadSignature();
    error Frozen();
    error NothingPending();
    error TooEarly(uint48 from);
    error ZeroOwner();
    error TooFewVotes(uint256 needed);
    error VotesNotAscending();

    /// @notice The registry born with this one; a frozen identity's controller can change nothing here.
    function consentRegistry() external view returns (IConsentRegistry);

    /// @notice True if `signature` over `digest` is by the identity's controller, or by a delegate who is now valid for
    /// one of `roles` (a set of bits of Roles.sol; 0 means the controller alone).
    /// @dev signature = type byte, then 0: r, vs (EIP-2098, 64 bytes) · 1: x, y, r, s, uint16 length,
    /// authenticatorData, clientDataJSON (a passkey, user verification required; its address is the last 20 bytes of
    /// keccak256("webauthn", rpIdHash, x, y)) · 2: contract address, bytes (ERC-1271, gas-capped). Nothing is guessed
    /// from code size. Never reverts on a bad signature.
    function isSignedBy(address identity, uint8 roles, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool);

    /// @notice True if `actor` is the controller or a delegate valid now for one of `roles`.
    function mayAct(address identity, uint8 roles, address actor) external view returns (bool);

    // Reads of ERC-1056.
    function identityOwner(address identity) external view returns (address);
    function owners(address identity) external view returns (address);
    function validDelegate(address identity, bytes32 delegateType, address delegate) external view returns (bool);
    function delegates(address identity, bytes32 typeHash, address delegate) external view returns (uint256 validTo);
    function changed(address identity) external view returns (uint256 blockNumber);
    function nonce(address identity) external view returns (uint256);

    /// @notice How many `recovery` delegates must sign together; 0 means no recovery.
    function recoveryThreshold(address identity) external view returns (uint8);
    function pendingOwner(address identity) external view returns (address newOwner, uint48 from, bool byRecovery);

    /// @notice Names a delegate of one type for `validity` seconds. Types with a meaning here: consent, guardian,
    /// recovery, deposit, assertion; others (veriKey, sigAuth) are for DID resolvers.
    function addDelegate(
        address identity,
        bytes32 delegateType,
        address delegate,
        uint256 validity,
        bytes calldata signature
    ) external;
    /// @notice Ends a delegate at once; a guardian or recovery delegate after OWNER_CHANGE_DELAY (naming one anew for a
    /// shorter time ends no sooner either), so that a thief's first act cannot be to send away those who would stop him.
    function revokeDelegate(address identity, bytes32 delegateType, address delegate, bytes calldata signature) external;
    function setAttribute(
        address identity,
        bytes32 name,
        bytes calldata value,
        uint256 validity,
        bytes calldata signature
    ) external;
    function revokeAttribute(address identity, bytes32 name, bytes calldata value, bytes calldata signature) external;
    /// @notice How many recovery delegates are needed, from OWNER_CHANGE_DELAY on; not within a freeze that began before.
    function setRecovery(address identity, uint8 threshold, bytes calldata signature) external;

    /// @notice Begins an owner change; it can be finalized after OWNER_CHANGE_DELAY.
    function proposeOwner(address identity, address newOwner, bytes calldata signature) external;

    /// @notice The same by at least `recoveryThreshold` recovery delegates, ascending by address, each named at least
    /// OWNER_CHANGE_DELAY ago; works while frozen, for those who counted before. Once it is final, all delegates of the
    /// old owner are gone.
    function recoverOwner(address identity, address newOwner, Vote[] calldata votes) external;

    /// @notice The controller stops a pending change. Not while frozen: then a thief may be the controller.
    function cancelOwner(address identity, bytes calldata signature) external;

    /// @notice Completes a pending change once its delay is over. Anybody may call. A freeze that reaches past the
    /// proposal voids it, unless it came from recovery: the freeze may be the victim's answer.
    function finalizeOwner(address identity) external;
}
