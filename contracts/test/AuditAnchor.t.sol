// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IAuditAnchor} from "../src/interfaces/IAuditAnchor.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract AuditAnchorTest is BaseTest {
    bytes32 private constant ONE = keccak256("root one");
    bytes32 private constant TWO = keccak256("root two");

    function _anchor(bytes32 previousRoot, uint64 previousSize, bytes32 root, uint64 size) private {
        vm.prank(bob.id);
        anchors.anchor(previousRoot, previousSize, root, size);
    }

    function _assertAnchored(bytes32 root, uint64 size) private view {
        IAuditAnchor.Anchor memory latest = anchors.anchorOf(bob.id);
        assertEq(latest.root, root);
        assertEq(latest.size, size);
    }

    function test_AServerAnchorsItsGrowingLog() public {
        vm.expectEmit(address(anchors));
        emit IAuditAnchor.RootAnchored(bob.id, ONE, 5);
        _anchor(0, 0, ONE, 5);
        assertEq(anchors.anchorOf(bob.id).anchoredAt, _now());
        vm.warp(block.timestamp + 60);
        _anchor(ONE, 5, TWO, 6);
        _assertAnchored(TWO, 6);
        assertEq(anchors.anchorOf(bob.id).anchoredAt, _now());
    }

    function test_ALogIsItsWritersAlone() public {
        _anchor(0, 0, ONE, 5);
        vm.prank(mallory.id);
        anchors.anchor(0, 0, TWO, 9);
        _assertAnchored(ONE, 5);
    }

    function test_AnAnchorThatDoesNotKnowTheLatestIsRefused() public {
        _anchor(0, 0, ONE, 5);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotTheLatest.selector, ONE, 5));
        _anchor(0, 0, TWO, 6);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotTheLatest.selector, ONE, 5));
        _anchor(TWO, 5, TWO, 6);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotTheLatest.selector, ONE, 5));
        _anchor(ONE, 4, TWO, 6);
        _assertAnchored(ONE, 5);
    }

    function test_ALogThatDoesNotGrowIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SizeNotGrowing.selector, 0));
        _anchor(0, 0, ONE, 0);
        _anchor(0, 0, ONE, 5);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SizeNotGrowing.selector, 5));
        _anchor(ONE, 5, TWO, 5);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.SizeNotGrowing.selector, 5));
        _anchor(ONE, 5, TWO, 4);
    }

    function test_TheSameAnchorTwiceIsRefused() public {
        _anchor(0, 0, ONE, 5);
        vm.expectRevert(abi.encodeWithSelector(IAuditAnchor.NotTheLatest.selector, ONE, 5));
        _anchor(0, 0, ONE, 5);
    }

    /// @dev Invariant C10: two writers with one key race; whoever is second is refused.
    function testFuzz_SizesOnlyGrowAndOneRootIsHeldPerSize(uint64[16] calldata sizes, uint256 stale) public {
        bytes32[] memory roots = new bytes32[](17);
        uint64[] memory held = new uint64[](17);
        uint256 count;
        for (uint256 i; i < 16; ++i) {
            uint256 from = (stale >> i) & 1 == 1 && count > 0 ? count - 1 : count;
            bytes32 root = keccak256(abi.encode(i, sizes[i]));
            vm.prank(bob.id);
            try anchors.anchor(roots[from], held[from], root, sizes[i]) {
                assertEq(from, count, "a stale writer won");
                assertGt(sizes[i], held[count], "the log shrank");
                ++count;
                (roots[count], held[count]) = (root, sizes[i]);
            } catch {
                assertTrue(from != count || sizes[i] <= held[count], "a rightful anchor was refused");
            }
            _assertAnchored(roots[count], held[count]);
        }
    }
}
