# SPDX-License-Identifier: Apache-2.0
"""Data dictionaries at the gateway: custodians of the settings publish, everybody reads."""

from __future__ import annotations

from collections.abc import Iterable

from consentum.crypto.typed import address_bytes
from consentum.domain.dictionary import DataDictionary
from consentum.domain.terms import Category, bits_of
from consentum.errors import MalformedError, NotFoundError
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from consentum.ports.dictionaries import Published

MAX_CATEGORIES = 1 << 63


def publish(gateway: Gateway, custodians: Iterable[str], published: Published, who: str) -> dict[str, object]:
    """Keeps it. NotFoundError if this gateway does not work for the custodian or `who` may not deposit for it: one
    answer for both. ConflictError as in the port."""
    known = {address.lower() for address in custodians}
    block = gateway.ledger.view().latest
    # Asked in both cases, so that the time of the answer tells nothing either.
    may = gateway.ledger.may_act(block, published.custodian, Roles.DEPOSIT, who)
    if published.custodian not in known or not may:
        raise NotFoundError("no such custodian", field="custodian")
    gateway.dictionaries.put(published)
    told = {"custodian": published.custodian, "category": int(published.category)}
    return {**told, "version": published.dictionary.version}


def parse(custodian: str, category: str, data: object) -> Published:
    """A request's path and body. category: one name, as in `Category`."""
    try:
        bit = Category(bits_of(Category, [category[:64]]))
    except KeyError:
        raise MalformedError("no such category", field="category") from None
    return Published("0x" + address_bytes(custodian).hex(), bit, DataDictionary.parse(data))


def listed(gateway: Gateway, categories: int) -> dict[str, object]:
    """Every dictionary of these categories."""
    if not 0 < categories < MAX_CATEGORIES:
        raise MalformedError("name at least one category", field="categories")
    return {"dictionaries": [published.to_json() for published in gateway.dictionaries.of(categories)]}
