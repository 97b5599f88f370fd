// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {EIP712} from "solady/utils/EIP712.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {ConsentRegistry} from "./ConsentRegistry.sol";
import {IConsentRegistry} from "./interfaces/IConsentRegistry.sol";
import {IDidRegistry} from "./interfaces/IDidRegistry.sol";
import {Roles} from "./libraries/Roles.sol";
import {Signers} from "./libraries/Signers.sol";
import "./libraries/TypeHashes.sol" as Types;

/// @title DidRegistry
/// @notice See IDidRegistry, where everything is documented.
/// @dev Creates its ConsentRegistry, because each needs the other: consents ask who may sign, identities ask whether
/// they are frozen.
contract DidRegistry is IDidRegistry, EIP712 {
    /// @notice Longer than any chain's finality, and time enough for a victim to notice.
    uint48 public constant OWNER_CHANGE_DELAY = 3 days;
    /// @dev ConsentRegistry's MAX_FREEZE_AHEAD: a freeze seen now began no earlier than this before its end.
    uint48 private constant MAX_FREEZE = 30 days;

    struct Naming {
        uint208 validTo;
        uint48 maturesAt;
    }

    IConsentRegistry public immutable consentRegistry;

    mapping(address identity => address owner) public owners;
    mapping(address identity => uint256 blockNumber) public changed;
    mapping(address identity => uint256 next) public nonce;
    mapping(address identity => PendingOwner pending) public pendingOwner;
    mapping(address identity => Recovery recovery) private _recovery;
    /// @dev An owner change by recovery begins a new era: whom a thief had named is gone.
    mapping(address identity => uint256 era) private _era;
    mapping(
        address identity
            => mapping(uint256 era => mapping(bytes32 typeHash => mapping(address delegate => Naming naming)))
    ) private _delegates;

    constructor() {
        consentRegistry = new ConsentRegistry(this);
    }

    // Reads

    /// @inheritdoc IDidRegistry
    function isSignedBy(address identity, uint8 roles, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool)
    {
        return _isSignedBy(identity, roles, digest, signature);
    }

    /// @inheritdoc IDidRegistry
    function mayAct(address identity, uint8 roles, address actor) public view returns (bool) {
        if (actor == address(0)) return false;
        if (actor == identityOwner(identity)) return true;
        for (uint8 role = Roles.CONSENT; role <= Roles.ASSERTION; role <<= 1) {
            if (roles & role != 0 && validDelegate(identity, Roles.delegateType(role), actor)) return true;
        }
        return false;
    }

    /// @inheritdoc IDidRegistry
    function identityOwner(address identity) public view returns (address) {
        address owner = owners[identity];
        return owner == address(0) ? identity : owner;
    }

    /// @inheritdoc IDidRegistry
    function delegates(address identity, bytes32 typeHash, address delegate) public view returns (uint256) {
        return _delegates[identity][_era[identity]][typeHash][delegate].validTo;
    }

    /// @inheritdoc IDidRegistry
    function validDelegate(address identity, bytes32 delegateType, address delegate) public view returns (bool) {
        return delegates(identity, keccak256(abi.encode(delegateType)), delegate) > block.timestamp;
    }

    /// @inheritdoc IDidRegistry
    function recoveryThreshold(address identity) public view returns (uint8) {
        Recovery storage recovery = _recovery[identity];
        return _counts(identity, recovery.from) ? recovery.next : recovery.threshold;
    }

    // Delegates and attributes

    /// @inheritdoc IDidRegistry
    function addDelegate(
        address identity,
        bytes32 delegateType,
        address delegate,
        uint256 validity,
        bytes calldata signature
    ) external {
        bytes32 structHash = keccak256(
            abi.encode(Types.ADD_DELEGATE_TYPEHASH, identity, delegateType, delegate, validity, nonce[identity])
        );
        _spend(identity, structHash, signature);
        _setDelegate(identity, delegateType, delegate, block.timestamp + validity);
    }

    /// @inheritdoc IDidRegistry
    function revokeDelegate(address identity, bytes32 delegateType, address delegate, bytes calldata signature)
        external
    {
        bytes32 structHash = keccak256(
            abi.encode(Types.REVOKE_DELEGATE_TYPEHASH, identity, delegateType, delegate, nonce[identity])
        );
        _spend(identity, structHash, signature);
        _setDelegate(identity, delegateType, delegate, block.timestamp);
    }

    /// @inheritdoc IDidRegistry
    function setAttribute(
        address identity,
        bytes32 name,
        bytes calldata value,
        uint256 validity,
        bytes calldata signature
    ) external {
        bytes32 structHash = keccak256(
            abi.encode(Types.SET_ATTRIBUTE_TYPEHASH, identity, name, keccak256(value), validity, nonce[identity])
        );
        _spend(identity, structHash, signature);
        emit DIDAttributeChanged(identity, name, value, block.timestamp + validity, _touch(identity));
    }

    /// @inheritdoc IDidRegistry
    function revokeAttribute(address identity, bytes32 name, bytes calldata value, bytes calldata signature) external {
        bytes32 structHash =
            keccak256(abi.encode(Types.REVOKE_ATTRIBUTE_TYPEHASH, identity, name, keccak256(value), nonce[identity]));
        _spend(identity, structHash, signature);
        emit DIDAttributeChanged(identity, name, value, 0, _touch(identity));
    }

    // Owner change: propose, wait, finalize

    /// @inheritdoc IDidRegistry
    function setRecovery(address identity, uint8 threshold, bytes calldata signature) external {
        _spend(
            identity,
            keccak256(abi.encode(Types.SET_RECOVERY_TYPEHASH, identity, threshold, nonce[identity])),
            signature
        );
        uint8 current = recoveryThreshold(identity);
        uint48 from = uint48(block.timestamp) + OWNER_CHANGE_DELAY;
        _recovery[identity] = Recovery(current, threshold, from);
        emit RecoveryThresholdSet(identity, threshold, from);
    }

    /// @inheritdoc IDidRegistry
    function proposeOwner(address identity, address newOwner, bytes calldata signature) external {
        bytes32 structHash = keccak256(abi.encode(Types.PROPOSE_OWNER_TYPEHASH, identity, newOwner, nonce[identity]));
        _spend(identity, structHash, signature);
        _propose(identity, newOwner, false);
    }

    /// @inheritdoc IDidRegistry
    function recoverOwner(address identity, address newOwner, Vote[] calldata votes) external {
        uint8 threshold = recoveryThreshold(identity);
        if (threshold == 0 || votes.length < threshold) revert TooFewVotes(threshold);
        bytes32 digest =
            _hashTypedData(keccak256(abi.encode(Types.PROPOSE_OWNER_TYPEHASH, identity, newOwner, nonce[identity]++)));
        address previous;
        for (uint256 i; i < votes.length; ++i) {
            address member = votes[i].member;
            // Ascending means distinct: nobody counts twice.
            if (member <= previous) revert VotesNotAscending();
            previous = member;
            if (!_mayRecover(identity, member)) revert BadSignature();
            if (!_isSignedBy(member, Roles.CONTROLLER, digest, votes[i].signature)) revert BadSignature();
        }
        _propose(identity, newOwner, true);
    }

    /// @inheritdoc IDidRegistry
    function cancelOwner(address identity, bytes calldata signature) external {
        if (pendingOwner[identity].from == 0) revert NothingPending();
        _spend(identity, keccak256(abi.encode(Types.CANCEL_OWNER_TYPEHASH, identity, nonce[identity])), signature);
        delete pendingOwner[identity];
        emit OwnerChangeCancelled(identity);
    }

    /// @inheritdoc IDidRegistry
    function finalizeOwner(address identity) external {
        PendingOwner memory pending = pendingOwner[identity];
        if (pending.from == 0) revert NothingPending();
        if (block.timestamp < pending.from) revert TooEarly(pending.from);
        uint48 proposedAt = pending.from - OWNER_CHANGE_DELAY;
        if (!pending.byRecovery && consentRegistry.frozenUntil(identity) > proposedAt) revert Frozen();
        delete pendingOwner[identity];
        if (pending.byRecovery) ++_era[identity];
        owners[identity] = pending.newOwner;
        emit DIDOwnerChanged(identity, pending.newOwner, _touch(identity));
    }

    // Inside

    function _isSignedBy(address identity, uint8 roles, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        return mayAct(identity, roles, Signers.signerOf(digest, signature));
    }

    /// @dev Only the controller, only while not frozen, and each nonce once.
    function _spend(address identity, bytes32 structHash, bytes calldata signature) private {
        if (block.timestamp < consentRegistry.frozenUntil(identity)) revert Frozen();
        if (!_isSignedBy(identity, Roles.CONTROLLER, _hashTypedData(structHash), signature)) revert BadSignature();
        ++nonce[identity];
    }

    function _propose(address identity, address newOwner, bool byRecovery) private {
        if (newOwner == address(0)) revert ZeroOwner();
        uint48 from = uint48(block.timestamp) + OWNER_CHANGE_DELAY;
        pendingOwner[identity] = PendingOwner(newOwner, from, byRecovery);
        emit OwnerChangeProposed(identity, newOwner, from);
    }

    /// @dev Guardians and recovery delegates protect her from whoever holds her key: they go no sooner than after
    /// OWNER_CHANGE_DELAY, and new ones vote no sooner.
    function _setDelegate(address identity, bytes32 delegateType, address delegate, uint256 validTo) private {
        bytes32 typeHash = keccak256(abi.encode(delegateType));
        Naming storage naming = _delegates[identity][_era[identity]][typeHash][delegate];
        if (naming.validTo <= block.timestamp) naming.maturesAt = uint48(block.timestamp) + OWNER_CHANGE_DELAY;
        if (delegateType == "guardian" || delegateType == "recovery") {
            validTo = FixedPointMathLib.max(
                validTo, FixedPointMathLib.min(naming.validTo, block.timestamp + OWNER_CHANGE_DELAY)
            );
        }
        naming.validTo = validTo > type(uint208).max ? type(uint208).max : uint208(validTo);
        emit DIDDelegateChanged(identity, delegateType, delegate, validTo, _touch(identity));
    }

    /// @dev Whether something that takes effect at `time` did so before a freeze that may be going on began: a thief
    /// must not name his own friends and freeze her out until they count.
    function _counts(address identity, uint256 time) private view returns (bool) {
        uint256 frozen = consentRegistry.frozenUntil(identity);
        return time <= (block.timestamp < frozen ? frozen - MAX_FREEZE : block.timestamp);
    }

    function _mayRecover(address identity, address member) private view returns (bool) {
        Naming storage naming = _delegates[identity][_era[identity]][keccak256(abi.encode(bytes32("recovery")))][member];
        return naming.validTo > block.timestamp && _counts(identity, naming.maturesAt);
    }

    /// @dev ERC-1056's chain of changes: returns the block of the change before this one.
    function _touch(address identity) private returns (uint256 previousChange) {
        previousChange = changed[identity];
        changed[identity] = block.number;
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("Consentum", "1");
    }
}
