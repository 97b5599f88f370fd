# SPDX-License-Identifier: Apache-2.0
"""`consentum study`: propose, show, list, amend, members, withdraw; cohort and sample are in cli.research."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from consentum.cli import research
from consentum.cli.output import home_option, json_option, show
from consentum.cli.settling import settled
from consentum.domain.parsing import as_id

Made = dict[str, Any]


@click.group("study")
def group() -> None:
    """Studies: their lead proposes, their board approves, patients consent."""


group.add_command(research.cohort)
group.add_command(research.sample)


forms_option = click.option(
    "--form",
    "forms",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    required=True,
    help="A consent form, a text file; once per form (language).",
)
terms_option = click.option(
    "--terms",
    "terms",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="A JSON file: purposes, conditions, categories (lists of words), access (a word), diseases, protocol.",
)


@group.command("propose")
@home_option
@click.argument("name")
@click.option("--board", required=True, help="The board's id.")
@click.option("--title", required=True)
@click.option("--summary", required=True, help="What it is about, for patients.")
@terms_option
@forms_option
@json_option
def propose(home: Path, name: str, as_json: bool, **given: Any) -> None:
    """Propose a study to a board; you are its lead. NAME: a-z, 0-9 and -, unique at this gateway."""
    from consentum.flow.client import boards  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    connection = connect(home)
    texts = [path.read_text("utf-8") for path in given["forms"]]
    words = {"name": name, "title": given["title"], "summary": given["summary"]}
    made, domain = _terms(given["terms"]), connection.deployment.study_domain
    signed = boards.propose(domain, connection.key, as_id(given["board"]), made, texts)
    told = connection.gateway.post("/v1/studies", boards.propose_body(signed, words, texts))

    def again() -> Made:
        status = connection.registries.study(as_id(told["study"])).status
        return {"state": "queued" if status == "none" else "mined"}

    told |= settled({"state": "queued"}, again)
    show(told, [f"study {told['study']}", f"{told['state']}; now its board decides"], as_json)


@group.command("show")
@home_option
@click.argument("study")
@json_option
def show_command(home: Path, study: str, as_json: bool) -> None:
    """One study, by name or id, as the chain has it."""
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    told = connect(home).gateway.get(f"/v1/studies/{study}")
    show(told, _lines(told), as_json)


@group.command("list")
@home_option
@json_option
def list_command(home: Path, as_json: bool) -> None:
    """Every study this gateway knows."""
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    told = connect(home).gateway.get("/v1/studies")
    show(told, [f"{s['name']}  {s['status']}  {s['title']}" for s in told["studies"]] or ["no studies"], as_json)


@group.command("amend")
@home_option
@click.argument("study")
@terms_option
@forms_option
@json_option
def amend(home: Path, study: str, terms: Path, forms: tuple[Path, ...], as_json: bool) -> None:
    """Propose the next version; says whether patients must consent anew once it is approved."""
    from consentum.flow.client import boards  # noqa: PLC0415 - as above

    connection, told = _mine(home, study)
    identity, made = as_id(told["study"]), _terms(terms)
    facts = connection.registries.study(identity)
    texts = [path.read_text("utf-8") for path in forms]
    domain = connection.deployment.study_domain
    signed = boards.amend(domain, connection.key, (identity, facts.proposed + 1), made, texts)
    answer = connection.gateway.post(
        f"/v1/studies/{told['study']}/amendments", {**boards.lead_body(signed), "forms": texts}
    )
    anew = bool(facts.version) and boards.widens(connection.registries.terms(identity, facts.version), made)
    words = "it widens the terms: patients must consent anew" if anew else "consents given before go on"
    show({**answer, "needsNewConsents": anew}, [f"version {facts.proposed + 1} is before the board", words], as_json)


@group.command("members")
@home_option
@click.argument("study")
@click.option("--add", "added", multiple=True, help="Address; may request under the study.")
@click.option("--remove", "removed", multiple=True, help="Address; may no longer.")
@json_option
def members(home: Path, study: str, added: tuple[str, ...], removed: tuple[str, ...], as_json: bool) -> None:
    """Let people in or out; without an option, say who is in."""
    from consentum.flow.client import boards  # noqa: PLC0415 - as above

    connection, told = _mine(home, study)
    identity = as_id(told["study"])
    nonce = connection.registries.study(identity).lead_nonce
    wanted = [(who, True) for who in added] + [(who, False) for who in removed]
    answers = []
    for offset, (who, allowed) in enumerate(wanted):
        of = (identity, nonce + offset)
        signed = boards.set_member(connection.deployment.study_domain, connection.key, of, who, allowed)
        answers.append(connection.gateway.post(f"/v1/studies/{told['study']}/members", boards.lead_body(signed)))
    answers = [settled(one, partial(connection.gateway.get, f"/v1/relayed/{one['id']}")) for one in answers]
    lines = [f"{'in' if allowed else 'out'}: {who}" for who, allowed in wanted] or list(told["members"])
    show({"members": told["members"], "sent": answers}, lines, as_json)


@group.command("withdraw")
@home_option
@click.argument("study")
@json_option
def withdraw(home: Path, study: str, as_json: bool) -> None:
    """Close your study for ever."""
    from consentum.flow.client import boards  # noqa: PLC0415 - as above

    connection, told = _mine(home, study)
    identity = as_id(told["study"])
    nonce = connection.registries.study(identity).lead_nonce
    signed = boards.withdraw(connection.deployment.study_domain, connection.key, (identity, nonce))
    answer = connection.gateway.post(f"/v1/studies/{told['study']}/withdrawal", boards.lead_body(signed))
    answer |= settled(answer, lambda: connection.gateway.get(f"/v1/relayed/{answer['id']}"))
    show(answer, [f"{answer['state']}: the study is closed once that is on chain"], as_json)


def _mine(home: Path, name: str) -> tuple[Any, Made]:
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    connection = connect(home)
    return connection, connection.gateway.get(f"/v1/studies/{name}")


def _terms(path: Path) -> Any:
    from consentum.domain.parsing import as_bytes, as_object  # noqa: PLC0415 - as above
    from consentum.domain.registry_messages import Terms  # noqa: PLC0415 - as above
    from consentum.domain.terms import Access, Category, Condition, Purpose, expand  # noqa: PLC0415 - as above
    from consentum.errors import MalformedError  # noqa: PLC0415 - as above

    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise MalformedError("the terms are not JSON", field="terms") from None
    plain = {"conditions": [], "diseases": [], "protocol": "0x" + "00" * 32, **(data if isinstance(data, dict) else {})}
    body = as_object(plain, "terms", "purposes", "conditions", "categories", "access", "diseases", "protocol")
    purposes = int(expand(Purpose(_bits(Purpose, body["purposes"], "purposes"))))
    return Terms(
        purposes,
        _bits(Condition, body["conditions"], "conditions"),
        _bits(Category, body["categories"], "categories"),
        _bits(Access, [body["access"]], "access"),
        tuple(as_bytes(disease, "diseases", 32) for disease in body["diseases"]),
        as_bytes(body["protocol"], "protocol", 32),
    )


def _bits(kind: Any, words: Any, field: str) -> int:
    """Words of the glossary, in any case, with - or _, to a mask."""
    from consentum.errors import MalformedError  # noqa: PLC0415 - as above

    mask = 0
    for word in words if isinstance(words, list) else [None]:
        name = str(word).upper().replace("-", "_").replace(" ", "_")
        if name not in kind.__members__:
            raise MalformedError(f"{field}: one of {', '.join(kind.__members__).lower()}", field=field)
        mask |= int(kind[name])
    return mask


def _lines(told: Made) -> list[str]:
    until = datetime.fromtimestamp(told["approvedUntil"], UTC).strftime("%d %B %Y") if told["approvedUntil"] else "-"
    lines = [
        f"{told['name']}: {told['title']}",
        told["summary"],
        f"study {told['study']}",
        f"board {told['board']}",
        f"lead {told['lead']}",
        f"{told['status']}, version {told['version']}, until {until}",
    ]
    if told["proposed"]:
        lines.append(f"version {told['proposed']['version']} waits for the board")
    return lines + [f"form {form}" for form in told["forms"]] + [f"member {who}" for who in told["members"]]
