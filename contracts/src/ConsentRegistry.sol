// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {EIP712} from "solady/utils/EIP712.sol";
import {IConsentRegistry} from "./interfaces/IConsentRegistry.sol";
import {IDidRegistry} from "./interfaces/IDidRegistry.sol";
import {Roles} from "./libraries/Roles.sol";
import "./libraries/TypeHashes.sol" as Types;

/// @title ConsentRegistry
/// @notice See IConsentRegistry, where everything is documented.
contract ConsentRegistry is IConsentRegistry, EIP712 {
    uint48 public constant MAX_CUTOFF_AHEAD = 1 hours;
    uint48 public constant MAX_FREEZE_AHEAD = 30 days;

    struct Times {
        uint48 grantedAt;
        uint48 revokedAt;
    }

    struct Person {
        uint48 cutoff;
        uint48 frozenUntil;
    }

    IDidRegistry public immutable didRegistry;

    mapping(address subject => mapping(bytes32 commitment => Times times)) private _consents;
    mapping(address subject => Person person) private _persons;

    constructor(IDidRegistry didRegistry_) {
        didRegistry = didRegistry_;
    }

    // Reads

    /// @inheritdoc IConsentRegistry
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @inheritdoc IConsentRegistry
    function digestOf(bytes32 structHash) external view returns (bytes32) {
        return _hashTypedData(structHash);
    }

    /// @inheritdoc IConsentRegistry
    function standing(address subject, bytes32 commitment) external view returns (Standing memory) {
        Times memory times = _consents[subject][commitment];
        Person memory person = _persons[subject];
        return Standing(times.grantedAt, times.revokedAt, person.cutoff, person.frozenUntil);
    }

    /// @inheritdoc IConsentRegistry
    function frozenUntil(address subject) external view returns (uint48) {
        return _persons[subject].frozenUntil;
    }

    // Changes

    /// @inheritdoc IConsentRegistry
    function grant(address subject, bytes32 commitment, bytes calldata signature) external {
        if (!_grant(subject, commitment, signature)) revert BadSignature();
    }

    /// @inheritdoc IConsentRegistry
    function revoke(address subject, bytes32 commitment, bytes calldata signature) external {
        if (!_revoke(subject, commitment, signature)) revert BadSignature();
    }

    /// @inheritdoc IConsentRegistry
    function grantBatch(Signed[] calldata items) external {
        for (uint256 i; i < items.length; ++i) {
            Signed calldata item = items[i];
            if (!_grant(item.subject, item.commitment, item.signature)) {
                emit ItemRefused(item.subject, item.commitment);
            }
        }
    }

    /// @inheritdoc IConsentRegistry
    function revokeBatch(Signed[] calldata items) external {
        for (uint256 i; i < items.length; ++i) {
            Signed calldata item = items[i];
            if (!_revoke(item.subject, item.commitment, item.signature)) {
                emit ItemRefused(item.subject, item.commitment);
            }
        }
    }

    /// @inheritdoc IConsentRegistry
    function revokeAll(address subject, uint48 cutoff, bytes calldata signature) external {
        Person storage person = _persons[subject];
        if (cutoff <= person.cutoff) return;
        if (cutoff > block.timestamp + MAX_CUTOFF_AHEAD) {
            revert TooFarAhead(uint48(block.timestamp) + MAX_CUTOFF_AHEAD);
        }
        bytes32 structHash = keccak256(abi.encode(Types.REVOKE_ALL_TYPEHASH, subject, cutoff));
        if (!_isSigned(subject, Roles.CONSENT | Roles.GUARDIAN, structHash, signature)) revert BadSignature();
        person.cutoff = cutoff;
        emit AllRevoked(subject, cutoff);
    }

    /// @inheritdoc IConsentRegistry
    function freeze(address subject, uint48 until, bytes calldata signature) external {
        Person storage person = _persons[subject];
        if (until <= person.frozenUntil) return;
        if (until > block.timestamp + MAX_FREEZE_AHEAD) {
            revert TooFarAhead(uint48(block.timestamp) + MAX_FREEZE_AHEAD);
        }
        bytes32 structHash = keccak256(abi.encode(Types.FREEZE_TYPEHASH, subject, until));
        if (!_isSigned(subject, Roles.GUARDIAN, structHash, signature)) revert BadSignature();
        person.frozenUntil = until;
        emit SubjectFrozen(subject, until);
    }

    // Inside

    /// @dev False only for a wrong signature. The commitment is the struct hash of the Consent that was signed, so the
    /// signature is verified against terms that stay unknown.
    function _grant(address subject, bytes32 commitment, bytes calldata signature) private returns (bool) {
        Times storage times = _consents[subject][commitment];
        if (times.grantedAt != 0 || times.revokedAt != 0) return true;
        if (!_isSigned(subject, Roles.CONSENT, commitment, signature)) return false;
        times.grantedAt = uint48(block.timestamp);
        emit ConsentGranted(subject, commitment);
        return true;
    }

    function _revoke(address subject, bytes32 commitment, bytes calldata signature) private returns (bool) {
        Times storage times = _consents[subject][commitment];
        if (times.revokedAt != 0) return true;
        bytes32 structHash = keccak256(abi.encode(Types.REVOKE_TYPEHASH, subject, commitment));
        if (!_isSigned(subject, Roles.CONSENT | Roles.GUARDIAN, structHash, signature)) return false;
        times.revokedAt = uint48(block.timestamp);
        emit ConsentRevoked(subject, commitment);
        return true;
    }

    function _isSigned(address subject, uint8 roles, bytes32 structHash, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return didRegistry.isSignedBy(subject, roles, _hashTypedData(structHash), signature);
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Consentum", "1");
    }
}
