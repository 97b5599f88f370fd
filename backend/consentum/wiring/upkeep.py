# SPDX-License-Identifier: Apache-2.0
"""The work that keeps a gateway's set of replicas whole. The tokens of pinning services are in pinning.json (0600), by
endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consentum.adapters.ipfs.pinning import PinningClient
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.store.copies import CopyBook
from consentum.adapters.store.files import read_private
from consentum.errors import KeyFileError, SettingsError
from consentum.flow.gateway.pins import PinKeeper
from consentum.flow.gateway.scrub import Scrubber
from consentum.ports.content import ContentStore
from consentum.ports.gateway_store import GatewayStore
from consentum.settings import GatewaySettings
from consentum.wiring.content import content_store

TOKEN_FILE: Final = "pinning.json"  # noqa: S105 - a name, no password
ALL_CATEGORIES: Final = (1 << 63) - 1
TEND_SECONDS: Final = 5.0
STEP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What keeps a set of replicas whole, and what is to be said of it."""

    scrubber: Scrubber
    keepers: Sequence[PinKeeper]
    unpinned: Callable[[], int]
    """How many pins are missing."""

    def jobs(self) -> list[tuple[Callable[[], object], float]]:
        """Background work, each with the seconds between two rounds of it."""
        tending = [(self.scrubber.tend, TEND_SECONDS), *((keeper.tend, TEND_SECONDS) for keeper in self.keepers)]
        return [*tending, (self.scrubber.step, STEP_SECONDS)]

    def adopt(self, store: GatewayStore) -> None:
        """What was deposited before there were several nodes is to be copied too."""
        self.scrubber.adopt(record.cid for record in store.records(ALL_CATEGORIES))

    def warnings(self) -> dict[str, str]:
        """What needs the operator's eye, by part."""
        tally, found = self.scrubber.tally(), dict[str, str]()
        if tally.missing:
            found["copies"] = f"{tally.missing} copies are missing: a node is down or was damaged"
        if tally.owed:
            found["erasure"] = f"{tally.owed} removals are owed by nodes or services that do not answer"
        return found


def upkeep(content: ContentStore, settings: GatewaySettings, folder: Path) -> Upkeep | None:
    """What keeps `content` whole; None for a single store, which has nothing to be mended from."""
    if not isinstance(content, ReplicaStore):
        return None
    book, tokens = content.ledger, _tokens(folder, settings.pinning)
    assert isinstance(book, CopyBook)
    clients = [PinningClient(endpoint, tokens[endpoint]) for endpoint in settings.pinning]
    keepers = [PinKeeper(client, book, book, settings.pinning_origins) for client in clients]
    names = [keeper.name for keeper in keepers]
    return Upkeep(Scrubber(content, settings.scrub_seconds, keepers), keepers, lambda: book.unpinned(names))


@contextmanager
def scrubbing(folder: Path) -> Iterator[tuple[Scrubber, int]]:
    """The scrubber of a gateway's folder, whether or not the gateway runs, and how many records it will look at.
    SettingsError where there is a single store."""
    settings = GatewaySettings.load(folder)
    content = content_store(settings, folder)
    try:
        kept = upkeep(content, settings, folder)
        if kept is None:
            raise SettingsError("a single store has nothing to be mended from; name several nodes", field="ipfs")
        yield kept.scrubber, kept.scrubber.tally().records
    finally:
        content.close()


def _tokens(folder: Path, endpoints: Sequence[str]) -> dict[str, str]:
    """KeyFileError, naming the file and never its content, unless it has a token for each of `endpoints`."""
    if not endpoints:
        return {}
    try:
        data = json.loads(read_private(folder / TOKEN_FILE))
        found = {endpoint: data[endpoint] for endpoint in endpoints}
    except (ValueError, KeyError, TypeError):
        raise KeyFileError("it has no token for a pinning service of the settings", field=TOKEN_FILE) from None
    if not all(
        isinstance(token, str) and token.isascii() and token.isprintable() and token for token in found.values()
    ):
        raise KeyFileError("a token is no text that a header can carry", field=TOKEN_FILE)
    return found
