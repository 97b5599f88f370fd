# SPDX-License-Identifier: Apache-2.0
"""t of n: two of three servers are enough, one is not, whichever they are; and it is over when they are back."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.demonstration.jobs import submit
from tests.e2e.stack import Silent, Stack

pytestmark = pytest.mark.processes


def run_job(stack: Stack) -> dict[str, Any]:
    return submit(stack.system, stack.people.researcher, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]


@pytest.mark.parametrize("pair", [(1, 2), (1, 3), (2, 3)], ids=str)
def test_with_two_servers_stopped_a_job_fails_with_too_few_shares(stack: Stack, pair: tuple[int, int]) -> None:
    before = run_job(stack)
    first, second = (stack.server(number) for number in pair)
    stack.system.stop(first.name)
    one_down = run_job(stack)
    assert one_down["state"] == "released"
    assert one_down["result"]["outputs"] == before["result"]["outputs"]
    stack.system.stop(second.name)
    state = run_job(stack)
    assert (state["state"], state["error"]["code"]) == ("failed", "TOO_FEW_SHARES")
    assert all(f"server {number}:" in state["error"]["detail"] for number in pair), "it says which"
    assert not state["result"].get("outputs")
    for server in (first, second):
        stack.system.start_server(server)
    stack.system.wait_ready()
    after = run_job(stack)
    assert after["result"]["outputs"] == before["result"]["outputs"]


def test_a_server_that_hangs_is_one_that_is_down(stack: Stack) -> None:
    """SIGSTOP: it takes connections and never answers. The job goes on with the other two, and does not wait for it."""
    import signal
    import time

    before = run_job(stack)
    process = stack.system.processes[stack.server(1).name]
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    try:
        state = run_job(stack)
    finally:
        process.send_signal(signal.SIGCONT)
    assert state["state"] == "released"
    assert state["result"]["outputs"] == before["result"]["outputs"]
    assert time.monotonic() - begun < 25, "it waited for the one that hangs"
