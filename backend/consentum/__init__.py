# SPDX-License-Identifier: Apache-2.0
"""Patients decide, on a ledger nobody owns, who may learn from their health records. `Client` is the researcher's way
in; it is loaded when it is asked for, so that importing the package stays fast (PEP 562)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consentum.sdk.client import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("consentum.sdk.client"), name)
