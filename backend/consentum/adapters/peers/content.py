# SPDX-License-Identifier: Apache-2.0
"""The gateway's content store over HTTP: CAR in, CAR out, every block verified on this side."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from consentum.adapters.ipfs import car, unixfs
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.peers import uploads
from consentum.adapters.peers.blocks import BlockReader, open_record
from consentum.adapters.peers.http import HttpClient
from consentum.adapters.peers.kept import Kept
from consentum.domain.cid import Cid
from consentum.errors import CorruptError, MalformedError

BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROOTS = 1_000


class GatewayContent:
    """The Depository port. cache is a folder of this process's own for what it fetched."""

    def __init__(self, client: HttpClient, cache: Path | None = None) -> None:
        self._client, self._cache = client, cache

    def put_all(self, contents: Sequence[bytes]) -> list[Cid]:
        built = [list(unixfs.build(io.BytesIO(content))) for content in contents]
        roots = [blocks[-1][0] for blocks in built]
        start = 0
        while start < len(built):
            stop, size = start, 0
            while stop < len(built) and (
                stop == start or (size + len(contents[stop]) <= BATCH_BYTES and stop - start < BATCH_ROOTS)
            ):
                size += len(contents[stop])
                stop += 1
            distinct = list(dict.fromkeys(roots[start:stop]))
            body = b"".join([car.header(distinct), *(car.section(*b) for blocks in built[start:stop] for b in blocks)])
            answered = [Cid.parse(text) for text in self._client.post_bytes("/v1/content", body)["roots"]]
            if answered != distinct:
                raise CorruptError("the store acknowledged other content", field="content")
            start = stop
        return roots

    def put_file(self, cid: Cid, source: BinaryIO, advance: Callable[[int], None]) -> None:
        uploads.send(self._client, cid, source, advance)

    def get_all(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        assert self._cache is not None, "fetching needs a cache folder"
        store = EmbeddedStore(self._cache)
        try:
            missing = [cid for cid in dict.fromkeys(cids) if not store.has(cid)]
            for start in range(0, len(missing), 500):
                self._fetch(store, missing[start : start + 500])
            return {cid: _read(store, cid) for cid in cids}
        finally:
            store.close()

    def open(self, cid: Cid) -> BinaryIO:
        """See the port. What has arrived is kept beside the cache until all of it has, so that a run that was
        interrupted does not fetch it again."""
        kept = None if self._cache is None else Kept(self._cache.with_suffix(".blocks") / str(cid))
        return cast("BinaryIO", open_record(BlockReader(self._client.base, self._client), cid, kept))

    def _fetch(self, store: EmbeddedStore, cids: Sequence[Cid]) -> None:
        body = {"cids": [str(cid) for cid in cids]}
        try:
            car_ = self._client.fetch_bytes("/v1/content/car", body)
        except MalformedError:
            if len(cids) == 1:
                raise
            middle = len(cids) // 2
            self._fetch(store, cids[:middle])
            self._fetch(store, cids[middle:])
        else:
            store.put_car(io.BytesIO(car_))


def _read(store: EmbeddedStore, cid: Cid) -> bytes:
    sink = io.BytesIO()
    store.read(cid, sink)
    return sink.getvalue()
