# SPDX-License-Identifier: Apache-2.0
"""What a server still does when its journal is behind its anchor, or when its operator lets it drain."""

from __future__ import annotations

import pytest

from consentum.errors import Reason, RefusedError
from consentum.flow.keyserver import deposit, notice
from consentum.flow.keyserver.server import KeyServer
from tests.unit.keyserver.batch import Batch
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World


def halt(server: KeyServer, reason: Reason) -> None:
    server.behind_anchor = reason == Reason.BEHIND_ANCHOR
    server.draining = lambda: reason == Reason.DRAINING
    server.unfetched = reason == Reason.NOTICES_UNFETCHED


@pytest.mark.parametrize("reason", [Reason.BEHIND_ANCHOR, Reason.DRAINING, Reason.NOTICES_UNFETCHED])
def test_nothing_is_released_and_nothing_journalled(world: World, given: Given, reason: Reason) -> None:
    halt(world.server, reason)
    with pytest.raises(RefusedError) as caught:
        world.ask(given.page)
    assert caught.value.reason == reason
    assert world.store.journal_size() == 0


@pytest.mark.parametrize("reason", [Reason.BEHIND_ANCHOR, Reason.DRAINING, Reason.NOTICES_UNFETCHED])
def test_a_revocation_is_taken_all_the_same(world: World, given: Given, reason: Reason) -> None:
    """Refusing one is dangerous, keeping one is harmless."""
    halt(world.server, reason)
    notice.accept(world.server, world.revocation(given.consent))
    halt(world.server, Reason.ALLOWED)
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


@pytest.mark.parametrize("reason", [Reason.BEHIND_ANCHOR, Reason.DRAINING])
def test_nothing_is_deposited(world: World, reason: Reason) -> None:
    request = Batch(world, [world.patient]).request()
    halt(world.server, reason)
    with pytest.raises(RefusedError) as caught:
        deposit.accept(world.server, request)
    assert caught.value.reason == reason
    assert world.store.deposits == set()
    halt(world.server, Reason.ALLOWED)
    deposit.accept(world.server, request)
    assert world.store.deposits == {request.deposit.recordsRoot}


def test_depositing_need_not_wait_for_missed_notices(world: World) -> None:
    """Nothing leaves by it, and an enrolment that was withdrawn is withdrawn for releases too."""
    halt(world.server, Reason.NOTICES_UNFETCHED)
    deposit.accept(world.server, Batch(world, [world.patient]).request())
