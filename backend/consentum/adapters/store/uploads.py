# SPDX-License-Identifier: Apache-2.0
"""Uploads that can be interrupted: what arrived of a large content lies in a file, and how much of it is durable in a
table beside. Shared by all workers of a gateway: whoever writes to a file holds its lock."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)

from consentum.adapters.ipfs import unixfs
from consentum.adapters.store.engine import open_engine, reading, storage_errors, transaction
from consentum.adapters.store.files import sync_folder
from consentum.domain.cid import Cid
from consentum.errors import (
    ConflictError,
    ConsentumError,
    CorruptError,
    MalformedError,
    NotFoundError,
    Reason,
    RefusedError,
)
from consentum.ports.content import ContentStore

log = logging.getLogger("consentum.gateway")
MAX_OPEN = 8
MAX_OPEN_BYTES = 2 << 40
# After so long without a byte it is forgotten, and so is that it was completed.
STALE_SECONDS = 3 * 86_400
metadata = MetaData()
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("depositor", String(42), nullable=False),
    Column("cid", LargeBinary(36), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("touched", BigInteger, nullable=False),
    UniqueConstraint("depositor", "cid"),
)


@dataclass(frozen=True, slots=True)
class Upload:
    """size and offset in bytes; offset: how many are durable. state: open, stored (the content store has it), refused
    (it was not what its CID says)."""

    id: str
    cid: Cid
    size: int
    offset: int
    state: str


class UploadFolder:
    """Open uploads in a folder of their own; store is where whole ones go."""

    def __init__(self, folder: Path, store: ContentStore, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._store, self._clock = folder, store, clock
        self._engine = open_engine(folder / "uploads.db", metadata)
        self._storing: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        self._engine.dispose()

    def begin(self, depositor: str, cid: Cid, size: int) -> Upload:
        """The depositor's upload of this content: a new one, or the one that was begun. MalformedError for a size that
        no record has, ConflictError if it was begun with another, RefusedError(LIMIT) for too many or too much at once,
        RefusedError(STORE_UNAVAILABLE) if there is no room."""
        if not 1 <= size <= unixfs.MAX_FILE:
            raise MalformedError("a content has 1 byte to 1 TiB", field="size")
        self.sweep()
        with transaction(self._engine) as connection:
            mine = (uploads.c.depositor == depositor.lower(), uploads.c.cid == cid.raw)
            found = connection.execute(select(uploads).where(*mine)).first()
            if found is not None and found.size != size:
                raise ConflictError("this upload was begun with another size", field="size")
            if found is not None and self._is_good(found):
                return _upload(found)
            connection.execute(delete(uploads).where(*mine))
            self._require_room(connection, depositor.lower(), size)
            row: dict[str, Any] = {
                "id": secrets.token_hex(16),
                "depositor": depositor.lower(),
                "cid": cid.raw,
                "size": size,
            }
            connection.execute(insert(uploads), {**row, "offset": 0, "state": "open", "touched": self._now()})
        return Upload(row["id"], cid, size, 0, "open")

    def find(self, depositor: str, identity: str) -> Upload:
        """NotFoundError if there is none, or it is another's."""
        mine = (uploads.c.id == identity, uploads.c.depositor == depositor.lower())
        with reading(self._engine) as connection:
            row = connection.execute(select(uploads).where(*mine)).first()
        if row is None:
            raise NotFoundError("no such upload of yours", field="upload")
        return _upload(row)

    def append(self, depositor: str, identity: str, offset: int, piece: bytes) -> Upload:
        """Adds bytes at the end, durably. ConflictError, with the right offset in its words, if `offset` is not the
        end or somebody else is sending; MalformedError for more than was declared: the piece is not kept."""
        self.find(depositor, identity)
        with self._locked(identity) as file:
            upload = self.find(depositor, identity)
            if offset != upload.offset or upload.state != "open":
                raise ConflictError(f"the upload goes on at {upload.offset}", field="Upload-Offset")
            if offset + len(piece) > upload.size:
                raise MalformedError("more bytes than the upload was begun with", field="size")
            with storage_errors():
                file.truncate(offset)  # what a killed process wrote and never counted
                file.seek(offset)
                file.write(piece)
                file.flush()
                os.fdatasync(file.fileno())
            self._set(identity, offset=offset + len(piece), touched=self._now())
        return self.find(depositor, identity)

    def complete(self, depositor: str, identity: str, patience: float) -> Upload:
        """Puts a whole upload into the content store, if that is not done yet; waits for it so many seconds at most. If
        it comes back open, somebody is at it still: ask again. CorruptError if it is not what its CID says."""
        upload = self.find(depositor, identity)
        if upload.state == "open" and upload.offset == upload.size:
            with self._lock:
                thread = self._storing.get(identity)
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=self._store_whole, args=(upload,), daemon=True)
                    self._storing[identity] = thread
                    thread.start()
            thread.join(patience)
            upload = self.find(depositor, identity)
        if upload.state == "refused":
            raise CorruptError("the content is not what its CID says", field="cid")
        return upload

    def sweep(self) -> None:
        """Forgets what has gone stale, and files without an upload."""
        with transaction(self._engine) as connection:
            connection.execute(delete(uploads).where(uploads.c.touched < self._now() - STALE_SECONDS))
            known = set(connection.execute(select(uploads.c.id).where(uploads.c.state == "open")).scalars())
            for path in self._folder.glob("*.part"):
                if path.stem not in known:
                    path.unlink(missing_ok=True)

    def _is_good(self, row: Any) -> bool:
        """Whether an upload can go on, or needs nothing more. One whose file is gone begins anew."""
        if row.state == "stored":
            return self._store.has(Cid.from_bytes(row.cid))
        path = self._path(row.id)
        return row.state == "open" and (row.offset == 0 or (path.is_file() and path.stat().st_size >= row.offset))

    def _require_room(self, connection: Connection, depositor: str, size: int) -> None:
        mine = (uploads.c.depositor == depositor, uploads.c.state == "open")
        query = select(func.count(), func.coalesce(func.sum(uploads.c.size), 0)).where(*mine)
        many, total = connection.execute(query).one()
        if many >= MAX_OPEN or total + size > MAX_OPEN_BYTES:
            raise RefusedError(Reason.LIMIT, f"at most {MAX_OPEN} uploads of {MAX_OPEN_BYTES} bytes in all at a time")
        if shutil.disk_usage(self._folder).free < size:
            raise RefusedError(Reason.STORE_UNAVAILABLE, "the disk has no room for an upload of this size")

    def _store_whole(self, upload: Upload) -> None:
        try:
            with self._locked(upload.id) as file:
                state = "stored" if self._put(upload, cast("BinaryIO", file)) else "refused"
                self._set(upload.id, state=state, touched=self._now())
                self._path(upload.id).unlink(missing_ok=True)
        except ConflictError:
            return  # another worker is at it
        except ConsentumError as error:  # the next asking tries again
            log.warning("an upload is not stored yet: %s", error.code)
        except Exception as error:  # noqa: BLE001 - a thread's end must be seen; the type says enough and leaks nothing
            log.error("an upload is not stored: %s", type(error).__name__)

    def _put(self, upload: Upload, file: BinaryIO) -> bool:
        """Whether it is what its CID says. Hashed first: the store must not hold what nobody asked it to."""
        with storage_errors():
            if unixfs.cid_of(file) != upload.cid:
                return False
            file.seek(0)
            return self._store.put(file) == upload.cid

    @contextmanager
    def _locked(self, identity: str) -> Iterator[IO[bytes]]:
        """The file, for one writer. It is made if it is not there yet."""
        with storage_errors():
            path = self._path(identity)
            is_new = not path.exists()
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
            if is_new:
                sync_folder(self._folder)
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConflictError("this upload is being written to; ask where it goes on", field="upload") from None
            yield file

    def _path(self, identity: str) -> Path:
        return self._folder / f"{identity}.part"

    def _set(self, identity: str, **values: Any) -> None:
        with transaction(self._engine) as connection:
            connection.execute(update(uploads).where(uploads.c.id == identity).values(**values))

    def _now(self) -> int:
        return int(self._clock())


def _upload(row: Any) -> Upload:
    return Upload(row.id, Cid.from_bytes(row.cid), row.size, row.offset, row.state)
