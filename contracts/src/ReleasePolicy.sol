// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "./interfaces/IConsentRegistry.sol";
import {IDidRegistry} from "./interfaces/IDidRegistry.sol";
import {IReleasePolicy, Reason} from "./interfaces/IReleasePolicy.sol";
import {IStudyRegistry} from "./interfaces/IStudyRegistry.sol";
import {Roles} from "./libraries/Roles.sol";
import "./libraries/TypeHashes.sol" as Types;

/// @title ReleasePolicy
/// @notice See IReleasePolicy, where everything is documented.
contract ReleasePolicy is IReleasePolicy {
    uint8 private constant DOWNLOAD = 3;

    IDidRegistry public immutable didRegistry;
    IConsentRegistry public immutable consentRegistry;
    IStudyRegistry public immutable studyRegistry;

    constructor(IStudyRegistry studyRegistry_) {
        studyRegistry = studyRegistry_;
        didRegistry = studyRegistry_.didRegistry();
        consentRegistry = studyRegistry_.didRegistry().consentRegistry();
    }

    /// @inheritdoc IReleasePolicy
    function check(
        Job calldata job,
        bytes calldata jobSignature,
        bytes32 releaseDigest,
        bytes calldata releaseSignature,
        Item[] calldata items
    ) external view returns (uint8[] memory) {
        bytes32 jobDigest = consentRegistry.digestOf(keccak256(abi.encode(Types.JOB_TYPEHASH, job)));
        if (!didRegistry.isSignedBy(job.requester, Roles.CONTROLLER, jobDigest, jobSignature)) {
            return _allOf(items.length, Reason.JOB_SIGNATURE);
        }
        if (!didRegistry.isSignedBy(job.runner, Roles.CONTROLLER, releaseDigest, releaseSignature)) {
            return _allOf(items.length, Reason.RELEASE_SIGNATURE);
        }
        return review(job, items);
    }

    /// @inheritdoc IReleasePolicy
    function review(Job calldata job, Item[] calldata items) public view returns (uint8[] memory reasons) {
        (Reason gate, bytes32 board, IStudyRegistry.Terms memory terms) = _reviewJob(job);
        reasons = _allOf(items.length, gate);
        if (gate != Reason.ALLOWED) return reasons;
        for (uint256 i; i < items.length; ++i) {
            reasons[i] = uint8(_reviewItem(job, items[i], board, terms));
        }
    }

    /// @dev What concerns the job as a whole: deadline, study, requester, runner.
    function _reviewJob(Job calldata job)
        private
        view
        returns (Reason, bytes32 board, IStudyRegistry.Terms memory terms)
    {
        if (block.timestamp > job.deadline) return (Reason.DEADLINE_PASSED, board, terms);
        if (job.study == 0) {
            bool ownRunner = job.runner == job.requester;
            return (ownRunner ? Reason.ALLOWED : Reason.RUNNER_NOT_REQUESTER, board, terms);
        }
        if (!studyRegistry.isOpen(job.study)) return (Reason.STUDY_NOT_OPEN, board, terms);
        if (!studyRegistry.isMember(job.study, job.requester)) return (Reason.REQUESTER_NOT_MEMBER, board, terms);
        IStudyRegistry.Study memory study = studyRegistry.study(job.study);
        board = study.board;
        terms = studyRegistry.termsOf(job.study, study.version);
        bool download = job.access == DOWNLOAD;
        if (!download && !studyRegistry.isAccredited(board, job.runner)) {
            return (Reason.RUNNER_NOT_ACCREDITED, board, terms);
        }
        if (job.purpose == 0 || job.purpose & ~terms.purposes != 0) {
            return (Reason.PURPOSE_NOT_OF_STUDY, board, terms);
        }
        if (job.access == 0 || job.access > terms.access) return (Reason.ACCESS_NOT_OF_STUDY, board, terms);
        if (download && job.runner != job.requester) return (Reason.RUNNER_NOT_REQUESTER, board, terms);
        return (Reason.ALLOWED, board, terms);
    }

    /// @dev What concerns one record: her consent, as it stands, against what the job wants.
    function _reviewItem(Job calldata job, Item calldata item, bytes32 board, IStudyRegistry.Terms memory terms)
        private
        view
        returns (Reason)
    {
        Consent calldata consent = item.consent;
        bytes32 commitment = keccak256(abi.encode(Types.CONSENT_TYPEHASH, consent));
        IConsentRegistry.Standing memory standing = consentRegistry.standing(consent.subject, commitment);
        bool frozen = block.timestamp < standing.frozenUntil;
        if (job.study == 0 && didRegistry.mayAct(consent.subject, Roles.CONSENT, job.requester)) {
            return frozen ? Reason.FROZEN : Reason.ALLOWED;
        }
        if (consent.policy != address(this)) return Reason.OTHER_POLICY;
        if (standing.revokedAt != 0) return Reason.REVOKED;
        if (standing.grantedAt == 0) return Reason.NO_CONSENT;
        // Not before: without a consent of hers nobody learns from here that a subject is frozen, or that she exists.
        if (frozen) return Reason.FROZEN;
        if (consent.signedAt <= standing.cutoff || consent.signedAt > standing.grantedAt) return Reason.CUT_OFF;
        if (block.timestamp < consent.notBefore) return Reason.NOT_YET_VALID;
        if (block.timestamp >= consent.expires) return Reason.EXPIRED;
        if (!_inScope(job, consent, board)) return Reason.SCOPE;
        if (job.study != 0 && !studyRegistry.isFormApproved(job.study, consent.form, consent.scope == board)) {
            return Reason.FORM;
        }
        return _reviewTerms(job, item, terms);
    }

    function _reviewTerms(Job calldata job, Item calldata item, IStudyRegistry.Terms memory terms)
        private
        pure
        returns (Reason)
    {
        Consent calldata consent = item.consent;
        if (job.purpose == 0 || job.purpose & ~consent.purposes != 0) return Reason.PURPOSE;
        if (consent.conditions & ~terms.conditions != 0) return Reason.CONDITIONS;
        if (consent.disease != 0 && !_lists(terms.diseases, consent.disease)) return Reason.DISEASE;
        if (item.categories == 0 || item.categories & ~consent.categories != 0) return Reason.CATEGORY;
        if (job.study != 0 && item.categories & ~terms.categories != 0) return Reason.CATEGORY;
        // Without an accredited runner the requester holds the keys, whatever the job calls it.
        if (job.study == 0 && job.access != DOWNLOAD) return Reason.ACCESS;
        if (job.access == 0 || job.access > consent.access) return Reason.ACCESS;
        if (job.epsilonMilli > consent.epsilonMilli) return Reason.EPSILON;
        return Reason.ALLOWED;
    }

    function _inScope(Job calldata job, Consent calldata consent, bytes32 board) private pure returns (bool) {
        if (job.study == 0) return consent.scope == bytes32(uint256(uint160(job.requester)));
        return consent.scope == job.study || consent.scope == board;
    }

    function _lists(bytes32[] memory diseases, bytes32 disease) private pure returns (bool) {
        for (uint256 i; i < diseases.length; ++i) {
            if (diseases[i] == disease) return true;
        }
        return false;
    }

    function _allOf(uint256 count, Reason reason) private pure returns (uint8[] memory reasons) {
        if (count == 0) revert EmptyItems();
        reasons = new uint8[](count);
        for (uint256 i; i < count; ++i) {
            reasons[i] = uint8(reason);
        }
    }
}
