# SPDX-License-Identifier: Apache-2.0
"""Sign-in by the Login struct: a challenge of this service, signed for its origin, becomes a short session.

The digest is computed by the client like any other, so a login can never be a signature over something else.
"""

from __future__ import annotations

import hashlib
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
MAX_OPEN_CHALLENGES = 10_000


@dataclass(slots=True)
class LoginDesk:
    """Challenges and sessions of one process, in memory: a restart only means signing in again."""

    ledger: Ledger
    domain: Domain
    origin: str
    clock: Callable[[], float]
    _challenges: dict[bytes, float] = field(default_factory=dict)
    _sessions: dict[bytes, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def challenge(self) -> dict[str, Any]:
        """A fresh challenge; it can be used once, within five minutes."""
        challenge, now = secrets.token_bytes(32), self.clock()
        with self._lock:
            self._challenges = {c: t for c, t in self._challenges.items() if t > now}
            while len(self._challenges) >= MAX_OPEN_CHALLENGES:
                self._challenges.pop(next(iter(self._challenges)))
            self._challenges[challenge] = now + CHALLENGE_SECONDS
        return {"challenge": hexed(challenge), "origin": self.origin, "expires": int(now) + CHALLENGE_SECONDS}

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
        with self._lock:
            if self._challenges.pop(login.challenge, 0) < now:
                raise SignatureRefused("the challenge is not open", field="challenge")
        claim = Claim(login.who, Roles.ASSERTION, typed.digest(self.domain, login), signature)
        if not self.ledger.signed_by(self.ledger.view().latest, [claim])[0]:
            raise SignatureRefused("the login is not signed by who it names", field="signature")
        token, expires = secrets.token_urlsafe(32), now + SESSION_SECONDS
        with self._lock:
            self._sessions = {t: s for t, s in self._sessions.items() if s[1] > now}
            self._sessions[_hash(token)] = (login.who.lower(), expires)
        return {"token": token, "expires": int(expires)}

    def who(self, token: str) -> str:
        """The address of a session, lower-case. SignatureRefused if there is none."""
        with self._lock:
            session = self._sessions.get(_hash(token))
        if session is None or session[1] <= self.clock():
            raise SignatureRefused("sign in first", field="authorization")
        return session[0]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def bearer(header: str | None) -> str:
    """The token of an Authorization header."""
    if header is None:
        raise SignatureRefused("sign in first", field="authorization")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > 128:
        raise MalformedError("not a bearer token", field="authorization")
    return token
