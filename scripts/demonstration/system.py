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

    def close(self) -> None:
        """Ends everything and removes the folder."""
        LocalSystem.close(self)
        shutil.rmtree(self.folder, ignore_errors=True)
