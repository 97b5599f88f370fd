// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IDidRegistry} from "./IDidRegistry.sol";

/// @title Studies, and the boards that approve them
/// @notice A board is {members, quorum}, made by anyone and changed only by its own quorum; patients choose the boards
/// they trust by naming them. A study is proposed by a lead to one board, with its terms and the hashes of its consent
/// forms. Ids are struct hashes of what was proposed, so no name can be squatted.
/// @dev Votes of a board: ascending by address, at least quorum, all over one typed message with the board's nonce.
interface IStudyRegistry {
    /// @notice What a study does. Masks are the bits of the DUO terms; a larger access includes the smaller.
    struct Terms {
        uint64 purposes;
        uint64 conditions;
        uint64 categories;
        uint8 access;
        bytes32[] diseases;
        bytes32 protocol;
    }

    struct Vote {
        address member;
        bytes signature;
    }

    enum Status {
        None,
        Proposed,
        Approved,
        Rejected,
        Suspended,
        Closed
    }

    struct Study {
        address lead;
        Status status;
        uint48 approvedUntil;
        uint32 proposed;
        bytes32 board;
        uint32 version;
        /// @dev Forms older than this version are of consents that a widening left behind.
        uint32 formsFrom;
    }

    event BoardCreated(bytes32 indexed board, address[] members, uint8 quorum);
    event BoardChanged(bytes32 indexed board, address[] members, uint8 quorum);
    event RunnerAccredited(bytes32 indexed board, address indexed runner, uint48 until);
    event BoardFormAccepted(bytes32 indexed board, bytes32 indexed form, bool accepted);
    event StudyProposed(bytes32 indexed study, bytes32 indexed board, address indexed lead, uint32 version);
    event StudyApproved(bytes32 indexed study, uint32 version, uint48 until, bool needsNewConsents);
    event StudyRejected(bytes32 indexed study, uint32 version, bytes32 reason);
    event StudySuspended(bytes32 indexed study);
    event StudyClosed(bytes32 indexed study);
    event MemberSet(bytes32 indexed study, address indexed member, bool allowed);

    error BadSignature();
    error BadQuorum();
    error MembersNotAscending();
    error TooFewVotes(uint256 needed);
    error VotesNotAscending();
    error NotAMember(address who);
    error UnknownBoard();
    error WrongStatus(Status status);
    error WrongVersion(uint32 proposed);
    error BadTerms();

    function didRegistry() external view returns (IDidRegistry);

    // Reads
    function boardOf(bytes32 board) external view returns (address[] memory members, uint8 quorum, uint256 nonce);
    function study(bytes32 id) external view returns (Study memory);
    function termsOf(bytes32 id, uint32 version) external view returns (Terms memory);
    /// @notice Approved, not past its date, not suspended, not closed.
    function isOpen(bytes32 id) external view returns (bool);
    function isMember(bytes32 id, address who) external view returns (bool);
    function isAccredited(bytes32 board, address runner) external view returns (bool);
    /// @notice True if a consent given on `form` speaks of the study as it is now approved, or if its board accepts it.
    function isFormApproved(bytes32 id, bytes32 form, bool scopeIsBoard) external view returns (bool);
    function leadNonce(bytes32 id) external view returns (uint256);
    function domainSeparator() external view returns (bytes32);

    // Boards
    /// @notice Members ascending. The id is the hash of all three, so anybody may create it and nobody can take it.
    function createBoard(address[] calldata members, uint8 quorum, bytes32 salt) external returns (bytes32 board);
    function changeBoard(bytes32 board, address[] calldata members, uint8 quorum, Vote[] calldata votes) external;
    /// @notice Lets a runner run jobs of this board's studies until a time; a time in the past ends it.
    function accredit(bytes32 board, address runner, uint48 until, Vote[] calldata votes) external;
    /// @notice Accepts or drops a form for broad consents, those that name the board instead of a study.
    function acceptForm(bytes32 board, bytes32 form, bool accepted, Vote[] calldata votes) external;

    // Studies, by their lead
    function propose(
        address lead,
        bytes32 board,
        Terms calldata terms,
        bytes32[] calldata forms,
        bytes32 salt,
        bytes calldata signature
    ) external returns (bytes32 id);
    /// @notice Proposes version `proposed + 1`; the approved one stays in force until the board decides.
    function amend(bytes32 id, Terms calldata terms, bytes32[] calldata forms, bytes calldata signature) external;
    function setMember(bytes32 id, address member, bool allowed, bytes calldata signature) external;
    /// @notice The lead closes her study for ever.
    function withdraw(bytes32 id, bytes calldata signature) external;

    // Studies, by their board
    /// @notice Approves the newest proposed version until a date; also renews, and lifts a suspension. If it widens the
    /// terms, consents on forms of earlier versions no longer count.
    function approve(bytes32 id, uint32 version, uint48 until, Vote[] calldata votes) external;
    /// @notice Rejects the newest proposed version. A study approved before stays as approved.
    function reject(bytes32 id, uint32 version, bytes32 reason, Vote[] calldata votes) external;
    function suspend(bytes32 id, Vote[] calldata votes) external;
    function close(bytes32 id, Vote[] calldata votes) external;
}
