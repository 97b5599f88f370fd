# SPDX-License-Identifier: Apache-2.0
"""Operators found a committee by their commands on a real chain; then a deposit at it, and a release by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from consentum.cli.main import cli
from consentum.crypto.signing import WalletKey
from consentum.errors import ConsentumError
from consentum.settings import GatewaySettings, KeyServerSettings
from consentum.wiring.spawn import service_command
from scripts.demonstration.system import System, free_port
from tests.e2e.stack import until

pytestmark = pytest.mark.processes
ETHER = hex(10**18)


@dataclass
class Operators:
    """Four operators, each with a key server; the last has not started hers."""

    system: System
    folder: Path
    servers: list[str] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    payer: WalletKey = field(default_factory=WalletKey)

    def run(self, *words: str, code: str = "") -> Any:
        """What a command prints, or, if it ends with that code, its field."""
        paid = {"CONSENTUM_DEPLOYER_KEY": self.payer.secret.hex()}
        done = CliRunner().invoke(cli, [*words, "--json"], env=paid)
        if not code:
            assert done.exit_code == 0, (words, done.output, done.exception)
            return json.loads(done.stdout)
        assert isinstance(done.exception, ConsentumError), (words, done.output)
        assert done.exception.code == code, (words, done.exception)
        return done.exception.field

    @property
    def chain(self) -> tuple[str, ...]:
        return "--rpc", self.system.rpc_url, "--deployment", str(self.system.deployment_path)

    def committee(self, threshold: int, members: list[str], code: str = "") -> Any:
        named = [word for member in members for word in ("--member", member)]
        return self.run("keyserver", "committee", *self.chain, "--threshold", str(threshold), *named, code=code)

    def init(self, noun: str, name: str, *more: str) -> str:
        """A service's folder, its account with a little gas; its endpoint."""
        port = free_port()
        told = self.run(noun, "init", *self.chain, "--port", str(port), "--folder", str(self.folder / name), *more)
        self.system.rpc.call("anvil_setBalance", told["address"], ETHER)
        if noun == "keyserver":
            self.servers.append(told["address"])
            self.endpoints.append(f"http://localhost:{port}")
        return f"http://localhost:{port}"

    def serve(self, noun: str, name: str, endpoint: str) -> None:
        self.system.services.spawn(name, service_command(noun, self.folder / name))
        assert until(lambda: ready(endpoint), 60), name

    def let_in(self, custodian: str, gateway: str) -> None:
        """Every operator writes the custodian into her settings."""
        kinds = {f"keyserver-{n}": (KeyServerSettings, self.endpoints[n]) for n in range(3)}
        for name, (kind, endpoint) in {**kinds, "gateway": (GatewaySettings, gateway)}.items():
            self.system.stop(name)
            replace(kind.load(self.folder / name), custodians=(custodian,)).save(self.folder / name)
            self.serve(name.partition("-")[0], name, endpoint)

    def sent(self) -> int:
        return int(self.system.rpc.call("eth_getTransactionCount", self.payer.address, "latest"), 16)


def ready(endpoint: str) -> bool:
    try:
        return httpx.get(f"{endpoint}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    system = System()
    try:
        system.start_chain(lambda _: None)
        made = Operators(system, tmp_path_factory.mktemp("operators"))
        for number in range(4):
            endpoint = made.init("keyserver", f"keyserver-{number}")
            if number < 3:
                made.serve("keyserver", f"keyserver-{number}", endpoint)
        yield made
    finally:
        system.close()


def test_what_is_no_committee_is_refused_and_nothing_is_sent(operators: Operators) -> None:
    one, two, three, asleep = operators.servers
    assert operators.committee(2, [one, two, asleep], code="NOT_FOUND") == "member"  # hers never announced itself
    assert operators.committee(2, [one, WalletKey().address], code="NOT_FOUND") == "member"
    assert operators.committee(2, [one, one.lower()], code="MALFORMED") == "member"
    assert operators.committee(2, [one, two[:-1]], code="MALFORMED") is not None
    for threshold in (0, 1, 4):
        assert operators.committee(threshold, [one, two, three], code="MALFORMED") == "threshold"
    assert operators.sent() == 0


def test_who_cannot_pay_founds_nothing(operators: Operators) -> None:
    assert operators.committee(2, operators.servers[:2], code="SETTINGS") == "CONSENTUM_DEPLOYER_KEY"
    assert operators.sent() == 0


def test_a_committee_is_founded_once_whatever_the_order_and_other_members_are_another(operators: Operators) -> None:
    operators.system.rpc.call("anvil_setBalance", operators.payer.address, ETHER)
    one, two, three, _ = operators.servers
    told = operators.committee(2, [one, two, three])
    assert operators.committee(2, [three, one, two]) == told
    assert operators.sent() == 1
    assert [member.lower() for member in told["members"]] == sorted(a.lower() for a in (one, two, three))
    others = {operators.committee(*wanted)["committee"] for wanted in ((3, [one, two, three]), (2, [one, two]))}
    assert len(others | {told["committee"]}) == 3


def test_a_deposit_at_it_and_a_release_by_it(operators: Operators) -> None:
    folder, servers = operators.folder, [word for one in operators.endpoints[:3] for word in ("--key-server", one)]
    gateway = operators.init("gateway", "gateway", *servers)
    where = ("--gateway", gateway, "--rpc", operators.system.rpc_url)
    ward, anna = ("--home", str(folder / "ward")), ("--home", str(folder / "anna"))
    operators.serve("gateway", "gateway", gateway)
    custodian = operators.run("custodian", "init", *where, *ward)["address"]
    assert operators.run("custodian", "invite", "4711", *ward, code="NOT_FOUND") == "custodian"  # not let in yet
    operators.let_in(custodian, gateway)

    operators.run("patient", "init", *where, *anna)
    code = operators.run("custodian", "invite", "4711", *ward)["invite"]
    operators.run("patient", "accept", code, "--yes", *anna)
    operators.run("custodian", "patients", *ward)
    (folder / "files").mkdir()
    (folder / "files" / "biopsy.json").write_text('{"benign": 1}')
    (folder / "manifest.csv").write_text("file,number,category\nbiopsy.json,4711,pathology\n")
    deposit = ("custodian", "deposit", str(folder / "files"), "--manifest", str(folder / "manifest.csv"), *ward)
    operators.run(*deposit, "--committee", "0x" + "77" * 32, code="NOT_FOUND")
    committee = operators.committee(2, operators.servers[:3])["committee"]
    assert operators.run(*deposit, "--committee", committee)["deposited"] == 1

    [record] = operators.run("patient", "records", *anna)["records"]
    operators.system.stop("keyserver-2")  # any two of three open a record
    operators.run("patient", "record", record["record"], "--out", str(folder / "mine.json"), *anna)
    assert (folder / "mine.json").read_text() == '{"benign": 1}'
    operators.system.stop("keyserver-1")
    done = CliRunner().invoke(
        cli, ["patient", "record", record["record"], "--out", str(folder / "no.json"), *anna, "--json"]
    )
    assert done.exit_code != 0, "one alone opens none"
    assert not (folder / "no.json").exists()
