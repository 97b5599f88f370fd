// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {ConsentRegistry} from "../src/ConsentRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";
import {Json} from "./helpers/Json.sol";

/// @notice The bytes that Python signs are the bytes that Solidity verifies (tests/vectors/messages.json).
contract VectorsTest is BaseTest {
    string private json;
    ConsentRegistry private registry;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/messages.json");
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        address place = vm.parseJsonAddress(json, ".consentRegistry");
        deployCodeTo("ConsentRegistry.sol:ConsentRegistry", abi.encode(did), place);
        registry = ConsentRegistry(place);
    }

    function _path(string memory list, uint256 i, string memory key) private pure returns (string memory) {
        return string.concat(Json.path(list, i), ".", key);
    }

    function _bytes32(string memory list, uint256 i, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, _path(list, i, key));
    }

    function test_EveryTypeHashIsTheOneOfTypesJson() public view {
        string memory types = vm.readFile("contracts/types.json");
        for (uint256 i; i < Json.length(json, "messages"); ++i) {
            string memory name = vm.parseJsonString(json, _path("messages", i, "type"));
            (string memory text, uint256 fields,) = Json.ownType(types, name);
            assertEq(_bytes32("messages", i, "typeHash"), keccak256(bytes(text)), name);
            assertEq(vm.parseJsonBytes(json, _path("messages", i, "words")).length, 32 * fields, name);
        }
    }

    function test_EveryStructHashIsTheHashOfItsWords() public view {
        uint256 count = Json.length(json, "messages");
        assertGt(count, 8);
        for (uint256 i; i < count; ++i) {
            bytes memory words = vm.parseJsonBytes(json, _path("messages", i, "words"));
            bytes32 hash = keccak256(bytes.concat(_bytes32("messages", i, "typeHash"), words));
            assertEq(hash, _bytes32("messages", i, "structHash"));
        }
    }

    function test_EveryDigestIsTheRegistrys() public view {
        for (uint256 i; i < Json.length(json, "messages"); ++i) {
            bytes32 structHash = _bytes32("messages", i, "structHash");
            assertEq(registry.digestOf(structHash), _bytes32("messages", i, "digest"));
            assertEq(_digest(address(registry), structHash), _bytes32("messages", i, "digest"));
        }
    }

    function test_EverySignatureIsItsSignersAndNobodyElses() public view {
        uint256 count = Json.length(json, "signatures");
        assertGt(count, 1);
        for (uint256 i; i < count; ++i) {
            address signer = vm.parseJsonAddress(json, _path("signatures", i, "signer"));
            bytes32 digest = _bytes32("signatures", i, "digest");
            bytes memory signature = vm.parseJsonBytes(json, _path("signatures", i, "signature"));
            assertTrue(did.isSignedBy(signer, 0, digest, signature));
            assertFalse(did.isSignedBy(signer, 0, keccak256(abi.encode(digest)), signature));
            assertFalse(did.isSignedBy(alice.id, 255, digest, signature));
            assertFalse(did.isSignedBy(address(0), 255, digest, signature));
            for (uint256 j; j < count; ++j) {
                address other = vm.parseJsonAddress(json, _path("signatures", j, "signer"));
                assertEq(did.isSignedBy(other, 0, digest, signature), other == signer);
            }
        }
    }

    function test_BothKindsOfSignatureAreCovered() public view {
        bool[2] memory seen;
        for (uint256 i; i < Json.length(json, "signatures"); ++i) {
            bytes memory signature = vm.parseJsonBytes(json, _path("signatures", i, "signature"));
            seen[uint8(signature[0])] = true;
        }
        assertTrue(seen[0] && seen[1]);
    }
}
