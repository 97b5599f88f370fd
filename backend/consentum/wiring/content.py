# SPDX-License-Identifier: Apache-2.0
"""Where a gateway keeps sealed records: in a file of its own, or in an IPFS node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, SettingsError, UnavailableError
from consentum.ports.content import ContentStore
from consentum.settings import GatewaySettings

if TYPE_CHECKING:
    from consentum.adapters.ipfs.kubo import KuboStore

FILE: Final = "blocks.db"
START_SECONDS: Final = 10.0
_NOTHING: Final = Cid.of(RAW, b"")


def content_store(settings: GatewaySettings, folder: Path) -> ContentStore:
    """The store that the settings name; without any, the embedded one in `folder`.

    A node that does not answer now may do so later: whoever uses the store is told. SettingsError.
    """
    if not settings.ipfs:
        return EmbeddedStore(folder / FILE)
    if len(settings.ipfs) > 1:
        raise SettingsError("one IPFS node, for now", field="ipfs")
    return _kubo(settings.ipfs[0])


def why_not_content(store: ContentStore) -> dict[str, str]:
    """Why records cannot be kept or had now; nothing if they can."""
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
