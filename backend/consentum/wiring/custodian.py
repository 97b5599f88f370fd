# SPDX-License-Identifier: Apache-2.0
"""Builds what a custodian works with: its connection, its book, and what depositing needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consentum.adapters.ipfs.spool_folder import SpoolFolder
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.store.custody import CustodyFile
from consentum.flow.client.deposit import Custodian, sealing_targets
from consentum.flow.client.filing import Filing
from consentum.ports.custody import CustodyBook
from consentum.wiring.client import Connection, connect

BOOK_FILE = "custodian.db"
SPOOL_FOLDER = "spool"


@dataclass(kw_only=True)
class CustodianHome:
    """A custodian's home, or a member of staff's who deposits for it."""

    connection: Connection
    book: CustodyBook

    def filing(self) -> Filing:
        def send(batch: Mapping[str, Any]) -> Mapping[str, Any]:
            return dict(self.connection.gateway.post("/v1/deposits", dict(batch)))

        ledger = self.connection.ledger
        return Filing(
            ledger=ledger,
            book=self.book,
            spool=SpoolFolder(self.connection.home / SPOOL_FOLDER),
            depository=GatewayContent(self.connection.gateway),
            send=send,
            now=lambda: ledger.view().latest.timestamp,
        )

    def depositor(self, committee_id: bytes) -> Custodian:
        """Who deposits, for one committee. NotFoundError if there is no such committee, UnavailableError or
        CorruptError if a member's sealing key cannot be had or is not the one on chain."""
        connection = self.connection
        latest = connection.ledger.view().latest
        committee = connection.ledger.committee(latest, committee_id)
        return Custodian(
            domain=connection.deployment.user_domain,
            address=connection.identity,
            signer=connection.key,
            committee_id=committee_id,
            committee=committee,
            targets=sealing_targets(connection.ledger, latest, committee, connection.key_servers),
            depository=GatewayContent(connection.gateway),
        )


def open_custodian(folder: Path) -> CustodianHome:
    """The home in a folder. SettingsError or KeyFileError if it is not one."""
    connection = connect(folder)
    return CustodianHome(connection=connection, book=CustodyFile(folder / BOOK_FILE))
