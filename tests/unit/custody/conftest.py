# SPDX-License-Identifier: Apache-2.0
"""A custodian with a book of its own beside the small world of key servers, and a gateway over fakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.ipfs.spool_folder import SpoolFolder
from consentum.adapters.store.custody import CustodyFile
from consentum.crypto.signing import WalletKey
from consentum.domain.invites import Invite
from consentum.domain.messages import Enrol
from consentum.errors import UnavailableError
from consentum.flow.client import custody, filing, terms
from consentum.flow.client.manifest import Entry, read_manifest
from consentum.flow.gateway import forward
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.enrolments import SignedEnrol
from tests.unit.client.world import DOMAIN, NOW, World
from tests.unit.gateway.conftest import gateway, sender, world

__all__ = ["gateway", "sender", "world"]  # fixtures

GATEWAY = "http://gateway.test"


@dataclass
class Ward:
    """A custodian. fault: None, "unsent" (the gateway never gets it), "unanswered" (it does, its answer is lost)."""

    world: World
    folder: Path
    book: CustodyFile
    gateway: Gateway
    fault: str | None = None
    sent: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def custodian(self) -> str:
        return self.world.hospital.address.lower()

    def invite(self, number: str, expires: int = NOW + 1_000) -> Invite:
        return custody.invite(self.book, number, self.custodian, GATEWAY, expires)

    def enrol(self, invite: Invite, who: WalletKey, signer: WalletKey | None = None) -> SignedEnrol:
        signed = terms.accept(DOMAIN, signer or who, who.address.lower(), invite)
        assert isinstance(signed.message, Enrol)
        return SignedEnrol(signed.message, signed.signature, False)

    def take_in(self, *enrolments: SignedEnrol) -> custody.TakenIn:
        return custody.take_in(self.world.ledger, DOMAIN, self.book, self.custodian, enrolments)

    def patient(self, number: str, who: WalletKey) -> None:
        assert self.take_in(self.enrol(self.invite(number), who)).linked == 1

    def manifest(self, *lines: str, header: str = "file,number,category") -> Path:
        path = self.folder / "manifest.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    def entries(self, *lines: str) -> list[Entry]:
        files = self.folder / "files"
        return read_manifest(self.manifest(*lines), files, custody.enrolments_by_number(self.book))

    def send(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        self.sent.append(batch)
        if self.fault == "unsent":
            raise UnavailableError("the gateway does not answer")
        answer = forward.deposit(self.gateway, batch, self.custodian)
        if self.fault == "unanswered":
            raise UnavailableError("the answer is lost")
        return answer

    def filing(self) -> filing.Filing:
        return filing.Filing(
            ledger=self.world.ledger,
            book=self.book,
            spool=SpoolFolder(self.folder / "spool"),
            depository=self.world.depository,
            send=self.send,
            now=lambda: NOW,
        )

    def deposit(self, entries: list[Entry]) -> filing.Report:
        enrolments = custody.enrolments_by_number(self.book)
        return filing.deposit(self.filing(), self.world.custodian(), entries, enrolments, lambda _: None)

    def listed(self) -> int:
        """How many records the gateway would put into a cohort."""
        return len(self.gateway.store.records((1 << 63) - 1))

    def write(self, name: str, content: bytes = b"content") -> None:
        path = self.folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def ward(tmp_path: Path, world: World, gateway: Gateway) -> Iterator[Ward]:
    made = Ward(world, tmp_path, CustodyFile(tmp_path / "custodian.db"), gateway)
    (tmp_path / "files").mkdir()
    yield made
    made.book.close()
