# SPDX-License-Identifier: Apache-2.0
"""A session that outlives its peer's restarts: signs in when it must, and asks again while nobody answers.

Only for requests that may arrive twice: reads, questions, messages that are known by their hash, and everything a
runner asks of a gateway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from consentum.adapters.peers.http import HttpClient, Unanswered
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.errors import SignatureRefused, UnavailableError

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
TIMEOUT_SECONDS = 60.0


class Session(HttpClient):
    """patience: seconds to go on asking a peer that is not there, or with `waits_for=UnavailableError` one that says it
    cannot now, too. UnavailableError after that; every other refusal at once."""

    def __init__(
        self,
        base: str,
        who: tuple[Signer, Domain],
        patience: float = 0.0,
        waits_for: type[UnavailableError] = Unanswered,
    ) -> None:
        super().__init__(base, TIMEOUT_SECONDS)
        self.pause: Callable[[float], None] = time.sleep
        self.clock: Callable[[], float] = time.monotonic
        self._waits_for = waits_for
        self._signer, self._domain = who
        self._patience = patience
        self._signing_in = threading.RLock()
        self._signed_in_at = 0.0

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        if path.startswith("/v1/logins"):
            return super()._send(method, path, **options)
        until, pause = self.clock() + self._patience, FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                self._ensure(0.0)
                try:
                    return super()._send(method, path, **options)
                except SignatureRefused as refused:
                    if refused.field != "authorization":
                        raise
                    self._ensure(begun)  # the peer was started anew, or fifteen minutes are over
                    return super()._send(method, path, **options)
            except self._waits_for:
                if self.clock() + pause > until:
                    raise
            self.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _ensure(self, since: float) -> None:
        """A session that was opened after `since`; one thread opens it for all."""
        with self._signing_in:
            if self._signed_in_at <= since:
                self.sign_in(self._signer, self._domain)
                self._signed_in_at = time.monotonic()
