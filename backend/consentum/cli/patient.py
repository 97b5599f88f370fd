# SPDX-License-Identifier: Apache-2.0
"""`consentum patient`: accept an invite, see what is known and who used it. Deciding is in patient_consents.py."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli import patient_consents, patient_helpers
from consentum.cli.custodian import ID, moment
from consentum.cli.output import home_option, json_option, progress, show


@click.group("patient")
def group() -> None:
    """Decide who may learn from your health records, and see who did."""


@group.command("init")
@click.option("--gateway", required=True, help="URL of the gateway.")
@click.option("--rpc", required=True, help="URL of a chain node.")
@click.option("--identity", default=None, help="Whom you act for, if this home is a delegate's or guardian's.")
@home_option
@json_option
def init(gateway: str, rpc: str, identity: str | None, home: Path, as_json: bool) -> None:
    """Create your keys; prints your address, under which your records will be known."""
    from consentum.wiring.patient import create_patient  # noqa: PLC0415 - slow to load; help is not

    address = create_patient(home, gateway, rpc, identity)
    show({"address": address, "identity": (identity or address).lower()}, [address], as_json)


@group.command("accept")
@click.argument("code")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
def accept(code: str, yes: bool, home: Path, as_json: bool) -> None:
    """Let the custodian who gave you this code deposit records about you."""
    from consentum.sdk import enrolling  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    opened = open_patient(home)
    invite = enrolling.check(opened, code)
    click.echo(f"custodian  {invite.custodian}", err=True)
    click.echo(f"gateway    {invite.gateway}", err=True)
    click.echo("It may deposit records about you, encrypted. Nobody may use them until you consent.", err=True)
    if not yes:
        click.confirm("Do you know who gave you this code, and do you agree?", abort=True, err=True)
    done = enrolling.accept(opened, invite)
    data = {"enrolment": "0x" + done.enrolment.hex(), "custodian": done.custodian, "recognised": done.recognised}
    show(data, [f"accepted; your custodian recognises you when it next looks ({data['enrolment']})"], as_json)


@group.command("uses")
@home_option
@json_option
def uses(home: Path, as_json: bool) -> None:
    """Who asked for your records: every key server's entries, each proved against the chain."""
    from consentum.sdk import looking  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    found = looking.uses(open_patient(home))
    lines = []
    for one in found:
        lines.append(f"{one.server}: {one.failure or f'{len(one.uses)} entries'}")
        for use in one.uses:
            entry = use.entry
            what = f"{moment(int(entry.decided_at))}  {_reason(entry.reason):<22} record {entry.record[:10]}…"
            lines.append(f"  {what} for {entry.requester} in study {entry.study[:10]}…  {use.state}")
    failed = [one for one in found if one.failure]
    lines += [f"{len(failed)} of {len(found)} key servers are not in this list: see above"] if failed else []
    show({"servers": looking.uses_json(found)}, lines, as_json)


def _reason(number: int) -> str:
    """The reason's name; what a server made up is no reason."""
    from consentum.errors import Reason  # noqa: PLC0415 - as above

    return next((reason.name for reason in Reason if reason == number), "unknown")


@group.command("records")
@home_option
@json_option
def records(home: Path, as_json: bool) -> None:
    """Your records: who deposited them, when, and what they hold."""
    from consentum.sdk import looking  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    found = [one.to_json() for one in looking.records(open_patient(home))]
    lines = [
        f"{one['record']}  {moment(one['deposited'])}  {', '.join(one['categories'])}  by {one['custodian']}"
        for one in found
    ]
    show({"records": found}, lines or ["no records yet"], as_json)


@group.command("record")
@click.argument("record", type=ID)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write it; new.")
@home_option
@json_option
def record(record: bytes, out: Path, home: Path, as_json: bool) -> None:
    """Read one of your own records, opened with your own key; needs no consent and no study."""
    from consentum.sdk import looking  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    with looking.record(open_patient(home), record) as found, progress("reading", found.size, in_bytes=True) as advance:
        looking.save(out, found, advance)
    header = found.header
    data = {"name": header.name, "type": header.content_type, "bytes": found.size, "out": str(out)}
    show(data, [f"{header.name} ({header.content_type}), {found.size} bytes: {out}"], as_json)


@group.command("export")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new ZIP file.")
@home_option
@json_option
def export(out: Path, home: Path, as_json: bool) -> None:
    """Everything of yours in one file: consents, enrolments, uses with proofs, records in the clear."""
    from consentum.sdk import looking  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    done = looking.export(open_patient(home), out)
    lines = [f"{done['records']} records: {out}", "it holds your records in the clear: keep it safe"]
    show({**done, "out": str(out)}, [*lines, *(f"missing: {k} {v}" for k, v in done["missing"].items())], as_json)


for command in (*patient_consents.COMMANDS, *patient_helpers.COMMANDS):
    group.add_command(command)
