// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Vm} from "forge-std/Vm.sol";

/// @title Lists in JSON files, and the structs of types.json
library Json {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function path(string memory list, uint256 i) internal pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "]");
    }

    function length(string memory json, string memory list) internal view returns (uint256 count) {
        while (vm.keyExistsJson(json, path(list, count))) {
            ++count;
        }
    }

    /// @dev EIP-712's encodeType of one struct of types.json, without the structs that it refers to.
    function ownType(string memory types, string memory name)
        internal
        view
        returns (string memory text, uint256 fields, bool holdsTerms)
    {
        string memory list = string.concat("messages.", name, ".fields");
        fields = length(types, list);
        text = string.concat(name, "(");
        for (uint256 i; i < fields; ++i) {
            string memory kind = vm.parseJsonString(types, string.concat(path(list, i), ".type"));
            string memory field = vm.parseJsonString(types, string.concat(path(list, i), ".name"));
            text = string.concat(text, i == 0 ? "" : ",", kind, " ", field);
            if (keccak256(bytes(kind)) == keccak256("Terms")) holdsTerms = true;
        }
        text = string.concat(text, ")");
    }
}
