# SPDX-License-Identifier: Apache-2.0
"""`consentum custodian`: invite patients, deposit their records, take records back, name staff."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consentum.cli import dictionary
from consentum.cli.output import LATER, REFUSED, home_option, json_option, progress, show
from consentum.domain.parsing import as_id
from consentum.errors import MalformedError, ManifestError

if TYPE_CHECKING:
    from consentum.flow.client.filing import Report

COMMITTEE_HELP = "Id (0x) of the committee of key servers that gets the keys' shares."


class Id(click.ParamType[bytes]):
    """32 bytes as 0x text."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value

        try:
            return as_id(value)
        except MalformedError:
            self.fail("not 32 bytes as 0x text", param, ctx)


ID = Id()
committee_option = click.option("--committee", type=ID, required=True, help=COMMITTEE_HELP)


def moment(seconds: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@click.group("custodian")
def group() -> None:
    """Hold records: invite patients, deposit what you have of them, take back what was wrong."""


group.add_command(dictionary.group)


@group.command("init")
@click.option("--gateway", required=True, help="URL of the gateway.")
@click.option("--rpc", required=True, help="URL of a chain node.")
@click.option("--identity", default=None, help="The custodian's address, if this home is a member of staff's.")
@home_option
@json_option
def init(gateway: str, rpc: str, identity: str | None, home: Path, as_json: bool) -> None:
    """Create keys and settings; prints the key's address, which the gateway's operator lists as a custodian."""
    from consentum.wiring.client import create_home  # noqa: PLC0415 - slow to load; help is not

    address = create_home(home, gateway, rpc, identity)
    show({"address": address, "identity": (identity or address).lower()}, [address], as_json)


@group.command("invite")
@click.argument("number")
@click.option("--valid-days", type=int, default=14, show_default=True, help="How long the code can be used.")
@click.option("--qr", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Also write it as SVG here.")
@home_option
@json_option
def invite(number: str, valid_days: int, qr: Path | None, home: Path, as_json: bool) -> None:
    """Make a one-time code for the patient with this hospital number; the number stays here."""
    import segno  # noqa: PLC0415 - only here

    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    made = custodian.invite(open_custodian(home), number, valid_days)
    text = made.to_text()
    code = segno.make(text, error="m", micro=False)
    if qr is not None:
        code.save(str(qr), kind="svg", scale=4)
    show({"invite": text, "expires": made.expires}, [text, f"valid until {moment(made.expires)}"], as_json)
    if not as_json:
        code.terminal(compact=True)


@group.command("patients")
@home_option
@json_option
def patients(home: Path, as_json: bool) -> None:
    """Fetch who accepted an invite, and show every invite: open, accepted, expired or replaced."""
    from consentum.flow.client.custody import standing_of  # noqa: PLC0415 - as above
    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    opened = open_custodian(home)
    taken = custodian.take_in(opened)
    now = opened.connection.ledger.view().latest.timestamp
    known = {patient.number: patient.subject for patient in opened.book.patients()}
    rows = [
        {
            "number": one.number,
            "state": standing_of(one, now),
            "expires": one.invite.expires,
            "subject": known.get(one.number) if one.state == "used" else None,
        }
        for one in opened.book.invites()
    ]
    turned = [{"number": one.number, "subject": one.subject, "code": one.code} for one in taken.turned]
    data = {"patients": rows, "accepted": taken.linked, "refused": turned, "strangers": taken.strangers}
    lines = [f"{r['number']:<20} {r['state']:<9} {r['subject'] or moment(int(str(r['expires'])))}" for r in rows]
    lines += [f"{taken.linked} new; {taken.strangers} enrolled without an invite of this home, which changes nothing"]
    lines += [f"refused: {one['number']} {one['code']}, subject {one['subject']}" for one in turned]
    show(data, lines, as_json)


@group.command("deposit")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="CSV with columns file, number, category and, if you like, type.",
)
@committee_option
@home_option
@json_option
def deposit(folder: Path, manifest: Path, committee: bytes, home: Path, as_json: bool) -> None:
    """Encrypt and deposit a folder's files; run it again after an interruption and it goes on."""
    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    opened = open_custodian(home)
    try:
        entries = custodian.check(opened, folder, manifest)
    except ManifestError as error:
        problems = [{"line": line, "code": code, "detail": detail} for line, code, detail in error.problems]
        lines = [f"line {line}: {code}: {detail}" for line, code, detail in error.problems]
        show({"code": error.code, "problems": problems}, ["MANIFEST: nothing was sent", *lines], as_json)
        raise SystemExit(REFUSED) from None
    with progress("depositing", sum(entry.size for entry in entries), in_bytes=True) as advance:
        report = custodian.deposit(opened, committee, entries, advance)
    _show_report(report, as_json)


def _show_report(report: Report, as_json: bool) -> None:
    data = {
        "deposited": report.deposited,
        "already": report.already,
        "pending": report.pending,
        "refused": report.refused,
        "left": report.left,
        "stopped": report.stopped,
    }
    lines = [f"deposited      {report.deposited}", f"already there  {report.already}"]
    lines += [f"pending        {report.pending}   not yet acknowledged by every server"] if report.pending else []
    lines += [f"refused        {many}   {code}" for code, many in sorted(report.refused.items())]
    lines += [f"not tried      {report.left}   stopped by {report.stopped}"] if report.left else []
    lines += [] if report.complete else ["run the same command again: it goes on, and deposits nothing twice"]
    show(data, lines, as_json)
    if not report.complete:
        raise SystemExit(REFUSED if report.refused else LATER)


@group.command("records")
@home_option
@json_option
def records(home: Path, as_json: bool) -> None:
    """List what this home deposited: record id, state, file and number; nobody else is asked."""
    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    rows = custodian.records(open_custodian(home))
    lines = [f"{r['record']}  {r['state']:<10}  {r['file']}  {r['number']}  {r['reason']}".rstrip() for r in rows]
    show({"records": rows}, lines or ["nothing deposited yet"], as_json)


@group.command("retract")
@click.argument("record", type=ID, required=False)
@click.option("--file", "name", default=None, help="Instead of the record: its file's name in the manifest.")
@home_option
@json_option
def retract(record: bytes | None, name: str | None, home: Path, as_json: bool) -> None:
    """Take back a record that was wrong; every key server destroys its share."""
    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    if (record is None) == (name is None):
        raise click.UsageError("name the record or its file")
    opened = open_custodian(home)
    _show_retraction(custodian.retract(opened, custodian.find_deposited(opened, record=record, path=name)), as_json)


@group.command("supersede")
@click.argument("record")
@click.argument("new_file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@committee_option
@home_option
@json_option
def supersede(record: str, new_file: Path, committee: bytes, home: Path, as_json: bool) -> None:
    """Deposit a new file in the place of a record, then take that record back. RECORD: its id, or its file's name in
    the manifest."""
    from consentum.sdk import custodian  # noqa: PLC0415 - as above
    from consentum.wiring.custodian import open_custodian  # noqa: PLC0415 - as above

    opened = open_custodian(home)
    named = {"record": ID.convert(record, None, None)} if record.startswith("0x") else {"path": record}
    filed = custodian.find_deposited(opened, **named)
    _show_retraction(custodian.supersede(opened, filed, new_file, committee), as_json)


def _show_retraction(answer: dict[str, Any], as_json: bool) -> None:
    lines = [f"{server}  {state}" for server, state in answer["servers"].items()]
    lines += [f"superseded by {answer['successor']}"] if "successor" in answer else []
    lines += [] if answer["complete"] else ["not everywhere yet: run the same command again"]
    show(answer, lines, as_json)
    if not answer["complete"]:
        raise SystemExit(LATER)


@group.group("staff")
def staff() -> None:
    """Who may deposit for the custodian: each with a home and key of their own (init --identity)."""


@staff.command("add")
@click.argument("address")
@click.option("--days", type=int, default=365, show_default=True, help="How long they may.")
@home_option
@json_option
def staff_add(address: str, days: int, home: Path, as_json: bool) -> None:
    """Let an address deposit for the custodian; signed by the custodian's own key."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    answer = helpers.add_delegate(_identity(home), "deposit", address, days)
    show(answer, [f"{answer.get('state')}: {address} may deposit for {days} days once it is on chain"], as_json)


@staff.command("remove")
@click.argument("address")
@home_option
@json_option
def staff_remove(address: str, home: Path, as_json: bool) -> None:
    """Let an address deposit no longer."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    answer = helpers.remove_delegate(_identity(home), "deposit", address)
    show(answer, [f"{answer.get('state')}: {address} may deposit no longer once it is on chain"], as_json)


def _identity(home: Path) -> Any:
    from consentum.sdk.helpers import Identity  # noqa: PLC0415 - as above
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    return Identity(connect(home))
