// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "./IDidRegistry.sol";

/// @title Who consented when, and to nothing the chain can read
/// @notice Stores one slot per (subject, commitment). A commitment is the EIP-712 struct hash of a salted Consent, so
/// terms, study and purpose stay off chain. States only move forward: none -> active -> revoked and none -> revoked.
/// @dev Every message is monotone: it may arrive twice, late, in any order and from anybody, and the end state is the
/// same. That is why there are no nonces here. Nobody but the subject's controller and delegates changes anything.
interface IConsentRegistry {
    struct Standing {
        uint48 grantedAt;
        uint48 revokedAt;
        uint48 cutoff;
        uint48 frozenUntil;
    }

    /// @notice One item of a batch: whose, which commitment, signed how.
    struct Signed {
        address subject;
        bytes32 commitment;
        bytes signature;
    }

    event ConsentGranted(address indexed subject, bytes32 indexed commitment);
    event ConsentRevoked(address indexed subject, bytes32 indexed commitment);
    event AllRevoked(address indexed subject, uint48 cutoff);
    event SubjectFrozen(address indexed subject, uint48 until);
    /// @notice An item of a batch was not signed by anyone entitled; the other items went on.
    event ItemRefused(address indexed subject, bytes32 indexed commitment);

    error BadSignature();
    error TooFarAhead(uint48 latestAllowed);

    /// @notice The registry that says who may sign for a subject.
    function didRegistry() external view returns (IDidRegistry);

    /// @notice The EIP-712 domain of every user message of Consentum but DidRegistry's and StudyRegistry's own.
    function domainSeparator() external view returns (bytes32);

    /// @notice The digest a wallet signs for a struct hash under this registry's domain.
    function digestOf(bytes32 structHash) external view returns (bytes32);

    /// @notice Records the consent behind `commitment`, signed by the controller or a `consent` delegate.
    /// @dev No effect where it was granted or revoked before: a withheld grant dies with its revocation.
    /// Warning: a hash of another struct can be granted too; no opening will ever match it.
    function grant(address subject, bytes32 commitment, bytes calldata signature) external;

    /// @notice Ends one consent for ever, also one that has not arrived yet. Signed by the controller, a `consent` or a
    /// `guardian` delegate. Has no deadline, costs no more than a grant, and withdraws an enrolment by its hash too.
    function revoke(address subject, bytes32 commitment, bytes calldata signature) external;

    /// @notice Ends every consent signed at or before `cutoff`, in one write. At most one hour ahead of the chain.
    function revokeAll(address subject, uint48 cutoff, bytes calldata signature) external;

    /// @notice Stops every release of the subject's records until `until`, at most 30 days ahead; ends by itself.
    /// Signed by the controller or a `guardian`. Warning: cannot be shortened; it also stops the controller from
    /// changing the identity, so that a thief cannot undo a recovery.
    function freeze(address subject, uint48 until, bytes calldata signature) external;

    /// @notice `grant` for many. Items already done are skipped, items wrongly signed are refused one by one.
    /// @dev Warning: with too little gas a passkey or contract signature cannot be verified, and its item is refused; it
    /// can be sent again. Gas estimation finds exactly such a limit, so submitters must allow for each item instead.
    function grantBatch(Signed[] calldata items) external;

    /// @notice `revoke` for many, likewise.
    function revokeBatch(Signed[] calldata items) external;

    /// @notice All that is known of one consent and its subject; zeros where nothing is.
    function standing(address subject, bytes32 commitment) external view returns (Standing memory);

    /// @notice Until when the subject is frozen; 0 or a past time if she is not.
    function frozenUntil(address subject) external view returns (uint48);
}
