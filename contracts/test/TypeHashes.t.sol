// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Test} from "forge-std/Test.sol";
import "../src/libraries/TypeHashes.sol" as Types;
import {Json} from "./helpers/Json.sol";

/// @notice types.json is the one source of the structs; the constants are compared with it.
contract TypeHashesTest is Test {
    string private json;
    mapping(string name => bytes32 hash) private constants;
    uint256 private count;

    function setUp() public {
        json = vm.readFile("contracts/types.json");
        _add("Consent", Types.CONSENT_TYPEHASH);
        _add("Revoke", Types.REVOKE_TYPEHASH);
        _add("RevokeAll", Types.REVOKE_ALL_TYPEHASH);
        _add("Freeze", Types.FREEZE_TYPEHASH);
        _add("Enrol", Types.ENROL_TYPEHASH);
        _add("Deposit", Types.DEPOSIT_TYPEHASH);
        _add("Retract", Types.RETRACT_TYPEHASH);
        _add("Job", Types.JOB_TYPEHASH);
        _add("Release", Types.RELEASE_TYPEHASH);
        _add("Login", Types.LOGIN_TYPEHASH);
        _add("AddDelegate", Types.ADD_DELEGATE_TYPEHASH);
        _add("RevokeDelegate", Types.REVOKE_DELEGATE_TYPEHASH);
        _add("SetAttribute", Types.SET_ATTRIBUTE_TYPEHASH);
        _add("RevokeAttribute", Types.REVOKE_ATTRIBUTE_TYPEHASH);
        _add("SetRecovery", Types.SET_RECOVERY_TYPEHASH);
        _add("ProposeOwner", Types.PROPOSE_OWNER_TYPEHASH);
        _add("CancelOwner", Types.CANCEL_OWNER_TYPEHASH);
        _add("Terms", Types.TERMS_TYPEHASH);
        _add("Propose", Types.PROPOSE_TYPEHASH);
        _add("Amend", Types.AMEND_TYPEHASH);
        _add("SetMember", Types.SET_MEMBER_TYPEHASH);
        _add("Withdraw", Types.WITHDRAW_TYPEHASH);
        _add("Approve", Types.APPROVE_TYPEHASH);
        _add("Reject", Types.REJECT_TYPEHASH);
        _add("Suspend", Types.SUSPEND_TYPEHASH);
        _add("Close", Types.CLOSE_TYPEHASH);
        _add("Accredit", Types.ACCREDIT_TYPEHASH);
        _add("AcceptForm", Types.ACCEPT_FORM_TYPEHASH);
        _add("ChangeBoard", Types.CHANGE_BOARD_TYPEHASH);
    }

    function _add(string memory name, bytes32 hash) private {
        constants[name] = hash;
        ++count;
    }

    function test_EveryConstantIsTheHashOfItsStructInTypesJson() public view {
        string[] memory names = vm.parseJsonKeys(json, ".messages");
        assertEq(names.length, count, "as many structs as constants");
        for (uint256 i; i < names.length; ++i) {
            assertEq(constants[names[i]], keccak256(bytes(_encodeType(names[i]))), names[i]);
        }
    }

    function test_NoTwoStructsShareAHash() public view {
        string[] memory names = vm.parseJsonKeys(json, ".messages");
        for (uint256 i; i < names.length; ++i) {
            for (uint256 j; j < i; ++j) {
                assertTrue(constants[names[i]] != constants[names[j]], names[i]);
            }
        }
    }

    function test_TheDomainIsTheContracts() public view {
        assertEq(vm.parseJsonString(json, ".domain.name"), "Consentum");
        assertEq(vm.parseJsonString(json, ".domain.version"), "1");
    }

    /// @dev EIP-712's encodeType: the struct, then the one struct that another can hold, Terms.
    function _encodeType(string memory name) private view returns (string memory) {
        (string memory own,, bool holdsTerms) = Json.ownType(json, name);
        if (!holdsTerms) return own;
        (string memory terms,,) = Json.ownType(json, "Terms");
        return string.concat(own, terms);
    }
}
