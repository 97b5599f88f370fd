# SPDX-License-Identifier: Apache-2.0
"""A Kubo node's HTTP interfaces, as far as ipfshttpclient does not reach: streams in constant memory, blocks, limits.

A node that is busy (429, 502, 503, 504, or a 500 that is not Kubo's own) is asked again, a few times, after as long as
it says. What is too slow, too long or unreadable is UnavailableError.
Source: https://docs.ipfs.tech/reference/kubo/rpc/, https://specs.ipfs.tech/http-gateways/trustless-gateway/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from consentum.adapters.ipfs.kubo_http import Endpoint, NodeRefused, NodeSlow, NodeUnreachable, good, objects, patiently
from consentum.adapters.ipfs.unixfs import MAX_BLOCK
from consentum.domain.cid import Cid
from consentum.errors import NotFoundError, SettingsError

BOUNDARY: Final = "consentum-part-2f1c7e0a9b"
_FORM: Final = f"multipart/form-data; boundary={BOUNDARY}"
_PART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="car"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
_LAST = f"--{BOUNDARY}--\r\n".encode()
_LOCAL_SECONDS: Final = 2.0
"""What a gateway may take for a block of its own before the RPC is asked."""
_LOCAL_ONLY: Final[Mapping[str, str]] = {"Cache-Control": "only-if-cached"}


class KuboRpc:
    """The RPC at `url` and, where the node tells of one on the same host, its gateway. timeout: seconds an answer may
    take in all. Safe to share between threads. SettingsError if `url` is none."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        port = None
        with suppress(ValueError):
            port = 5001 if parts.port is None else parts.port
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or not port:
            raise SettingsError("an IPFS node is http://HOST:PORT", field="ipfs")
        self._host = parts.hostname
        self._rpc = Endpoint(parts.scheme, parts.hostname, port, timeout)
        self._gateway: Endpoint | None = None
        self._asked_for_gateway = False
        self._timeout = timeout

    def call(self, command: str, args: Sequence[str] = (), **options: str) -> list[dict[str, Any]]:
        """The JSON objects that `command` ("block/stat") answers with. NodeRefused, UnavailableError."""
        query = urlencode([*(("arg", arg) for arg in args), *((k.replace("_", "-"), v) for k, v in options.items())])
        return patiently(lambda: objects(good(self._rpc.exchange("POST", f"/api/v0/{command}?{query}"))))

    def blocks_under(self, roots: Sequence[Cid], expected: int) -> int | None:
        """How many blocks the node has under `roots`, by its own word; None if it does not say. It reads them all, so
        it may take as long as so many take at 20 MiB/s. NodeRefused if one is missing; UnavailableError."""
        query = urlencode([*(("arg", str(root)) for root in roots), ("progress", "false"), ("offline", "true")])
        seconds = self._timeout + expected / 20

        def ask() -> list[dict[str, Any]]:
            return objects(good(self._rpc.exchange("POST", f"/api/v0/dag/stat?{query}", seconds=seconds)))

        told = patiently(ask)
        found = told[-1].get("UniqueBlocks") if told else None
        return found if isinstance(found, int) else None

    def block(self, cid: Cid) -> bytes:
        """The bytes the node has under `cid`, unverified, at most 2 MiB; it asks no other node. NotFoundError."""
        return patiently(lambda: self._block(cid))

    def upload(self, command: str, body: Iterable[bytes]) -> list[dict[str, Any]]:
        """Streams `body` (see `part`, `end`) to `command` and returns its answer. Not asked again: `body` is gone.

        If `body` fails, so does the command. NodeBusy, NodeRefused, UnavailableError.
        """
        return objects(good(self._rpc.stream(f"/api/v0/{command}", _FORM, body)))

    def close(self) -> None:
        """Lets go of the connections."""
        for endpoint in (self._rpc, self._gateway):
            if endpoint is not None:
                endpoint.close()

    def _block(self, cid: Cid) -> bytes:
        gateway = self._its_gateway()
        if gateway is not None:
            seconds = min(self._timeout, _LOCAL_SECONDS)
            try:
                answer = gateway.exchange("GET", f"/ipfs/{cid}?format=raw", _LOCAL_ONLY, MAX_BLOCK, seconds)
            except NodeUnreachable:
                self._gateway = None  # it is behind a wall, or switched off: the RPC has the blocks as well
            except NodeSlow:
                pass  # it believes that it has a block whose file is gone, and asks its peers: the RPC will not
            else:
                if answer[0] in {404, 412}:
                    raise NotFoundError(f"block {cid} is not here")
                return good(answer)
        path = f"/api/v0/block/get?arg={cid}&offline=true"
        try:
            return good(self._rpc.exchange("POST", path, limit=MAX_BLOCK))
        except NodeRefused as error:
            if "not found" in error.text:
                raise NotFoundError(f"block {cid} is not here") from None
            raise

    def _its_gateway(self) -> Endpoint | None:
        """The gateway reads half as fast again as `block/get`, but only the node knows where it is."""
        if not self._asked_for_gateway:
            with suppress(NodeRefused):
                told = self.call("config", ["Addresses.Gateway"])
                self._gateway = self._reachable(told[0].get("Value") if told else None)
            self._asked_for_gateway = True
        return self._gateway

    def _reachable(self, told: object) -> Endpoint | None:
        first = told[0] if isinstance(told, list) and told else told
        match str(first).split("/"):
            case ["", "ip4" | "ip6", host, "tcp", port] if port.isdecimal() and 0 < int(port) < 65536:
                if host in {"0.0.0.0", "::", self._host}:  # noqa: S104 - compared, not bound
                    return Endpoint("http", self._host, int(port), self._timeout)
        return None


def part(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One file of an upload."""
    yield _PART
    yield from pieces
    yield b"\r\n"


def end() -> bytes:
    """What closes an upload: a node takes one that was cut off for a failure."""
    return _LAST


def root_of(line: Mapping[str, Any]) -> str | None:
    """The root that a line of `dag/import`'s answer calls pinned; None if it does not."""
    root = line.get("Root")
    if not isinstance(root, dict) or root.get("PinErrorMsg") or not isinstance(root.get("Cid"), dict):
        return None
    return str(root["Cid"].get("/"))
