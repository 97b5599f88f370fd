# SPDX-License-Identifier: Apache-2.0
"""What a Kubo node says of itself and of its pins, by ipfshttpclient."""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from urllib.parse import urlsplit

# urllib3 warns of an argument that ipfshttpclient passes on; neither of them reads it.
warnings.filterwarnings("ignore", message=".*strict.*", category=FutureWarning, module="ipfshttpclient|urllib3")

import ipfshttpclient  # noqa: E402 - below the filter for what its calls warn of
from ipfshttpclient import exceptions  # noqa: E402

from consentum.adapters.ipfs.kubo_http import NodeBusy, NodeRefused, NodeUnreachable, patiently, retry_after  # noqa: E402
from consentum.domain.cid import Cid  # noqa: E402
from consentum.errors import UnavailableError  # noqa: E402

# It knows versions up to 0.8 by name; what is called here is tested against those that are current.
warnings.filterwarnings("ignore", category=exceptions.VersionMismatch)


class KuboPins:
    """The pins of the node whose RPC is at `url`. Calls run on `pool`, so that a node that answers without end holds up
    a thread of ours and not its caller. timeout: seconds a call may take."""

    def __init__(self, url: str, timeout: float, pool: Executor) -> None:
        self._client = ipfshttpclient.Client(_multiaddress(url), timeout=timeout)
        # A proxy of the environment has no business between us and a node; there is no public way to say so.
        self._client._client._session_props["trust_env"] = False
        self._timeout, self._pool = timeout, pool

    def version(self) -> str:
        """The node's version, checked by nobody. UnavailableError, as by all that follows."""
        return str(self._ask(self._client.version).get("Version", ""))[:40]

    def holds(self, cid: Cid) -> bool:
        """Whether `cid` is pinned as a root: what a larger pin covers is not."""
        try:
            keys = self._ask(lambda: self._client.pin.ls(str(cid), type="recursive")).get("Keys")
        except NodeRefused as error:
            if "not pinned" in error.text:
                return False
            raise
        return isinstance(keys, dict) and isinstance(pin := keys.get(str(cid)), dict) and pin.get("Type") == "recursive"

    def remove(self, cid: Cid) -> None:
        """Unpins the root `cid`; nothing if it is not pinned."""
        try:
            self._ask(lambda: self._client.pin.rm(str(cid)))
        except NodeRefused as error:
            if "not pinned" not in error.text:
                raise

    def add(self, cid: Cid) -> None:
        """Pins the root `cid`, all of which the node must have."""
        self._ask(lambda: self._client.pin.add(str(cid)))

    def covers(self, cid: Cid) -> bool:
        """Whether any pin reaches `cid`. The node walks all its pins for this."""
        try:
            self._ask(lambda: self._client.pin.ls(str(cid)))
        except NodeRefused as error:
            if "not pinned" in error.text:
                return False
            raise
        return True

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()

    def _ask(self, act: Callable[[], Any]) -> dict[str, Any]:
        def once() -> Any:
            try:
                return self._pool.submit(act).result(2 * self._timeout)
            except FutureTimeout:
                raise UnavailableError("the IPFS node does not answer in time") from None
            except exceptions.Error as error:
                raise _ours(error) from None

        answer = patiently(once)
        plain = answer.as_json() if hasattr(answer, "as_json") else answer
        if not isinstance(plain, dict):
            raise UnavailableError("the IPFS node answers with something that is not JSON")
        return plain


def _ours(error: exceptions.Error) -> UnavailableError:
    if isinstance(error, exceptions.ErrorResponse):
        return NodeRefused(str(error))
    if isinstance(error, exceptions.StatusError):
        response = getattr(error.original, "response", None)
        status = getattr(response, "status_code", 0)
        wait = retry_after(response.headers.get("Retry-After")) if response is not None else None
        if status in {429, 500, 502, 503, 504}:
            return NodeBusy(f"the IPFS node is busy (status {status})", wait)
        return UnavailableError(f"the IPFS node answers with status {status}")
    if isinstance(error, exceptions.ConnectionError):
        return NodeUnreachable("the IPFS node does not answer (nobody listens)")
    return UnavailableError(f"the IPFS node does not answer ({type(error).__name__})")


def _multiaddress(url: str) -> str:
    """'http://127.0.0.1:5001' as ipfshttpclient wants it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        family = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        family = "dns"
    return f"/{family}/{host}/tcp/{parts.port or 5001}/{parts.scheme}"
