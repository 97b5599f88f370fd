// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

/// @dev One typehash per struct of types.json; a test compares the two. Changing a string here breaks every
/// signature ever given, so a new meaning is a new struct.

// Domain: ConsentRegistry
bytes32 constant CONSENT_TYPEHASH = keccak256(
    "Consent(address subject,address policy,bytes32 scope,bytes32 form,uint64 purposes,uint64 conditions,bytes32 disease,uint64 categories,uint48 signedAt,uint48 notBefore,uint48 expires,uint8 access,uint32 epsilonMilli,bytes32 salt)"
);
bytes32 constant REVOKE_TYPEHASH = keccak256("Revoke(address subject,bytes32 commitment)");
bytes32 constant REVOKE_ALL_TYPEHASH = keccak256("RevokeAll(address subject,uint48 cutoff)");
bytes32 constant FREEZE_TYPEHASH = keccak256("Freeze(address subject,uint48 until)");
bytes32 constant ENROL_TYPEHASH = keccak256("Enrol(address subject,address custodian,bytes32 patientRef)");
bytes32 constant DEPOSIT_TYPEHASH =
    keccak256("Deposit(address custodian,bytes32 committee,bytes32 recordsRoot,uint32 count,uint48 signedAt)");
bytes32 constant RETRACT_TYPEHASH =
    keccak256("Retract(address custodian,bytes32 record,bytes32 successor,uint48 signedAt)");
bytes32 constant JOB_TYPEHASH = keccak256(
    "Job(address requester,address runner,bytes32 study,bytes32 code,uint64 purpose,uint8 access,uint32 epsilonMilli,uint48 deadline,bytes32 salt)"
);
bytes32 constant RELEASE_TYPEHASH = keccak256(
    "Release(bytes32 job,bytes32 committee,bytes32 recordsRoot,uint32 count,bytes32 responseKeyHash,uint48 deadline,bytes32 nonce)"
);
bytes32 constant LOGIN_TYPEHASH = keccak256("Login(address who,string origin,bytes32 challenge,uint48 expires)");

// Domain: DidRegistry
bytes32 constant ADD_DELEGATE_TYPEHASH =
    keccak256("AddDelegate(address identity,bytes32 delegateType,address delegate,uint256 validity,uint256 nonce)");
bytes32 constant REVOKE_DELEGATE_TYPEHASH =
    keccak256("RevokeDelegate(address identity,bytes32 delegateType,address delegate,uint256 nonce)");
bytes32 constant SET_ATTRIBUTE_TYPEHASH =
    keccak256("SetAttribute(address identity,bytes32 name,bytes value,uint256 validity,uint256 nonce)");
bytes32 constant REVOKE_ATTRIBUTE_TYPEHASH =
    keccak256("RevokeAttribute(address identity,bytes32 name,bytes value,uint256 nonce)");
bytes32 constant SET_RECOVERY_TYPEHASH = keccak256("SetRecovery(address identity,uint8 threshold,uint256 nonce)");
bytes32 constant PROPOSE_OWNER_TYPEHASH = keccak256("ProposeOwner(address identity,address newOwner,uint256 nonce)");
bytes32 constant CANCEL_OWNER_TYPEHASH = keccak256("CancelOwner(address identity,uint256 nonce)");

// Domain: StudyRegistry
bytes32 constant TERMS_TYPEHASH = keccak256(
    "Terms(uint64 purposes,uint64 conditions,uint64 categories,uint8 access,bytes32[] diseases,bytes32 protocol)"
);
bytes32 constant PROPOSE_TYPEHASH = keccak256(
    "Propose(address lead,bytes32 board,Terms terms,bytes32[] forms,bytes32 salt)Terms(uint64 purposes,uint64 conditions,uint64 categories,uint8 access,bytes32[] diseases,bytes32 protocol)"
);
bytes32 constant AMEND_TYPEHASH = keccak256(
    "Amend(bytes32 study,uint32 version,Terms terms,bytes32[] forms)Terms(uint64 purposes,uint64 conditions,uint64 categories,uint8 access,bytes32[] diseases,bytes32 protocol)"
);
bytes32 constant SET_MEMBER_TYPEHASH = keccak256("SetMember(bytes32 study,address member,bool allowed,uint256 nonce)");
bytes32 constant WITHDRAW_TYPEHASH = keccak256("Withdraw(bytes32 study,uint256 nonce)");
bytes32 constant APPROVE_TYPEHASH = keccak256("Approve(bytes32 study,uint32 version,uint48 until,uint256 nonce)");
bytes32 constant REJECT_TYPEHASH = keccak256("Reject(bytes32 study,uint32 version,bytes32 reason,uint256 nonce)");
bytes32 constant SUSPEND_TYPEHASH = keccak256("Suspend(bytes32 study,uint256 nonce)");
bytes32 constant CLOSE_TYPEHASH = keccak256("Close(bytes32 study,uint256 nonce)");
bytes32 constant ACCREDIT_TYPEHASH = keccak256("Accredit(bytes32 board,address runner,uint48 until,uint256 nonce)");
bytes32 constant ACCEPT_FORM_TYPEHASH = keccak256("AcceptForm(bytes32 board,bytes32 form,bool accepted,uint256 nonce)");
bytes32 constant CHANGE_BOARD_TYPEHASH =
    keccak256("ChangeBoard(bytes32 board,address[] members,uint8 quorum,uint256 nonce)");
