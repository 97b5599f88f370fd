// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IKeyServerRegistry} from "./interfaces/IKeyServerRegistry.sol";

/// @title KeyServerRegistry
/// @notice See IKeyServerRegistry, where everything is documented.
contract KeyServerRegistry is IKeyServerRegistry {
    struct Committee {
        uint8 threshold;
        address[] members;
    }

    mapping(bytes32 committee => Committee data) private _committees;
    mapping(address server => Server data) private _servers;
    mapping(address server => mapping(uint32 epoch => bytes32 keyHash)) public sealingKeyHash;

    /// @inheritdoc IKeyServerRegistry
    function createCommittee(uint8 threshold, address[] calldata members) external returns (bytes32 committee) {
        if (threshold < 2 || threshold > members.length || members.length > 255) revert BadThreshold();
        committee = keccak256(abi.encode(threshold, members));
        if (_committees[committee].threshold != 0) return committee;
        address previous;
        for (uint256 i; i < members.length; ++i) {
            if (members[i] <= previous) revert MembersNotAscending();
            previous = members[i];
        }
        _committees[committee] = Committee(threshold, members);
        emit CommitteeCreated(committee, threshold, members);
    }

    /// @inheritdoc IKeyServerRegistry
    function committeeOf(bytes32 committee) external view returns (uint8, address[] memory) {
        Committee storage c = _committees[committee];
        return (c.threshold, c.members);
    }

    /// @inheritdoc IKeyServerRegistry
    function announce(bytes32 checkpointKey, string calldata endpoint) external {
        _servers[msg.sender].checkpointKey = checkpointKey;
        _servers[msg.sender].endpoint = endpoint;
        emit ServerAnnounced(msg.sender, checkpointKey, endpoint);
    }

    /// @inheritdoc IKeyServerRegistry
    function rotate(bytes calldata publicKey) external returns (uint32 epoch) {
        Server storage server = _servers[msg.sender];
        if (server.checkpointKey == 0) revert NotAnnounced();
        epoch = ++server.epoch;
        sealingKeyHash[msg.sender][epoch] = keccak256(publicKey);
        emit SealingKeyRotated(msg.sender, epoch, publicKey);
    }

    /// @inheritdoc IKeyServerRegistry
    function serverOf(address server) external view returns (Server memory) {
        return _servers[server];
    }
}
