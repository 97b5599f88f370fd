// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;

import {IAuditAnchor} from "./interfaces/IAuditAnchor.sol";

/// @title AuditAnchor
/// @notice See IAuditAnchor, where everything is documented.
contract AuditAnchor is IAuditAnchor {
    mapping(address log => Anchor latest) private _anchors;

    /// @inheritdoc IAuditAnchor
    function anchor(bytes32 previousRoot, uint64 previousSize, bytes32 root, uint64 size) external {
        Anchor storage latest = _anchors[msg.sender];
        if (latest.root != previousRoot || latest.size != previousSize) revert NotTheLatest(latest.root, latest.size);
        if (size <= latest.size) revert SizeNotGrowing(latest.size);
        (latest.root, latest.size, latest.anchoredAt) = (root, size, uint48(block.timestamp));
        emit RootAnchored(msg.sender, root, size);
    }

    /// @inheritdoc IAuditAnchor
    function anchorOf(address log) external view returns (Anchor memory) {
        return _anchors[log];
    }
}
