# SPDX-License-Identifier: Apache-2.0
"""Every reason in words: what it tells a patient, what it tells a researcher, and what can be done."""

from __future__ import annotations

from dataclasses import dataclass

from consentum.errors import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whole sentences. patient: to her, about her record. researcher: to whoever asked. remedy: what can be done."""

    patient: str
    researcher: str
    remedy: str


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.ALLOWED: Explanation(
        "Your record was released, as your consent allows.",
        "The record was released.",
        "Nothing needs to be done.",
    ),
    Reason.JOB_SIGNATURE: Explanation(
        "Somebody asked without a valid signature; nothing left the server.",
        "The job is not signed by the requester it names.",
        "Sign the job with the requester's key, or with a delegate's that may.",
    ),
    Reason.RELEASE_SIGNATURE: Explanation(
        "A machine asked that the signed job does not name; nothing left the server.",
        "The release is not signed by the runner the job names.",
        "Let the runner that the job names ask.",
    ),
    Reason.DEADLINE_PASSED: Explanation(
        "The request came too late; nothing left the server.",
        "The job or the release is past its deadline.",
        "Sign a new job with a later deadline.",
    ),
    Reason.STUDY_NOT_OPEN: Explanation(
        "The study is not approved now, so it received nothing of yours.",
        "The study is unknown, not approved yet, past its date, suspended or closed.",
        "Ask the study's board for its approval.",
    ),
    Reason.REQUESTER_NOT_MEMBER: Explanation(
        "Somebody asked who does not belong to the study; nothing left the server.",
        "You are neither the lead nor a member of the study.",
        "Ask the lead to name you as a member.",
    ),
    Reason.RUNNER_NOT_ACCREDITED: Explanation(
        "The machine that asked is not one that the study's board trusts; nothing left the server.",
        "The study's board does not accredit this runner, or the runner does not serve this board.",
        "Send the job to a runner that the board accredits.",
    ),
    Reason.PURPOSE_NOT_OF_STUDY: Explanation(
        "The study asked for a purpose that its board did not approve.",
        "The job names a purpose that the study was not approved for.",
        "Take one of the study's purposes, or let the board approve an amendment.",
    ),
    Reason.ACCESS_NOT_OF_STUDY: Explanation(
        "The study asked for more access than its board approved.",
        "The job asks for more access than the study was approved for.",
        "Ask for less access, or let the board approve an amendment.",
    ),
    Reason.RUNNER_NOT_REQUESTER: Explanation(
        "Somebody wanted a record sent to another than the one who asked.",
        "For downloads, for consents given to a person and for own records, requester and runner must be the same.",
        "Name yourself as the runner of the job.",
    ),
    Reason.OTHER_POLICY: Explanation(
        "Your consent is read by other rules than those the request came under.",
        "The consent names another policy contract.",
        "Ask again under the policy that the consent names.",
    ),
    Reason.REVOKED: Explanation(
        "You ended this consent, so nothing was released.",
        "The patient ended her consent.",
        "It stays ended; only she can sign a new one.",
    ),
    Reason.NO_CONSENT: Explanation(
        "You gave no consent that covers this, so nothing was released.",
        "There is no consent for this, or no such record here; the two look the same on purpose.",
        "Leave the record out; whether to consent is the patient's decision.",
    ),
    Reason.FROZEN: Explanation(
        "You put everything on hold, so nothing was released.",
        "The patient put all her consents on hold.",
        "The hold ends by itself, after thirty days at most; ask again then.",
    ),
    Reason.CUT_OFF: Explanation(
        "You ended all consents signed until then, this one among them.",
        "The patient ended all consents of that time, or this one is dated after it was granted.",
        "It stays ended; only she can sign a new one.",
    ),
    Reason.NOT_YET_VALID: Explanation(
        "Your consent begins later, so nothing was released yet.",
        "The consent begins at a later date.",
        "Ask again when it has begun.",
    ),
    Reason.EXPIRED: Explanation(
        "Your consent has run out, so nothing was released.",
        "The consent has run out.",
        "She can sign a new one if she wishes to go on.",
    ),
    Reason.SCOPE: Explanation(
        "Your consent is for another study, board or person.",
        "The consent is for another study, board or person.",
        "Leave the record out; the consent does not cover this study.",
    ),
    Reason.FORM: Explanation(
        "The study changed since you read its form, so nothing was released.",
        "The form the patient read is not approved for the study as it stands now.",
        "Ask patients to read and sign the new form.",
    ),
    Reason.PURPOSE: Explanation(
        "You did not allow this purpose.",
        "The patient does not allow the job's purpose.",
        "Leave the record out, or ask for a purpose she allows.",
    ),
    Reason.CONDITIONS: Explanation(
        "The study does not promise what you ask for.",
        "The study does not promise the conditions the patient sets.",
        "Let the board approve an amendment that promises them.",
    ),
    Reason.DISEASE: Explanation(
        "You allow research on another disease than the study's.",
        "The disease the patient names is not among the study's terms.",
        "Leave the record out; the study is about something else.",
    ),
    Reason.CATEGORY: Explanation(
        "You or the study left this kind of record out.",
        "The patient or the study leaves out this kind of record.",
        "Ask for categories that both the study and the patient name.",
    ),
    Reason.ACCESS: Explanation(
        "More was asked for than you allow.",
        "The job asks for more access than the patient allows.",
        "Ask for less: compute instead of download, aggregates instead of compute.",
    ),
    Reason.EPSILON: Explanation(
        "One job asked for more of your privacy budget than you give to one.",
        "The job asks for more privacy budget than the patient gives to one job.",
        "Ask for a smaller epsilon.",
    ),
    Reason.CHAIN_UNAVAILABLE: Explanation(
        "A key server could not reach the ledger, so it released nothing.",
        "A key server's chain node fails or answers nonsense.",
        "Ask again later; the server's operator looks at the node.",
    ),
    Reason.STALE: Explanation(
        "A key server could not see the newest state of the ledger, so it released nothing.",
        "What a key server sees of the chain is too old to decide on.",
        "Ask again in a minute; the server's operator looks whether the node keeps up.",
    ),
    Reason.CLOCK: Explanation(
        "A key server's clock disagrees with the ledger, so it released nothing.",
        "The chain's clock is ahead of a key server's.",
        "The server's operator sets the clock (NTP).",
    ),
    Reason.OTHER_CHAIN: Explanation(
        "A key server is connected to another ledger, so it released nothing.",
        "A process is connected to a node of another chain.",
        "Its operator corrects the setting rpc or deployment.",
    ),
    Reason.NOT_YET_FINAL: Explanation(
        "Your consent is on the ledger, but not for good yet, so nothing was released yet.",
        "The consent is on chain, but not final yet.",
        "Ask again after finality: seconds on a development chain, a quarter of an hour on Ethereum.",
    ),
    Reason.NOTICE_HELD: Explanation(
        "A key server holds your signed revocation and keeps to it, even before the ledger does.",
        "A key server holds a signed revocation that is not on chain yet.",
        "It stays so; only the patient can sign a new consent.",
    ),
    Reason.REPLAYED: Explanation(
        "A request was used a second time for something else; nothing was released.",
        "The nonce belongs to another release.",
        "Sign a release with a new nonce.",
    ),
    Reason.LIMIT: Explanation(
        "Too much was asked for at once, so nothing more was released.",
        "A limit is reached: records per requester and day, or messages or jobs that wait.",
        "Ask again later, or for less.",
    ),
    Reason.BUDGET: Explanation(
        "Your privacy budget for this consent is used up, so nothing more was released.",
        "A patient's privacy budget is used up; the whole page was refused.",
        "Ask without that record, or for a smaller epsilon.",
    ),
    Reason.STORE_UNAVAILABLE: Explanation(
        "A server could not write down what it was to release, so it released nothing.",
        "A server's database is locked, full or damaged; nothing happened.",
        "Ask again later; the server's operator looks at the disk.",
    ),
    Reason.BEHIND_ANCHOR: Explanation(
        "A key server's log is not the one it published, so it releases nothing.",
        "A key server's journal is not the one that was anchored on chain: an old backup, a fork or an edit.",
        "Other servers may suffice; the server's operator must heal it.",
    ),
    Reason.TOO_FEW_SHARES: Explanation(
        "Too few key servers agreed, so nobody could open your record.",
        "Fewer key servers than the threshold answered validly.",
        "Ask again later; the detail says which server said what.",
    ),
    Reason.SHARE_INCONSISTENT: Explanation(
        "A piece of your record's key did not fit, so nobody could open the record with it.",
        "A key server's share, or all shares of a record, fit no key.",
        "Hold the named server, or the custodian who deposited the record, to it.",
    ),
    Reason.CONTENT_CORRUPT: Explanation(
        "Your encrypted record arrived damaged and was not used.",
        "The content is not what its address says.",
        "Fetch it again from another store; tell the custodian if it stays so.",
    ),
    Reason.CONSENT_ENDED: Explanation(
        "You ended your consent while the job ran; from then on it got nothing more of yours.",
        "A consent ended while the job ran.",
        "Submit the job again without the record, or let it drop records whose consent ends.",
    ),
}


def explain(reason: Reason) -> Explanation:
    return EXPLANATIONS[reason]


def as_markdown() -> str:
    """docs/reasons.md."""
    lines = [
        "# Reasons",
        "",
        "Why a record is released or not, in words. Made by `consentum explain --markdown`; the numbers and who gives",
        "them are in the [protocol](protocol.md#10-reasons). `consentum explain REQUEST` says the same at a prompt.",
        "",
        "| number | reason | to the patient | to the researcher | what can be done |",
        "|---|---|---|---|---|",
    ]
    for reason, told in EXPLANATIONS.items():
        lines.append(f"| {int(reason)} | `{reason.name}` | {told.patient} | {told.researcher} | {told.remedy} |")
    return "\n".join(lines) + "\n"
