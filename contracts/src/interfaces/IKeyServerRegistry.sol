// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

/// @title Key servers and committees
/// @notice A committee's id is the hash of {threshold, members}, so it can never change: new members are a new
/// committee. Each server writes only its own keys and endpoint.
interface IKeyServerRegistry {
    struct Server {
        /// @dev Ed25519 public key of its journal checkpoints and receipts.
        bytes32 checkpointKey;
        /// @dev Epoch of the newest HPKE key; 0 means none yet.
        uint32 epoch;
        string endpoint;
    }

    event CommitteeCreated(bytes32 indexed committee, uint8 threshold, address[] members);
    event ServerAnnounced(address indexed server, bytes32 checkpointKey, string endpoint);
    event SealingKeyRotated(address indexed server, uint32 indexed epoch, bytes publicKey);

    error BadThreshold();
    error MembersNotAscending();
    error NotAnnounced();

    /// @notice Members ascending, 2 <= threshold <= members <= 255: no single server ever holds a key.
    function createCommittee(uint8 threshold, address[] calldata members) external returns (bytes32 committee);
    function committeeOf(bytes32 committee) external view returns (uint8 threshold, address[] memory members);

    /// @notice The caller's checkpoint key and endpoint.
    function announce(bytes32 checkpointKey, string calldata endpoint) external;
    /// @notice The caller's next HPKE key (ML-KEM-768 + X25519, 1,216 bytes); its hash is kept, its bytes are in the
    /// event. Older epochs stay valid for what was sealed to them.
    function rotate(bytes calldata publicKey) external returns (uint32 epoch);
    function serverOf(address server) external view returns (Server memory);
    function sealingKeyHash(address server, uint32 epoch) external view returns (bytes32);
}
