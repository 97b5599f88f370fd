# SPDX-License-Identifier: Apache-2.0
"""Where a gateway keeps sealed records: in a file of its own, in an IPFS node, or in several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.store.copies import CopyBook
from consentum.adapters.store.engine import storage_errors
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, SettingsError, UnavailableError
from consentum.ports.content import ContentStore
from consentum.ports.copies import Replica
from consentum.settings import GatewaySettings

if TYPE_CHECKING:
    from consentum.adapters.ipfs.kubo import KuboStore

EMBEDDED: Final = "blocks.db"
START_SECONDS: Final = 10.0
_NOTHING: Final = Cid.of(RAW, b"")


def content_store(settings: GatewaySettings, folder: Path) -> ContentStore:
    """The embedded store in blocks.db; or Kubo at the URL of the settings; or a set of replicas, where there are
    several, pinning services, or records in an embedded store of former times.

    A node that does not answer now may do so later: whoever uses the store is told. SettingsError.
    """
    if not settings.ipfs:
        return EmbeddedStore(folder / EMBEDDED)
    stores = [(url, _kubo(url)) for url in settings.ipfs]
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


def why_not_content(store: ContentStore) -> dict[str, str]:
    """Why records cannot be kept or had now; nothing if they can."""
    if isinstance(store, ReplicaStore):
        answering = store.answering()
        short = answering < store.copies
        return {"content": f"UNAVAILABLE: {answering} nodes answer, {store.copies} are needed"} if short else {}
    try:
        store.has(_NOTHING)
    except ConsentumError as error:
        return {"content": error.code}
    return {}


def require_nodes(urls: Sequence[str]) -> None:
    """UnavailableError, naming the first of the IPFS nodes that does not answer; SettingsError for what is no URL."""
    for url in urls:
        store = _kubo(url, START_SECONDS)
        try:
            store.check()
        except UnavailableError as error:
            raise UnavailableError(f"no IPFS node at {url}: {error}", field="ipfs") from None
        finally:
            store.close()


def _kubo(url: str, timeout: float = 30.0) -> KuboStore:
    try:
        from consentum.adapters.ipfs.kubo import KuboStore  # noqa: PLC0415 - an extra that most gateways do without
    except ModuleNotFoundError:
        raise SettingsError("an IPFS node needs: pip install 'consentum[ipfs]'", field="ipfs") from None
    return KuboStore(url, timeout)
