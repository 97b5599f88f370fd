# SPDX-License-Identifier: Apache-2.0
"""What a job gave: outputs that only this home can open, and the manifest that says where they come from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentum.crypto import typed
from consentum.domain import messages
from consentum.domain.package import OUTPUT_NAME
from consentum.domain.parsing import as_bytes
from consentum.errors import CorruptError, MalformedError, Reason
from consentum.flow.client.terms import MAX_CLOCK_DISTANCE_SECONDS
from consentum.flow.client.verification import Finding, open_outputs, verify_manifest
from consentum.sdk.cohort import Shown, shown
from consentum.sdk.failures import JobFailed, JobRefused, VerificationFailed, in_words
from consentum.wiring.client import Connection

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
AUTHENTIC = frozenset({"form", "requester", "runner", "code"})


@dataclass(frozen=True)
class Manifest(Mapping[str, Any]):
    """What a paper's Methods section needs: block, cohort root, code digest, refusals by reason. A mapping."""

    data: Mapping[str, Any]
    connection: Connection | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def job(self) -> messages.Job:
        """The signed job it is about; MalformedError if there is none."""
        return typed.from_json(messages.Job, self.data.get("job"))

    def save(self, path: Path | str) -> None:
        """As JSON, for the paper's supplement."""
        Path(path).write_text(json.dumps(self.data, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path | str, connection: Connection | None = None) -> Manifest:
        """A saved one. MalformedError if the file is none."""
        source = Path(path)
        try:
            if source.stat().st_size > MAX_MANIFEST_BYTES:
                raise MalformedError("too large to be a manifest", field="manifest")
            data = json.loads(source.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            raise MalformedError("the file is not a manifest", field="manifest") from None
        if not isinstance(data, dict):
            raise MalformedError("the file is not a manifest", field="manifest")
        return cls(data, connection)

    def verify(self) -> list[Finding]:
        """Every finding, checked against the chain as it is now; VerificationFailed names the first that does not
        hold."""
        return self._holds(None)

    def is_authentic(self) -> list[Finding]:
        """As `verify`, but only for what time does not change: who signed job and manifest, and over which code."""
        return self._holds(AUTHENTIC)

    def _holds(self, checks: frozenset[str] | None) -> list[Finding]:
        if self.connection is None:
            raise MalformedError("a manifest is verified with a client: client.manifest(path).verify()", field="client")
        domain, ledger = self.connection.deployment.user_domain, self.connection.ledger
        # Clocks differ, the runner's, ours and the chain's: that alone makes no manifest one from the future.
        now = max(int(time.time()), ledger.view().latest.timestamp) + MAX_CLOCK_DISTANCE_SECONDS
        found = verify_manifest(ledger, domain, self.data, now)
        findings = [finding for finding in found if checks is None or finding.check in checks or not found[0].ok]
        broken = [finding for finding in findings if finding.ok is not True]
        if broken or not findings:
            told = f"{broken[0].check}: {broken[0].detail}" if broken else "nothing in it could be checked"
            raise VerificationFailed(told, field="manifest")
        return findings


@dataclass(frozen=True, slots=True)
class Result:
    """outputs by name; each is an attribute too (`result.metrics`) unless it has the name of something else here.
    refused: how many records, by reason; dropped: those whose consent ended while the job ran."""

    outputs: Mapping[str, Any] = field(repr=False)
    manifest: Manifest = field(repr=False)

    @classmethod
    def of(cls, connection: Connection, identity: bytes, told: Mapping[str, Any]) -> Result:
        """From the gateway's answer about a job that has ended. JobFailed, JobRefused; CorruptError if what came is
        about another job or does not open, VerificationFailed if it is not signed by the job's runner."""
        data = told.get("manifest") or {}
        manifest = Manifest(data if isinstance(data, dict) else {}, connection)
        if manifest.data and typed.struct_hash(manifest.job) != identity:
            raise CorruptError("the manifest is of another job", field="manifest")
        if manifest.data and manifest.get("released") == 0:
            raise JobRefused(_counts(manifest, "refused"))
        if told.get("state") != "released":
            raise _failure(told)
        if not manifest.data:
            raise CorruptError("a released job has a manifest", field="manifest")
        # The gateway could seal outputs of its own to this home, but not sign for them as the runner.
        manifest.is_authentic()
        sealed = as_bytes(told.get("sealedOutputs"), "sealedOutputs")
        return cls(_outputs(open_outputs(manifest, sealed, connection.keys.sealing)), manifest)

    @property
    def released(self) -> Shown:
        """How many records the job saw, rounded."""
        return shown(self.manifest.get("released"), "released")

    @property
    def refused(self) -> Mapping[str, Shown]:
        return _counts(self.manifest, "refused")

    @property
    def dropped(self) -> Shown:
        return shown(self.manifest.get("dropped", 0), "dropped")

    def verify(self) -> list[Finding]:
        """As `Manifest.verify`."""
        return self.manifest.verify()

    def save(self, folder: Path | str) -> list[Path]:
        """outputs/NAME.json for each output, and manifest.json; the paths. What is there under these names is
        replaced."""
        place = Path(folder)
        (place / "outputs").mkdir(parents=True, exist_ok=True)
        paths = []
        for name, value in self.outputs.items():
            paths.append(place / "outputs" / f"{name}.json")
            paths[-1].write_text(json.dumps(value, indent=2) + "\n", "utf-8")
        paths.append(place / "manifest.json")
        self.manifest.save(paths[-1])
        return paths

    def __getattr__(self, name: str) -> Any:
        # Only called for what is no attribute; outputs itself is missing while an instance is being made or copied.
        if name.startswith("_") or name == "outputs" or name not in self.outputs:
            raise AttributeError(f"the job declared no output {name!r}")
        return self.outputs[name]

    def __str__(self) -> str:
        kept = ", ".join(self.outputs)
        return f"outputs: {kept}; {self.released} records; refused: {in_words(self.refused) or 'none'}"


def _counts(manifest: Manifest, name: str) -> dict[str, Shown]:
    counts = manifest.get(name, {})
    if not isinstance(counts, dict) or not set(counts) <= set(Reason.__members__):
        raise CorruptError("counts are by reason", field=name)
    return {str(reason): shown(count, name) for reason, count in counts.items()}


def _outputs(plain: bytes) -> Mapping[str, Any]:
    try:
        outputs = json.loads(plain)
    except (ValueError, RecursionError):
        outputs = None
    # Their names become names of files: what could be no declared output is none.
    if not isinstance(outputs, dict) or any(OUTPUT_NAME.fullmatch(name) is None for name in outputs):
        raise CorruptError("the outputs are no JSON object of declared names", field="sealedOutputs")
    return outputs


def _failure(told: Mapping[str, Any]) -> JobFailed | JobRefused:
    error = told.get("error")
    error = error if isinstance(error, dict) else {}
    code, detail = str(error.get("code") or told.get("state") or "").upper()[:64], str(error.get("detail") or "")[:500]
    if told.get("state") == "expired":
        code = "EXPIRED"
    if code in {Reason.TOO_FEW_SHARES.name, "NOTHING_RELEASED"}:
        return JobRefused({}, detail)
    return JobFailed(code, detail)
