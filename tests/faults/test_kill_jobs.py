# SPDX-License-Identifier: Apache-2.0
"""P6 for jobs: runner, gateway or a key server dies by kill -9 at every step of a job; each job ends exactly once, none
is stuck."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.peers.session import Session
from consentum.crypto import typed
from consentum.domain.package import JobPackage
from consentum.domain.terms import Category
from consentum.errors import ConsentumError
from scripts.demonstration.jobs import Wish, exact, opened, wish
from scripts.demonstration.people import ALLOWED_KINDS
from scripts.demonstration.proof import audit
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.processes
FINAL = ("released", "failed", "expired")
CODE = b"import time\ndef main(data):\n    found = len(list(data))\n    time.sleep(1)\n    return {'out': found}\n"
# What the job's requester has seen last when a process is killed; "" is right after her job was taken.
STEPS = ["", "admitted", "asking which", "asking the key servers", "running over"]  # what follows is over in no time
# Of the jobs some may be over a moment before the last step's kill.
JOBS, ENOUGH = 26, 10


@pytest.fixture
def client(stack: Stack) -> Iterator[Session]:
    """The requester's session, which outlives the gateway."""
    who = stack.people.researcher, stack.system.deployment.user_domain
    made = Session(stack.system.gateway_url, who, patience=60)
    yield made
    made.close()


def a_wish(stack: Stack) -> Wish:
    """A job that counts its records, and takes a second for it."""
    made = wish(stack.system, stack.people.researcher, None, stack.studies["diagnosis"])
    package = JobPackage({"job.py": CODE}, "job:main", int(Category.PATHOLOGY), {"out": "json"})
    job = replace(made.submission.job, code=package.digest)
    signature = stack.people.researcher.sign(typed.digest(stack.system.deployment.user_domain, job))
    return replace(made, submission=replace(made.submission, job=job, signature=signature, package=package))


def kill(stack: Stack, name: str) -> None:
    process = stack.system.processes.pop(name)
    process.kill()
    process.wait()


def start(stack: Stack, name: str) -> None:
    if name == "gateway":
        stack.system.start_gateway()
    elif name == stack.server().name:
        stack.system.start_server(stack.server())
    else:
        stack.system.serve("runner", "runner", stack.system.folder / "runner")


def wait_for(client: Session, identity: str, step: str, after: int = 0) -> int:
    """Until her job has been at that step, after so many events, or is over; how many events there are then, -1 if it
    is over."""
    seen: list[int] = []

    def there() -> bool:
        state = client.get(f"/v1/jobs/{identity}")
        stages = [f"{event['state']} {event['stage']}" for event in state["events"]]
        seen[:] = [-1 if state["state"] in FINAL else len(stages)]
        return state["state"] in FINAL or not step or any(step in one for one in stages[after:])

    assert until(there, 60), step
    return seen[0]


def end_of(client: Session, identity: str) -> dict[str, Any]:
    assert until(lambda: client.get(f"/v1/jobs/{identity}")["state"] in FINAL, 90), "it is stuck"
    state: dict[str, Any] = client.get(f"/v1/jobs/{identity}")
    return state


def assert_ended_once(stack: Stack, client: Session, made: Wish, identity: str) -> None:
    """With the right outputs under a manifest that holds, and once."""
    state = end_of(client, identity)
    assert (state["state"], state["error"]) == ("released", None)
    assert sum(event["state"] in FINAL for event in state["events"]) == 1
    count = sum(patient.kind in ALLOWED_KINDS for patient in stack.people.patients)
    assert opened(stack.system, state, made.key)["outputs"] == {"out": count}
    assert exact(stack.system, stack.people.board[0], identity)["released"] == count
    assert client.post("/v1/jobs", made.submission.to_json()) == {"id": identity, "state": "released"}


