# SPDX-License-Identifier: Apache-2.0
"""`consentum explain REQUEST`: why something was refused, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from consentum.cli.hints import HINTS
from consentum.cli.output import json_option, show
from consentum.domain.explanations import EXPLANATIONS, as_markdown, explain
from consentum.errors import MalformedError, NotFoundError, Reason

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
Found = dict[str, list[Any]]


@click.command("explain")
@click.argument("request", required=False)
@click.option("--markdown", is_flag=True, help="Print docs/reasons.md: every reason.")
@json_option
def command(request: str | None, markdown: bool, as_json: bool) -> None:
    """Say why something was refused, in words, and what can be done.

    REQUEST is a reason or error code (REVOKED), its number (11), or a file: a problem document, a receipt, a release's
    answer or a manifest.
    """
    if markdown:
        click.echo(as_markdown(), nl=False)
        return
    if request is None:
        raise click.UsageError("name a code, a number or a file")
    told = [_words(code, counts) for code, counts in _codes_of(request).items()]
    show({"reasons": told}, [line for words in told for line in _lines(words)], as_json)


def _codes_of(request: str) -> Found:
    """The codes that the request names, each with the counts that stand beside it."""
    name = request.strip().upper()
    if name.isdecimal() and int(name) in set(Reason):
        return {Reason(int(name)).name: []}
    if name in HINTS:
        return {name: []}
    path = Path(request)
    if not path.is_file():
        raise NotFoundError("no such reason, number or file", field="request")
    found: Found = {}
    for code, count in _search(_read(path), 0):
        found.setdefault(code, []).extend([] if count is None else [count])
    if not found:
        raise NotFoundError("the file names no reason", field="request")
    return found


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise MalformedError(f"the file has more than {MAX_BYTES} bytes", field="request")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError):
        raise MalformedError("the file is not JSON", field="request") from None


def _search(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every code in a document: as a `code`, a `reason`, or as the name of a count."""
    if depth > MAX_DEPTH:
        raise MalformedError("the file is nested too deeply", field="request")
    if isinstance(value, list):
        for item in value:
            yield from _search(item, depth + 1)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key in ("code", "reason") and isinstance(inner, str | int) and (name := _name(inner)):
            yield name, None
        elif key in Reason.__members__ and isinstance(inner, int | str):
            yield key, inner
        else:
            yield from _search(inner, depth + 1)


def _name(value: str | int) -> str | None:
    if isinstance(value, int):
        return Reason(value).name if value in set(Reason) else None
    return value if value in HINTS else None


def _words(code: str, counts: list[Any]) -> dict[str, Any]:
    words: dict[str, Any] = {"code": code}
    if code in Reason.__members__:
        reason, told = Reason[code], explain(Reason[code])
        words |= {"number": int(reason), "patient": told.patient, "researcher": told.researcher}
    words["remedy"] = EXPLANATIONS[Reason[code]].remedy if code in Reason.__members__ else HINTS[code]
    if counts:
        # Rounded counts are words ("<5") and cannot be added up: as they stand, then.
        plain = all(isinstance(count, int) for count in counts)
        words["records"] = sum(counts) if plain and len(counts) == 1 else counts
    return words


def _lines(words: dict[str, Any]) -> Iterator[str]:
    number = f" ({words['number']})" if "number" in words else ""
    counts = words.get("records")
    said = ", ".join(map(_plain, counts)) if isinstance(counts, list) else counts
    yield f"{words['code']}{number}" + (f": {said} records" if counts is not None else "")
    if "researcher" in words:
        yield f"  {words['researcher']}"
        yield f"  To the patient: {words['patient']}"
    yield f"  What can be done: {words['remedy']}"


def _plain(count: Any) -> str:
    """A count out of a file that anybody may have written, safe for a terminal."""
    return "".join(letter for letter in str(count)[:20] if letter.isprintable())
