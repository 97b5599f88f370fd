# SPDX-License-Identifier: Apache-2.0
"""Counts as requesters see them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from consentum.domain.disclosure import shown, shown_all


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_small_cell_is_hidden(count: int) -> None:
    assert shown(count) == "<5"


@pytest.mark.parametrize(("count", "seen"), [(0, 0), (5, 5), (7, 5), (8, 10), (12, 10), (13, 15), (569, 570)])
def test_a_count_is_rounded_to_five(count: int, seen: int) -> None:
    assert shown(count) == seen


def test_one_patient_more_or_less_is_not_seen_but_at_the_edge_of_a_step() -> None:
    seen = [shown(count) for count in range(5, 1_000)]
    changes = sum(one != other for one, other in pairwise(seen))
    assert changes == len(set(seen)) - 1 < len(seen) / 4


def test_a_table_shows_every_cell_by_the_same_rule_and_no_empty_one() -> None:
    assert shown_all({"REVOKED": 3, "ALLOWED": 12, "FORM": 0}) == {"ALLOWED": 10, "REVOKED": "<5"}
