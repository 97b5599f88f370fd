# SPDX-License-Identifier: Apache-2.0
"""Where the contracts are: deployments/<chainId>.json, written by `consentum contracts deploy`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from consentum.crypto.typed import Domain
from consentum.errors import MalformedError, SettingsError


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts on one chain."""

    chain_id: int
    did_registry: str
    consent_registry: str
    study_registry: str
    release_policy: str
    key_server_registry: str
    audit_anchor: str
    source_hash: str

    @property
    def user_domain(self) -> Domain:
        """The domain of everything people sign, but DidRegistry's and StudyRegistry's own messages."""
        return Domain(self.chain_id, self.consent_registry)

    @property
    def did_domain(self) -> Domain:
        return Domain(self.chain_id, self.did_registry)

    @property
    def study_domain(self) -> Domain:
        return Domain(self.chain_id, self.study_registry)

    def address_of(self, contract: str) -> str:
        table = {
            "DidRegistry": self.did_registry,
            "ConsentRegistry": self.consent_registry,
            "StudyRegistry": self.study_registry,
            "ReleasePolicy": self.release_policy,
            "KeyServerRegistry": self.key_server_registry,
            "AuditAnchor": self.audit_anchor,
        }
        return table[contract]

    @classmethod
    def load(cls, path: Path) -> Deployment:
        try:
            return cls.from_json(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError):
            raise SettingsError(f"{path} is not a deployment", field="deployment") from None

    @classmethod
    def from_json(cls, data: Any) -> Deployment:
        try:
            return cls(**data)
        except TypeError:
            raise MalformedError("not a deployment", field="deployment") from None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")
