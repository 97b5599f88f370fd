# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys: the same key and body get the answer they got before; the same key with another body is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header

from consentum.errors import IdempotencyError, MalformedError
from consentum.ports.shared import Shared

KEPT_SECONDS = 86_400
MAX_KEY = 64
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]


def once(shared: Shared, key: str | None, where: tuple[str, Any], act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """act's answer, or the one given before. where: the route and the body. What act raises is not kept: nothing was
    done. Two at once may both act; every act here can be repeated, and both get one answer.

    Not for revocations: an answer from memory would say which servers hold one, and tell none that missed it."""
    if key is None:
        return act()
    check(key)
    route, body = where
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    name = hashlib.sha256(f"{route}\n{key}".encode()).digest()
    kept = shared.kept("answer", name)
    if kept is None:
        kept = shared.keep("answer", name, {"body": digest, "answer": act()}, KEPT_SECONDS)
    if kept["body"] != digest:
        raise IdempotencyError("this key was used for another request", field="Idempotency-Key")
    answer: dict[str, Any] = kept["answer"]
    return answer


def check(key: str | None) -> None:
    """MalformedError for what is no key."""
    if key is not None and not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise MalformedError(f"a key is 1 to {MAX_KEY} printable characters", field="Idempotency-Key")
