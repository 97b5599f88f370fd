# SPDX-License-Identifier: Apache-2.0
"""What a command loads before it does anything: help must not wait for what only the work needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"eth_account", "eth_utils", "fastapi", "httpx", "numpy", "pandas", "rich", "sqlalchemy", "uvicorn", "web3"}


def loaded_by(*modules: str) -> set[str]:
    """The packages in a fresh interpreter that imported these modules."""
    program = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("consentum.cli.main") & HEAVY


def test_no_part_but_deploying_loads_web3_or_its_accounts() -> None:
    parts = ("custodian", "founding", "gateway", "health", "keyserver_care", "patient")
    assert not loaded_by(*(f"consentum.wiring.{part}" for part in parts)) & {"eth_account", "web3", "pandas", "numpy"}


def test_whoever_keeps_no_book_loads_no_database() -> None:
    assert "sqlalchemy" not in loaded_by("consentum.sdk.client", "consentum.wiring.client", "consentum.wiring.runner")
