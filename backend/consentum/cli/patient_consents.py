# SPDX-License-Identifier: Apache-2.0
"""Deciding: `consentum patient grant`, `consents`, `revoke`, `stop`, `freeze`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consentum.cli.custodian import ID, moment
from consentum.cli.output import LATER, home_option, json_option, show
from consentum.errors import MalformedError

if TYPE_CHECKING:
    from consentum.flow.client.notices import Told
    from consentum.flow.client.terms import Choice


@click.command("grant")
@click.argument("study")
@click.option("--form", required=True, help="The form you read: a file, or the hash (0x) of one the gateway has.")
@click.option("--categories", required=True, help="Kinds of records, by commas: pathology,imaging …")
@click.option("--access", type=click.Choice(["aggregate", "compute", "download"]), required=True)
@click.option("--until", required=True, help="Last day, YYYY-MM-DD (to its end, UTC).")
@click.option("--purposes", default="health-research", show_default=True, help="What for, by commas.")
@click.option("--conditions", default="", help="What the study must promise, by commas.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
def grant(study: str, form: str, yes: bool, home: Path, as_json: bool, **terms_: str) -> None:
    """Consent to a study, or to every study of a board; shows the terms and the form first."""
    from consentum.flow.client.terms import in_words  # noqa: PLC0415 - slow to load; help is not
    from consentum.sdk import granting  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    opened = open_patient(home)
    scope = granting.find_scope(opened, study)
    hashed, text = _form(opened, form)
    if scope.forms and hashed not in scope.forms:
        raise MalformedError("this study has no such form", field="form")
    consent = granting.prepare(opened, _choice(scope.id, hashed, **terms_))
    about = f"study or board: {scope.title} {scope.summary}"
    for line in (_plain(text), "", _plain(about), "id: 0x" + scope.id.hex(), *in_words(consent)):
        click.echo(line, err=True)
    if not yes:
        click.confirm("Do you consent to this?", abort=True, err=True)
    done = granting.grant(opened, consent)
    show(done, [f"{done['commitment']}: {done['state']}; it counts once it is final on chain"], as_json)


def _plain(text: str) -> str:
    """A stranger's text without what could move the cursor and rewrite the terms on the screen."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")


def _form(opened: Any, form: str) -> tuple[bytes, str]:
    """A form's hash and text, from a file or from the gateway."""
    from eth_utils.crypto import keccak  # noqa: PLC0415 - as above

    from consentum.domain.parsing import as_bytes  # noqa: PLC0415 - as above
    from consentum.sdk import granting  # noqa: PLC0415 - as above

    if form.startswith("0x"):
        hashed = as_bytes(form, "form", 32)
        return hashed, granting.form_text(opened, hashed)
    try:
        text = Path(form).read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        raise MalformedError("the form cannot be read", field="form") from None
    return keccak(text.encode()), text


def _choice(scope: bytes, form: bytes, **given: str) -> Choice:
    from consentum.domain.terms import Access, Category, Condition, Purpose  # noqa: PLC0415 - as above
    from consentum.flow.client.terms import Choice  # noqa: PLC0415 - as above

    return Choice(
        scope=scope,
        form=form,
        purposes=Purpose(_bits(Purpose, "purposes", given["purposes"])),
        categories=Category(_bits(Category, "categories", given["categories"])),
        access=Access[given["access"].upper()],
        expires=_end_of(given["until"]),
        conditions=Condition(_bits(Condition, "conditions", given["conditions"])) if given["conditions"] else None,
    )


def _bits(flag: Any, field: str, text: str) -> int:
    from consentum.domain.terms import bits_of  # noqa: PLC0415 - as above

    try:
        return bits_of(flag, text.split(","))
    except KeyError:
        known = ", ".join(member.name.lower().replace("_", "-") for member in flag)
        raise MalformedError(f"the {field} are {known}", field=field) from None


def _end_of(day: str) -> int:
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError("a day is YYYY-MM-DD", field="until") from None
    return int(begin.timestamp()) + 86_399


@click.command("consents")
@home_option
@json_option
def consents(home: Path, as_json: bool) -> None:
    """Your consents in words, each as it stands on chain now."""
    from consentum.flow.client.terms import in_words  # noqa: PLC0415 - as above
    from consentum.sdk import granting  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    given, answered = granting.consents(open_patient(home))
    lines = []
    for one in given:
        note = "" if one.sent else " (the gateway never answered for it)"
        lines.append(f"0x{one.commitment.hex()}  {one.state}{note}, signed {moment(one.consent.signedAt)}")
        lines.append(f"  id: 0x{one.consent.scope.hex()}")
        lines += [f"  {line}" for line in in_words(one.consent)]
    lines += [] if given else ["no consents"]
    lines += [] if answered else ["the gateway does not answer: only what this home knows"]
    data = {"consents": [one.to_json() for one in given], "gatewayAnswered": answered}
    show(data, lines, as_json)


@click.command("revoke")
@click.argument("commitment", type=ID)
@home_option
@json_option
def revoke(commitment: bytes, home: Path, as_json: bool) -> None:
    """End one consent, or withdraw one enrolment, by its hash; works without the gateway."""
    from consentum.sdk import ending  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    show_told(ending.revoke(open_patient(home), commitment), as_json)


@click.command("stop")
@home_option
@json_option
def stop(home: Path, as_json: bool) -> None:
    """End every consent you have given until now; works without the gateway."""
    from consentum.sdk import ending  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    show_told(ending.stop(open_patient(home)), as_json)


@click.command("freeze")
@click.option("--days", type=int, required=True, help="1 to 30; it cannot be taken back.")
@home_option
@json_option
def freeze(days: int, home: Path, as_json: bool) -> None:
    """Stop every release of your records for some days; works without the gateway."""
    from consentum.sdk import ending  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    show_told(ending.freeze(open_patient(home), days), as_json)


def show_told(told: Told, as_json: bool) -> None:
    """Who holds a notice now; the exit code is 3 while not every known key server surely does."""
    lines = [f"gateway: {told.gateway}"] if told.gateway != "UNAVAILABLE" else []
    if not lines:
        lines = ["the gateway does not answer: the key servers were told directly, and that is what counts"]
    lines += [f"{server}: {state}" for server, state in told.servers.items()]
    complete = told.holding == len(told.servers)
    lines += [] if complete else ["not every key server holds it yet: run the same command again"]
    show({"gateway": told.gateway, "servers": dict(told.servers), "complete": complete}, lines, as_json)
    if not complete:
        raise SystemExit(LATER)


COMMANDS = (grant, consents, revoke, stop, freeze)
