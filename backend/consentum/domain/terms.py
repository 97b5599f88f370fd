# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of terms as bits: purposes and conditions after the Data Use Ontology, categories, access.

DUO (EBISPOT/DUO, CC BY 4.0) is a hierarchy; a patient who allows a purpose allows what is under it. The client
expands, so the contract only tests masks. Bits are append-only: they are in signed consents.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Purpose(IntFlag):
    """What research is for. DUO ids behind each."""

    GENERAL_RESEARCH = 1 << 0  # DUO:0000042
    HEALTH_RESEARCH = 1 << 1  # DUO:0000006
    DISEASE_RESEARCH = 1 << 2  # DUO:0000007
    POPULATION_ORIGINS = 1 << 3  # DUO:0000011
    METHODS_DEVELOPMENT = 1 << 4  # DUO:0000015, inverted: allowed instead of forbidden
    CLINICAL_CARE = 1 << 5  # DUO:0000043
    COMMERCIAL = 1 << 6  # DUO:0000046, inverted


class Condition(IntFlag):
    """What a study must promise before a patient's consent counts for it."""

    ETHICS_APPROVAL = 1 << 0  # DUO:0000021
    NON_PROFIT = 1 << 1  # DUO:0000045
    PUBLICATION = 1 << 2  # DUO:0000019
    RETURN_TO_DATABASE = 1 << 3  # DUO:0000029
    COLLABORATION = 1 << 4  # DUO:0000020
    NO_REIDENTIFICATION = 1 << 5  # beyond DUO


class Category(IntFlag):
    """Kinds of records."""

    DEMOGRAPHICS = 1 << 0
    DIAGNOSES = 1 << 1
    LABORATORY = 1 << 2
    PATHOLOGY = 1 << 3
    IMAGING = 1 << 4
    MEDICATION = 1 << 5
    GENOMICS = 1 << 6
    NOTES = 1 << 7


class Access(IntEnum):
    """What leaves: a larger number includes the smaller."""

    AGGREGATE = 1
    COMPUTE = 2
    DOWNLOAD = 3


_UNDER = {
    Purpose.GENERAL_RESEARCH: Purpose.HEALTH_RESEARCH
    | Purpose.DISEASE_RESEARCH
    | Purpose.POPULATION_ORIGINS
    | Purpose.METHODS_DEVELOPMENT,
    Purpose.HEALTH_RESEARCH: Purpose.DISEASE_RESEARCH,
}


def expand(purposes: Purpose) -> Purpose:
    """The purposes and all that DUO's hierarchy puts under them."""
    grown = purposes
    for parent, children in _UNDER.items():
        if parent in grown:
            grown |= children
    return grown


def bits_of(flag: type[IntFlag], names: list[str]) -> int:
    """The mask of names in any case; KeyError for a name that is not one."""
    mask = 0
    for name in names:
        mask |= int(flag[name.strip().upper().replace("-", "_").replace(" ", "_")])
    return mask


def words_of(flag: IntFlag) -> list[str]:
    """The names in a mask, in plain words."""
    return [(member.name or "").lower().replace("_", " ") for member in flag]
