# SPDX-License-Identifier: Apache-2.0
"""Who takes part: patients with real rows and own keys, three custodians, a board, a researcher, an outsider."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak
from sklearn.datasets import load_breast_cancer

from consentum.crypto.envelope import Header
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.domain.terms import Access, Category, Purpose
from consentum.flow.client.deposit import Document
from consentum.flow.client.terms import Choice, Signed

YEAR_SECONDS = 365 * 86_400
SOON_SECONDS = 4

FORM_STUDY = (
    "Breast diagnosis study, version 1. We compute, inside an accredited runner, how tumours' measured shapes tell "
    "benign from malignant. Results are published; your record is not."
)
FORM_BOARD = (
    "Broad consent, version 3. I trust the Northern Ethics Board to choose the studies that may compute on my "
    "pathology records."
)
FORM_REGISTRY = (
    "Follow-up registry, version 1. The registry's researcher may download my pathology record to check it by hand."
)
FORM_UNAPPROVED = "Breast diagnosis study, a draft that the board never saw."


def form_hash(text: str) -> bytes:
    return keccak(text.encode())


@dataclass(slots=True)
class Patient:
    """One patient: her row of the data set, her key, the kind of consent she gives."""

    number: int
    name: str
    key: Signer
    row: dict[str, Any]
    kind: str
    custodian: int
    enrolment: Signed | None = None
    consent: Signed | None = None
    record: bytes = b""

    @property
    def address(self) -> str:
        return self.key.address.lower()

    def given(self) -> Signed:
        assert self.consent is not None
        return self.consent


@dataclass(slots=True)
class Cast:
    """Everybody."""

    patients: list[Patient]
    custodians: list[WalletKey] = field(default_factory=lambda: [WalletKey() for _ in range(3)])
    board: list[WalletKey] = field(default_factory=lambda: sorted((WalletKey() for _ in range(3)), key=_by_address))
    researcher: WalletKey = field(default_factory=WalletKey)
    outsider: WalletKey = field(default_factory=WalletKey)
    canary: str = field(default_factory=lambda: "canary-" + secrets.token_hex(16))

    @property
    def anna(self) -> Patient:
        return self.patients[0]

    def documents(self, custodian: int) -> list[Document]:
        """What one custodian holds in the clear; Anna's record carries the canary."""
        documents = []
        for patient in self.patients:
            if patient.custodian == custodian:
                row = dict(patient.row)
                content = json.dumps(row).encode()
                name = f"{self.canary}.json" if patient is self.anna else f"sample-{row['sample']}.json"
                header = Header(name, "application/json")
                documents.append(Document(patient.address, int(Category.PATHOLOGY), header, content))
        return documents


def _by_address(key: WalletKey) -> str:
    return key.address.lower()


SPECIAL = {0: "study", 1: "board", 2: "purpose", 3: "expired", 4: "form", 5: "registry", 6: "category"}


def kind_of(number: int) -> str:
    """Which consent the n-th patient gives: most to the study, some broadly, some with terms that refuse this job."""
    if number in SPECIAL:
        return SPECIAL[number]
    for divisor, rest, kind in ((6, 5, "purpose"), (30, 13, "registry"), (40, 23, "expired"), (60, 48, "form")):
        if number % divisor == rest:
            return kind
    if number % 50 == 27:
        return "category"
    return "board" if number % 10 == 1 else "study"


ALLOWED_KINDS = ("study", "board")


def cast(count: int) -> Cast:
    """`count` real patients of the Wisconsin data, spread over the whole set; every second one with a passkey."""
    data = load_breast_cancer()
    patients = []
    for number, sample in enumerate(_samples(list(data.target), count)):
        measured = {name: float(value) for name, value in zip(data.feature_names, data.data[sample], strict=True)}
        row = {"sample": sample, "benign": int(data.target[sample]), **measured}
        key: Signer = SoftPasskey("localhost") if number % 2 == 0 else WalletKey()
        name = "Anna" if number == 0 else f"patient {number + 1}"
        patients.append(Patient(number, name, key, row, kind_of(number), number % 3))
    return Cast(patients)


def _samples(targets: list[int], count: int) -> list[int]:
    """All rows in order; of fewer, as many of each diagnosis, two and two."""
    if count == len(targets):
        return list(range(count))
    pools = [[i for i, target in enumerate(targets) if target == wanted] for wanted in (0, 1)]
    chosen = []
    for number in range(count):
        pool = pools[number // 2 % 2] or pools[1 - number // 2 % 2]
        chosen.append(pool.pop(0))
    return chosen


def choice_of(patient: Patient, studies: dict[str, bytes], now: int) -> Choice:
    """The terms behind a kind."""
    kind = patient.kind
    to_registry = kind == "registry" or (patient.number in SPECIAL and kind in ("expired", "form"))
    scope = studies["registry"] if to_registry else studies["board"] if kind == "board" else studies["diagnosis"]
    form = FORM_REGISTRY if to_registry else FORM_BOARD if kind == "board" else FORM_STUDY
    return Choice(
        scope=scope,
        form=form_hash(FORM_UNAPPROVED if kind == "form" else form),
        purposes=Purpose.METHODS_DEVELOPMENT if kind == "purpose" else Purpose.HEALTH_RESEARCH,
        categories=Category.IMAGING if kind == "category" else Category.PATHOLOGY,
        access=Access.DOWNLOAD if to_registry else Access.COMPUTE,
        expires=now + (SOON_SECONDS if kind == "expired" else YEAR_SECONDS),
    )
