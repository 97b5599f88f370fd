// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

/// @title Roots of the journals, where nobody can take them back
/// @notice A log is its writer's address. A new anchor names the one before it (compare and set), and size only grows,
/// so two processes of one server, or a server restored from an old backup, cannot fork their log unseen.
interface IAuditAnchor {
    struct Anchor {
        bytes32 root;
        uint64 size;
        uint48 anchoredAt;
    }

    event RootAnchored(address indexed log, bytes32 root, uint64 size);

    error NotTheLatest(bytes32 root, uint64 size);
    error SizeNotGrowing(uint64 size);

    function anchor(bytes32 previousRoot, uint64 previousSize, bytes32 root, uint64 size) external;
    function anchorOf(address log) external view returns (Anchor memory);
}
