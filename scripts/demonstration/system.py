# SPDX-License-Identifier: Apache-2.0
"""The system the demo runs on: a local system, as `consentum up` starts it, in a folder that is removed at the end."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from consentum.wiring.founding import ANVIL_KEY
from consentum.wiring.layout import KeyServerProcess
from consentum.wiring.local import LocalSystem
from consentum.wiring.ports import free_port
from scripts.demonstration.kubo import KuboNode

__all__ = ["ANVIL_KEY", "SERVERS", "THRESHOLD", "KeyServerProcess", "System", "free_port"]
SERVERS = 3
THRESHOLD = 2


@dataclass(slots=True)
class System(LocalSystem):
    """Starts, stops and finally removes everything."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="consentum-demo-")))
    size: int = SERVERS
    threshold: int = THRESHOLD
    keep_chain: bool = False
    kubo: KuboNode | None = None

    def start_kubo(self) -> KuboNode:
        """A private IPFS node, which the gateway then keeps the records in."""
        self.kubo = KuboNode.start(self.folder / "kubo")
        self.gateway_options = {**self.gateway_options, "ipfs": (self.kubo.rpc_url,)}
        return self.kubo

    def close(self) -> None:
        """Ends everything and removes the folder."""
        LocalSystem.close(self)
        if self.kubo is not None:
            self.kubo.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
