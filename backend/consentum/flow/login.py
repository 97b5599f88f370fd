# SPDX-License-Identifier: Apache-2.0
"""Sign-in by the Login struct: a challenge of this service, signed for its origin, becomes a short session.

The digest is computed by the client like any other, so a login can never be a signature over something else.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consentum.crypto import typed
from consentum.crypto.typed import Domain
from consentum.domain.messages import Login
from consentum.domain.parsing import as_object, as_signature, hexed
from consentum.errors import MalformedError, SignatureRefused
from consentum.ports.chain import Claim, Ledger, Roles

CHALLENGE_SECONDS = 300
SESSION_SECONDS = 900


class Once:
    """Challenges that were used, in the memory of one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._used, self._lock = clock, dict[bytes, float](), threading.Lock()

    def __call__(self, challenge: bytes) -> bool:
        """True the first time."""
        now = self._clock()
        with self._lock:
            while self._used and next(iter(self._used.values())) <= now:
                del self._used[next(iter(self._used))]  # the oldest: all are kept for as long
            first = challenge not in self._used
            self._used.setdefault(challenge, now + 2 * CHALLENGE_SECONDS)
        return first


@dataclass(slots=True)
class LoginDesk:
    """Challenges and sessions are signed with a key of this service, so that nothing is kept for them and all its
    workers take them. key: 32 bytes, by default this process's own; spend: says whether a challenge is used for the
    first time, by default among this process's."""

    ledger: Ledger
    domain: Domain
    origin: str
    clock: Callable[[], float]
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    spend: Callable[[bytes], bool] | None = None

    def __post_init__(self) -> None:
        self.spend = self.spend or Once(self.clock)

    def challenge(self) -> dict[str, Any]:
        """A fresh challenge; it can be used once, within five minutes."""
        expires = int(self.clock()) + CHALLENGE_SECONDS
        plain = expires.to_bytes(6, "big") + secrets.token_bytes(10)
        return {"challenge": hexed(plain + self._mac(b"challenge", plain)), "origin": self.origin, "expires": expires}

    def open(self, data: object) -> dict[str, Any]:
        """A session for {login, signature}. SignatureRefused for another origin, a used or old challenge, or a
        signature that is not by `who` (or her `assertion` delegate)."""
        body = as_object(data, "request", "login", "signature")
        login = typed.from_json(Login, body["login"])
        signature = as_signature(body["signature"], "signature")
        if login.origin != self.origin:
            raise SignatureRefused("the login is for another origin", field="origin")
        now = self.clock()
        if not now < login.expires <= now + CHALLENGE_SECONDS:
            raise SignatureRefused("the login has expired or lasts too long", field="expires")
        self._spend(login.challenge, now)
        claim = Claim(login.who, Roles.ASSERTION, typed.digest(self.domain, login), signature)
        if not self.ledger.signed_by(self.ledger.view().latest, [claim])[0]:
            raise SignatureRefused("the login is not signed by who it names", field="signature")
        expires = int(now) + SESSION_SECONDS
        plain = typed.address_bytes(login.who) + expires.to_bytes(6, "big") + secrets.token_bytes(6)
        token = base64.urlsafe_b64encode(plain + self._mac(b"session", plain)).decode()
        return {"token": token, "expires": expires}

    def who(self, token: str) -> str:
        """The address of a session, lower-case. SignatureRefused if there is none."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        plain, mac = raw[:32], raw[32:]
        genuine = len(raw) == 48 and hmac.compare_digest(mac, self._mac(b"session", plain))
        if not genuine or int.from_bytes(plain[20:26], "big") <= self.clock():
            raise SignatureRefused("sign in first", field="authorization")
        return hexed(plain[:20])

    def _spend(self, challenge: bytes, now: float) -> None:
        """Ours, not too old, and not used before."""
        plain, mac = challenge[:16], challenge[16:]
        genuine = hmac.compare_digest(mac, self._mac(b"challenge", plain))
        if not genuine or int.from_bytes(plain[:6], "big") < now or not (self.spend and self.spend(challenge)):
            raise SignatureRefused("the challenge is not open", field="challenge")

    def _mac(self, what: bytes, plain: bytes) -> bytes:
        """16 bytes, over the origin too."""
        return hmac.digest(self.key, what + b"\0" + self.origin.encode() + b"\0" + plain, "sha256")[:16]


def bearer(header: str | None) -> str:
    """The token of an Authorization header."""
    if header is None:
        raise SignatureRefused("sign in first", field="authorization")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > 128:
        raise MalformedError("not a bearer token", field="authorization")
    return token
