# SPDX-License-Identifier: Apache-2.0
"""The one place where a gateway's store of sealed records is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.store.copies import CopyBook
from consentum.adapters.store.engine import storage_errors
from consentum.ports.content import ContentStore
from consentum.ports.copies import Replica
from consentum.settings import GatewaySettings

EMBEDDED: Final = "blocks.db"


def content_store(settings: GatewaySettings, folder: Path) -> ContentStore:
    """The embedded store in blocks.db; or Kubo at the URL of the settings; or a set of replicas, where there are
    several, pinning services, or records in an embedded store of former times."""
    if not settings.ipfs:
        return EmbeddedStore(folder / EMBEDDED)
    stores = [(url, KuboStore(url)) for url in settings.ipfs]
    if len(stores) == 1 and not settings.pinning and not (folder / EMBEDDED).exists():
        return stores[0][1]
    return replica_set(settings, folder, stores)


def replica_set(settings: GatewaySettings, folder: Path, stores: Sequence[tuple[str, ContentStore]]) -> ReplicaStore:
    """The stores of a gateway, by URL, as one, with the embedded store of former times behind them. In its folder:
    copies.db (which records should exist, and where), spool (input while it is written)."""
    spool, former = folder / "spool", folder / EMBEDDED
    with storage_errors():
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    nodes = [Replica(url, store) for url, store in stores]
    if former.exists():
        nodes.append(Replica(EMBEDDED, EmbeddedStore(former), retired=True))
    services = [f"pinning:{endpoint}" for endpoint in settings.pinning]
    copies = settings.ipfs_copies or min(3, len(stores))
    return ReplicaStore(nodes, copies, CopyBook(folder / "copies.db"), spool, services)
