// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {Test} from "forge-std/Test.sol";
import {IConsentRegistry} from "../../src/interfaces/IConsentRegistry.sol";
import {ConsentHandler} from "./ConsentHandler.sol";

/// @notice Invariants C1, C2, C3 and C5 over random calls by everybody.
contract ConsentInvariantTest is Test {
    ConsentHandler private handler;

    function setUp() public {
        handler = new ConsentHandler();
        bytes4[] memory selectors = new bytes4[](8);
        selectors[0] = handler.grant.selector;
        selectors[1] = handler.revoke.selector;
        selectors[2] = handler.revokeAll.selector;
        selectors[3] = handler.freeze.selector;
        selectors[4] = handler.replay.selector;
        selectors[5] = handler.forge.selector;
        selectors[6] = handler.sendAsAnyone.selector;
        selectors[7] = handler.wait_.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({addr: address(handler), selectors: selectors}));
    }

    function invariant_StatesOnlyMoveForwardAndOnlyForThoseEntitled() public view {
        assertEq(handler.wrong(), "");
    }

    function invariant_TimesAreNeverInTheFuture() public view {
        for (uint256 i; i < handler.COMMITMENTS(); ++i) {
            IConsentRegistry.Standing memory s = handler.standing(i);
            assertLe(s.grantedAt, vm.getBlockTimestamp());
            assertLe(s.revokedAt, vm.getBlockTimestamp());
            assertTrue(s.revokedAt == 0 || s.grantedAt <= s.revokedAt);
        }
    }
}