def plan(turn: int) -> list[tuple[str, str]]:
    """Who is killed at which step of this job: a key server and the runner at once, then the gateway in the job's
    second attempt."""
    first, second = (STEPS[(turn + ahead) % len(STEPS)] for ahead in (0, 2))
    return [("keyserver", first), ("runner", first), ("gateway", second)]


def enough(hit: Counter[tuple[str, str]]) -> bool:
    """Each process died ten times in the middle of a job, and at every step."""
    named = ("runner", "gateway", "keyserver")
    total = all(sum(hit[name, step] for step in STEPS) >= ENOUGH for name in named)
    return total and all(hit[name, step] for name in named for step in STEPS)


def test_jobs_end_once_though_every_process_is_killed_at_every_step(stack: Stack, client: Session) -> None:
    """All three in the middle of each job, until each was hit often enough; nobody waits until one is ready again."""
    hit: Counter[tuple[str, str]] = Counter()
    for turn in range(JOBS):
        if enough(hit):
            break
        made, events = a_wish(stack), 0
        identity = client.post("/v1/jobs", made.submission.to_json())["id"]
        for name, step in plan(turn):
            process = stack.server().name if name == "keyserver" else name
            seen = wait_for(client, identity, step, events)
            kill(stack, process)
            hit[name, step] += seen >= 0
            if name == "runner":
                events = max(events, seen)
            start(stack, process)
        assert_ended_once(stack, client, made, identity)
    assert enough(hit), hit
    stack.system.wait_ready()
    code, said = audit(stack.server())
    assert code == 0, said


def test_both_at_once_and_the_runner_first_to_be_back(stack: Stack, client: Session) -> None:
    made = a_wish(stack)
    identity = client.post("/v1/jobs", made.submission.to_json())["id"]
    wait_for(client, identity, "running over")
    kill(stack, "gateway")
    kill(stack, "runner")
    stack.system.serve("runner", "runner", stack.system.folder / "runner")
    start(stack, "gateway")
    assert_ended_once(stack, client, made, identity)


def test_a_killed_runner_leaves_no_process_and_no_code_behind(stack: Stack, client: Session) -> None:
    made = a_wish(stack)
    identity = client.post("/v1/jobs", made.submission.to_json())["id"]
    wait_for(client, identity, "running over")
    scratch = str(stack.system.folder / "runner" / "scratch")
    assert until(lambda: bool(workers(scratch)))
    kill(stack, "runner")
    assert until(lambda: not workers(scratch), 10), "its job's process outlives it"
    start(stack, "runner")
    assert_ended_once(stack, client, made, identity)
    assert until(lambda: not list(Path(scratch).iterdir()))


def test_a_cancelled_job_ends_in_the_runner_too_and_the_next_one_runs(stack: Stack, client: Session) -> None:
    made = a_wish(stack)
    identity = client.post("/v1/jobs", made.submission.to_json())["id"]
    wait_for(client, identity, "running over")
    assert client.post(f"/v1/jobs/{identity}/cancel", {})["error"]["code"] == "CANCELLED"
    following = a_wish(stack)
    begun = time.monotonic()
    assert_ended_once(stack, client, following, client.post("/v1/jobs", following.submission.to_json())["id"])
    assert time.monotonic() - begun < 60
    state = client.get(f"/v1/jobs/{identity}")
    assert (state["state"], state["sealedOutputs"]) == ("failed", None)
    with pytest.raises(ConsentumError):
        stack.session(stack.system.gateway_url, stack.people.outsider).get(f"/v1/jobs/{identity}")


def workers(scratch: str) -> list[int]:
    """Processes that run a job's code."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if scratch in arguments:
            found.append(int(path.name))
    return found


def test_what_the_gateway_keeps_of_jobs_is_sealed(stack: Stack, client: Session) -> None:
    raw = b"".join(path.read_bytes() for path in (stack.system.folder / "gateway").glob("gateway.db*"))
    address = stack.people.researcher.address[2:].lower()
    assert address.encode() not in raw
    assert b"def main(data)" not in raw
    assert json.dumps("receiptsRoot").encode() not in raw
