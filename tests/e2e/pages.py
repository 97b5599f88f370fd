# SPDX-License-Identifier: Apache-2.0
"""Reads the pages for people and does what they say: commands in ```sh blocks are run, as they stand, each as a process
of its own; a block whose fence also names a file (```json terms.json) is written to that file first."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from tests.e2e.stack import ROOT

FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
COMMENT = re.compile(r"\s+# (?:again, until (\w+))?.*$")
PATIENCE_SECONDS = 45
LATER = 3

# What a command's answer tells that later commands name, and where in it. `init` tells the address of whose home it is.
ANSWERS = {
    "up": {
        "GATEWAY": "parts/gateway/endpoint",
        "RPC": "rpc",
        "COMMITTEE": "committee",
        "RUNNER": "parts/runner/address",
    },
    "board create": {"BOARD": "board"},
    "custodian invite": {"INVITE": "invite"},
    "patient grant": {"CONSENT": "commitment"},
    "study show": {"FORM": "forms/0"},
    "job submit": {"JOB": "id"},
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page: commands by the heading they stand under, and files by name."""

    name: str
    commands: dict[str, list[str]]
    files: dict[str, str]

    @classmethod
    def read(cls, name: str) -> Page:
        text = (ROOT / f"docs/{name}.md").read_text("utf-8")
        commands: dict[str, list[str]] = {}
        files: dict[str, str] = {}
        for block in FENCE.finditer(text):
            kind, file, content = block.groups()
            if file:
                files[file] = content
            elif kind == "sh":
                # A fence's own lines may look like headings: only those outside count.
                before = FENCE.sub("", text[: block.start()])
                commands.setdefault(HEADING.findall(before)[-1], []).extend(content.splitlines())
        return cls(name, commands, files)


@dataclass
class People:
    """Everybody with a folder of their own, and what they have told each other."""

    folder: Path
    port: int
    known: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, Any]] = field(default_factory=list)

    def follow(self, page: Page, heading: str, who: str) -> None:
        """Somebody does what a section says."""
        for name, content in page.files.items():
            path = self.folder / who / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        for line in page.commands[heading]:
            told = self.do(line, who)
            self.answers.append((line, told))
            self._learn(line, who, told)

    def do(self, line: str, who: str) -> Any:
        """One line of a page; its answer. A command that says it may succeed later, or whose line says until when it is
        given again, is given again."""
        marked = COMMENT.search(line)
        wanted = marked.group(1) if marked else None
        # Several systems may be on this machine, so the ports of the page are the one thing that is not taken.
        text = Template(COMMENT.sub("", line).replace("8545", str(self.port))).substitute(self.known)
        program, *words = shlex.split(text)
        assert program == "consentum", f"a page says something else than consentum: {line}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = self._run(words, who)
            through = done.returncode == 0 and (not wanted or f'"{wanted}"' in done.stdout)
            if through or time.monotonic() > deadline or done.returncode not in (0, LATER):
                break
            time.sleep(0.5)
        assert through, f"{who}: {line}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def _run(self, words: list[str], who: str) -> subprocess.CompletedProcess[str]:
        home = self.folder / who
        home.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "HOME": str(home), "CONSENTUM_HOME": str(home / "home")}
        environment.setdefault("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
        command = [sys.executable, "-m", "consentum.cli.main", *words, "--json"]
        # Whoever is asked whether she agrees says yes.
        return subprocess.run(
            command, cwd=home, env=environment, input="y\n", capture_output=True, text=True, check=False, timeout=180
        )

    def _learn(self, line: str, who: str, told: Any) -> None:
        words = line.split()
        if words[2:3] == ["init"]:
            self.known[who.upper()] = told["address"]
        for name, path in {**ANSWERS.get(words[1], {}), **ANSWERS.get(" ".join(words[1:3]), {})}.items():
            self.known[name] = str(found(told, path))
        if words[1:3] == ["patient", "records"]:
            self.known["RECORD"] = next(one["record"] for one in told["records"] if "pathology" in one["categories"])

    def answer(self, start: str) -> Any:
        """The last answer to a command that begins so."""
        return next(told for line, told in reversed(self.answers) if line.startswith(f"consentum {start}"))


def found(told: Any, path: str) -> Any:
    """What is at a/b/0 of an answer; None where nothing is."""
    for step in path.split("/"):
        try:
            told = told[int(step) if step.isdigit() else step]
        except (IndexError, KeyError):
            return None
    return told
