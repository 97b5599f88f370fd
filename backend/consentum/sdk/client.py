# SPDX-License-Identifier: Apache-2.0
"""The researcher's client: her home folder, the gateway behind it, and the chain against which its word is checked."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from consentum.adapters.peers.session import Session
from consentum.domain.parsing import as_bytes
from consentum.sdk.job import Job
from consentum.sdk.result import Manifest
from consentum.sdk.study import Study
from consentum.settings import home_folder
from consentum.wiring.client import Connection, connect


class Client:
    """One researcher. Nothing is asked of anybody before it is needed."""

    def __init__(self, home: Path | str | None = None, *, connection: Connection | None = None) -> None:
        """home: the folder `consentum researcher init` made; default ~/.consentum. SettingsError or KeyFileError if it
        is none."""
        self.connection = connection or connect(Path(home) if home is not None else home_folder())

    @classmethod
    def from_env(cls) -> Client:
        """The client of the home that CONSENTUM_HOME names, else ~/.consentum."""
        return cls(home_folder())

    @property
    def address(self) -> str:
        """Who studies name as their member."""
        return self.connection.identity

    @cached_property
    def session(self) -> Session:
        """With the gateway; waits for it half a minute."""
        return self.connection.patient()

    def study(self, name: str) -> Study:
        """A study by its name at the gateway, or by its id (0x…), which is what the chain knows. NotFoundError if it is
        not on chain; an open one or not is told by the study."""
        return Study.find(self.connection, self.session, name)

    def job(self, identity: str) -> Job:
        """A job of yours by its id, from any process with this home. NotFoundError once it is asked, if not yours."""
        return Job(self.connection, self.session, as_bytes(identity, "id", 32))

    def jobs(self) -> list[Job]:
        """Your jobs at this gateway."""
        told = self.session.get("/v1/jobs").get("jobs", [])
        return [self.job(str(row.get("id"))) for row in told]

    def manifest(self, path: Path | str) -> Manifest:
        """A saved manifest, to verify."""
        return Manifest.load(path, self.connection)

    def __repr__(self) -> str:
        return f"Client({self.address} at {self.connection.settings.gateway})"
