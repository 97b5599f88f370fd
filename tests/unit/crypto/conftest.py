# SPDX-License-Identifier: Apache-2.0
"""Fixtures of several tests of the envelope."""

from __future__ import annotations

import pytest

from consentum.crypto import envelope as env
from tests.unit.crypto.envelopes import FIRST, HEADER, KEY, NEXT, pattern


@pytest.fixture(scope="module")
def three() -> bytes:
    """An envelope of three full segments."""
    return env.seal(KEY, HEADER, pattern(FIRST + 2 * NEXT))
