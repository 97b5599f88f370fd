// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {AuditAnchor} from "../../src/AuditAnchor.sol";
import {DidRegistry} from "../../src/DidRegistry.sol";
import {KeyServerRegistry} from "../../src/KeyServerRegistry.sol";
import {ReleasePolicy} from "../../src/ReleasePolicy.sol";
import {StudyRegistry} from "../../src/StudyRegistry.sol";
import {IConsentRegistry} from "../../src/interfaces/IConsentRegistry.sol";
import {IDidRegistry} from "../../src/interfaces/IDidRegistry.sol";
import "../../src/libraries/TypeHashes.sol" as Types;
import {Signing} from "./Signing.sol";

/// @title All six contracts, a few people, and their signed messages
abstract contract BaseTest is Signing {
    DidRegistry internal did;
    IConsentRegistry internal consents;
    StudyRegistry internal studies;
    ReleasePolicy internal policy;
    KeyServerRegistry internal servers;
    AuditAnchor internal anchors;

    /// @dev The subject of most tests, with a wallet; `dora` is the same with a passkey.
    Actor internal alice;
    Actor internal dora;
    Actor internal bob;
    Actor internal carol;
    Actor internal mallory;

    bytes32 internal constant COMMITMENT = keccak256("a consent");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        did = new DidRegistry();
        consents = did.consentRegistry();
        studies = new StudyRegistry(did);
        policy = new ReleasePolicy(studies);
        servers = new KeyServerRegistry();
        anchors = new AuditAnchor();
        (alice, bob, carol, mallory) = (_wallet("alice"), _wallet("bob"), _wallet("carol"), _wallet("mallory"));
        dora = _passkey("dora");
    }

    function _now() internal view returns (uint48) {
        return uint48(vm.getBlockTimestamp());
    }

    // Identities: `by` signs for `identity`, with its next nonce

    function _didSign(Actor memory by, bytes32 structHash) internal view returns (bytes memory) {
        return _sign(by, _digest(address(did), structHash));
    }

    function _addSig(Actor memory by, address identity, bytes32 kind, address delegate, uint256 validity)
        internal
        view
        returns (bytes memory)
    {
        uint256 nonce = did.nonce(identity);
        return
            _didSign(by, keccak256(abi.encode(Types.ADD_DELEGATE_TYPEHASH, identity, kind, delegate, validity, nonce)));
    }

    function _addDelegate(Actor memory by, bytes32 kind, address delegate) internal {
        bytes memory signature = _addSig(by, by.id, kind, delegate, 365 days);
        did.addDelegate(by.id, kind, delegate, 365 days, signature);
    }

    function _dropSig(Actor memory by, address identity, bytes32 kind, address delegate)
        internal
        view
        returns (bytes memory)
    {
        uint256 nonce = did.nonce(identity);
        return _didSign(by, keccak256(abi.encode(Types.REVOKE_DELEGATE_TYPEHASH, identity, kind, delegate, nonce)));
    }

    function _proposeOwnerSig(Actor memory by, address identity, address owner) internal view returns (bytes memory) {
        return _didSign(by, keccak256(abi.encode(Types.PROPOSE_OWNER_TYPEHASH, identity, owner, did.nonce(identity))));
    }

    function _cancelOwnerSig(Actor memory by, address identity) internal view returns (bytes memory) {
        return _didSign(by, keccak256(abi.encode(Types.CANCEL_OWNER_TYPEHASH, identity, did.nonce(identity))));
    }

    function _setRecoverySig(Actor memory by, address identity, uint8 threshold) internal view returns (bytes memory) {
        return
            _didSign(by, keccak256(abi.encode(Types.SET_RECOVERY_TYPEHASH, identity, threshold, did.nonce(identity))));
    }

    function _vote(Actor memory by, address identity, address owner) internal view returns (IDidRegistry.Vote memory) {
        return IDidRegistry.Vote(by.id, _proposeOwnerSig(by, identity, owner));
    }

    // Consents: `by` signs for `subject`

    function _grantSig(Actor memory by, bytes32 commitment) internal view returns (bytes memory) {
        return _sign(by, _digest(address(consents), commitment));
    }

    function _revokeSig(Actor memory by, address subject, bytes32 commitment) internal view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(Types.REVOKE_TYPEHASH, subject, commitment));
        return _sign(by, _digest(address(consents), structHash));
    }

    function _revokeAllSig(Actor memory by, address subject, uint48 cutoff) internal view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(Types.REVOKE_ALL_TYPEHASH, subject, cutoff));
        return _sign(by, _digest(address(consents), structHash));
    }

    function _freezeSig(Actor memory by, address subject, uint48 until) internal view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(Types.FREEZE_TYPEHASH, subject, until));
        return _sign(by, _digest(address(consents), structHash));
    }

    function _grant(Actor memory by, bytes32 commitment) internal {
        consents.grant(by.id, commitment, _grantSig(by, commitment));
    }

    function _revoke(Actor memory by, bytes32 commitment) internal {
        consents.revoke(by.id, commitment, _revokeSig(by, by.id, commitment));
    }

    function _freeze(Actor memory by, address subject, uint48 until) internal {
        consents.freeze(subject, until, _freezeSig(by, subject, until));
    }

    function _assertStanding(address subject, bytes32 commitment, uint48 grantedAt, uint48 revokedAt) internal view {
        IConsentRegistry.Standing memory standing = consents.standing(subject, commitment);
        assertEq(standing.grantedAt, grantedAt, "grantedAt");
        assertEq(standing.revokedAt, revokedAt, "revokedAt");
    }
}
