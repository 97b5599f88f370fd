// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Test} from "forge-std/Test.sol";
import {OwnerHandler} from "./OwnerHandler.sol";

/// @notice Invariants C3 and C8 over random calls by everybody.
contract OwnerInvariantTest is Test {
    OwnerHandler private handler;

    function setUp() public {
        handler = new OwnerHandler();
        bytes4[] memory selectors = new bytes4[](6);
        selectors[0] = handler.propose.selector;
        selectors[1] = handler.recover.selector;
        selectors[2] = handler.cancel.selector;
        selectors[3] = handler.finalize.selector;
        selectors[4] = handler.freeze.selector;
        selectors[5] = handler.wait_.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({addr: address(handler), selectors: selectors}));
    }

    function invariant_AnOwnerChangesOnlyByRightAndAfterTheDelay() public view {
        assertEq(handler.wrong(), "");
    }
}
