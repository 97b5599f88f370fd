# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import pytest

from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Consent
from consentum.domain.records import Record
from consentum.flow.wire import ReleaseRequest
from tests.unit.keyserver.batch import Batch
from tests.unit.keyserver.world import World, make_world


@pytest.fixture
def world() -> World:
    return make_world()


@dataclass(slots=True)
class Given:
    """A record with a consent that is granted and final, and a page that asks for it."""

    record: Record
    consent: Consent
    page: ReleaseRequest


@pytest.fixture
def given(world: World) -> Given:
    consent, record = world.grant(world.consent()), world.record()
    return Given(record, consent, world.page([record.id], [consent]))


@pytest.fixture
def batch(world: World) -> Batch:
    return Batch(world, [world.patient, WalletKey()])
