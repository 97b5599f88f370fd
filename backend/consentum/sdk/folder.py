# SPDX-License-Identifier: Apache-2.0
"""A job's folder, read once: what is signed and what is sent are these bytes, whatever happens to the folder then."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from consentum.domain.package import JobPackage
from consentum.domain.terms import Category
from consentum.errors import MalformedError
from consentum.jobs.run import read_folder


def read_package(
    folder: Path | str, entry: str, categories: Category, outputs: Mapping[str, str], on_consent_change: str
) -> JobPackage:
    """The package of a folder's Python files. MalformedError if there are none, they cannot be read, or the entry is
    not among them: here it costs a second, at the runner the releases were journalled already."""
    path = Path(folder)
    if not path.is_dir():
        raise MalformedError("there is no such folder", field="folder")
    try:
        package = read_folder(path, entry, int(categories), outputs)
    except OSError:
        raise MalformedError("a file of the folder cannot be read", field="folder") from None
    _has_entry(package)
    return replace(package, on_consent_change=on_consent_change)


def _has_entry(package: JobPackage) -> None:
    module, _, function = package.entry.partition(":")
    stem = module.replace(".", "/")
    name = next((name for name in (f"{stem}.py", f"{stem}/__init__.py") if name in package.files), None)
    if name is None:
        raise MalformedError(f"the folder has no {stem}.py", field="entry")
    try:
        tree = ast.parse(package.files[name])
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise MalformedError(f"{name}{line} is not Python", field="entry") from None
    if function not in _names(tree):
        raise MalformedError(f"{name} has no {function}", field="entry")


def _names(tree: ast.Module) -> set[str]:
    """What a module defines, imports or assigns, anywhere at all: only what is surely missing is refused."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found
