# SPDX-License-Identifier: Apache-2.0
"""Names a researcher writes to the bits that are signed; an unknown one is answered with those there are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from typing import TypeVar

from consentum.domain.terms import Access, Category, Purpose, bits_of, words_of
from consentum.errors import MalformedError

F = TypeVar("F", bound=IntFlag)


def _mask(flag: type[F], names: Sequence[str] | str, field: str) -> F:
    wanted = [names] if isinstance(names, str) else list(names)
    try:
        mask = flag(bits_of(flag, wanted))
    except (KeyError, AttributeError, TypeError):
        there = ", ".join(words_of(flag(~0)))
        raise MalformedError(f"{field} are of: {there}", field=field) from None
    if not mask:
        raise MalformedError(f"name at least one of {field}", field=field)
    return mask


def categories(names: Sequence[str] | str) -> Category:
    """["pathology", …] to a mask. MalformedError for none, or one that is not."""
    return _mask(Category, names, "categories")


def purposes(names: Sequence[str] | str | None, study: int) -> Purpose:
    """The purposes named, or all of the study's, whose mask is `study`. MalformedError for one the study has not."""
    if names is None:
        return Purpose(study)
    wanted = _mask(Purpose, names, "purpose")
    if wanted & ~Purpose(study):
        raise MalformedError(f"this study is for: {', '.join(words_of(Purpose(study)))}", field="purpose")
    return wanted


def access(name: str) -> Access:
    """ "aggregate", "compute" or "download"."""
    try:
        return Access[name.upper()]
    except (KeyError, AttributeError):
        raise MalformedError("access is aggregate, compute or download", field="access") from None
