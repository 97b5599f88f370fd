// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IKeyServerRegistry} from "../src/interfaces/IKeyServerRegistry.sol";
import {BaseTest} from "./helpers/BaseTest.sol";

contract KeyServerRegistryTest is BaseTest {
    function _members(uint256 count) private pure returns (address[] memory members) {
        members = new address[](count);
        for (uint256 i; i < count; ++i) {
            members[i] = address(uint160(0x1000 + i));
        }
    }

    function test_ACommitteeIsNamedByItsContents() public {
        address[] memory members = _members(3);
        bytes32 expected = keccak256(abi.encode(uint8(2), members));
        vm.expectEmit(address(servers));
        emit IKeyServerRegistry.CommitteeCreated(expected, 2, members);
        assertEq(servers.createCommittee(2, members), expected);
        (uint8 threshold, address[] memory stored) = servers.committeeOf(expected);
        assertEq(threshold, 2);
        assertEq(stored, members);
    }

    function test_MakingACommitteeTwiceChangesNothing() public {
        bytes32 first = servers.createCommittee(2, _members(3));
        vm.recordLogs();
        vm.prank(mallory.id);
        assertEq(servers.createCommittee(2, _members(3)), first);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_OtherThresholdsAndMembersAreOtherCommittees() public {
        bytes32 a = servers.createCommittee(2, _members(3));
        bytes32 b = servers.createCommittee(3, _members(3));
        bytes32 c = servers.createCommittee(2, _members(4));
        assertTrue(a != b && a != c && b != c);
    }

    function test_NoServerHoldsAKeyAlone() public {
        vm.expectRevert(IKeyServerRegistry.BadThreshold.selector);
        servers.createCommittee(0, _members(3));
        vm.expectRevert(IKeyServerRegistry.BadThreshold.selector);
        servers.createCommittee(1, _members(3));
    }

    function test_AThresholdAboveTheMembersIsRefused() public {
        vm.expectRevert(IKeyServerRegistry.BadThreshold.selector);
        servers.createCommittee(4, _members(3));
        vm.expectRevert(IKeyServerRegistry.BadThreshold.selector);
        servers.createCommittee(2, _members(0));
    }

    function test_TwoHundredFiftyFiveMembersAreTheMost() public {
        servers.createCommittee(255, _members(255));
        vm.expectRevert(IKeyServerRegistry.BadThreshold.selector);
        servers.createCommittee(2, _members(256));
    }

    function test_MembersAreDistinctAscendingAndSomebody() public {
        address[] memory members = _members(3);
        members[2] = members[1];
        vm.expectRevert(IKeyServerRegistry.MembersNotAscending.selector);
        servers.createCommittee(2, members);
        members[2] = members[0];
        vm.expectRevert(IKeyServerRegistry.MembersNotAscending.selector);
        servers.createCommittee(2, members);
        members = _members(3);
        members[0] = address(0);
        vm.expectRevert(IKeyServerRegistry.MembersNotAscending.selector);
        servers.createCommittee(2, members);
    }

    function test_AServerAnnouncesItself() public {
        vm.expectEmit(address(servers));
        emit IKeyServerRegistry.ServerAnnounced(bob.id, "key", "https://bob.example");
        vm.prank(bob.id);
        servers.announce("key", "https://bob.example");
        IKeyServerRegistry.Server memory server = servers.serverOf(bob.id);
        assertEq(server.checkpointKey, bytes32("key"));
        assertEq(server.endpoint, "https://bob.example");
        assertEq(server.epoch, 0);
    }

    function test_AServerMustAnnounceItselfBeforeItHasKeys() public {
        vm.prank(bob.id);
        vm.expectRevert(IKeyServerRegistry.NotAnnounced.selector);
        servers.rotate("public key");
    }

    function test_EpochsCountUpAndOldKeysStayKnown() public {
        vm.startPrank(bob.id);
        servers.announce("key", "");
        vm.expectEmit(address(servers));
        emit IKeyServerRegistry.SealingKeyRotated(bob.id, 1, "first");
        assertEq(servers.rotate("first"), 1);
        assertEq(servers.rotate("second"), 2);
        assertEq(servers.sealingKeyHash(bob.id, 1), keccak256("first"));
        assertEq(servers.sealingKeyHash(bob.id, 2), keccak256("second"));
        assertEq(servers.sealingKeyHash(bob.id, 0), 0);
        assertEq(servers.serverOf(bob.id).epoch, 2);
    }

    function test_ANewAnnouncementKeepsTheEpoch() public {
        vm.startPrank(bob.id);
        servers.announce("key", "");
        servers.rotate("first");
        servers.announce("new key", "elsewhere");
        assertEq(servers.serverOf(bob.id).epoch, 1);
        assertEq(servers.rotate("second"), 2);
    }

    function test_AServerWritesOnlyForItself() public {
        vm.prank(bob.id);
        servers.announce("key", "");
        vm.startPrank(mallory.id);
        vm.expectRevert(IKeyServerRegistry.NotAnnounced.selector);
        servers.rotate("public key");
        servers.announce("evil", "evil");
        servers.rotate("evil");
        assertEq(servers.serverOf(bob.id).checkpointKey, bytes32("key"));
        assertEq(servers.sealingKeyHash(bob.id, 1), 0);
    }
}
