// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IConsentRegistry} from "./IConsentRegistry.sol";
import {IDidRegistry} from "./IDidRegistry.sol";
import {IStudyRegistry} from "./IStudyRegistry.sol";

/// @notice Why an item is refused: the first failure in this order. Append-only, mirrored in errors.py, at most 63.
enum Reason {
    ALLOWED,
    JOB_SIGNATURE,
    RELEASE_SIGNATURE,
    DEADLINE_PASSED,
    STUDY_NOT_OPEN,
    REQUESTER_NOT_MEMBER,
    RUNNER_NOT_ACCREDITED,
    PURPOSE_NOT_OF_STUDY,
    ACCESS_NOT_OF_STUDY,
    RUNNER_NOT_REQUESTER,
    OTHER_POLICY,
    REVOKED,
    NO_CONSENT,
    FROZEN,
    CUT_OFF,
    NOT_YET_VALID,
    EXPIRED,
    SCOPE,
    FORM,
    PURPOSE,
    CONDITIONS,
    DISEASE,
    CATEGORY,
    ACCESS,
    EPSILON
}

/// @title The one decision: may this job have these records?
/// @notice Stateless and immutable. Key servers ask it by eth_call, so openings are never mined. A consent names the
/// policy that reads it: new terms are a new policy beside this one, and old consents stay as they are.
/// @dev Three branches. A study: everything below applies. A person (study 0, consent's scope is the requester's
/// address): nobody vouches for conditions or a disease, so a consent that asks for them is refused; the requester runs
/// the job herself and so holds the keys, which takes access 3, download. Own records (study 0, the requester is the subject's controller or `consent` delegate): no
/// consent is needed.
interface IReleasePolicy {
    /// @notice The terms a patient signs. Masks are the bits of the DUO terms, expanded by the client.
    struct Consent {
        address subject;
        address policy;
        bytes32 scope;
        bytes32 form;
        uint64 purposes;
        uint64 conditions;
        bytes32 disease;
        uint64 categories;
        uint48 signedAt;
        uint48 notBefore;
        uint48 expires;
        uint8 access;
        uint32 epsilonMilli;
        bytes32 salt;
    }

    struct Job {
        address requester;
        address runner;
        bytes32 study;
        bytes32 code;
        uint64 purpose;
        uint8 access;
        uint32 epsilonMilli;
        uint48 deadline;
        bytes32 salt;
    }

    /// @notice A record's opening and categories. The subject inside is the key server's word, never the requester's.
    struct Item {
        Consent consent;
        uint64 categories;
    }

    error EmptyItems();

    function didRegistry() external view returns (IDidRegistry);
    function consentRegistry() external view returns (IConsentRegistry);
    function studyRegistry() external view returns (IStudyRegistry);

    /// @notice `review`, after the requester's signature over the job and the runner's over the release digest.
    /// @return reasons one of Reason per item, in order
    function check(
        Job calldata job,
        bytes calldata jobSignature,
        bytes32 releaseDigest,
        bytes calldata releaseSignature,
        Item[] calldata items
    ) external view returns (uint8[] memory reasons);

    /// @notice The decision without the two signatures: what a cohort would be. `check` is this and nothing else.
    function review(Job calldata job, Item[] calldata items) external view returns (uint8[] memory reasons);
}
