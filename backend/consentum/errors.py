# SPDX-License-Identifier: Apache-2.0
"""Expected failures, as one small tree, and the reasons a release can be refused for.

A class is a situation the caller can act on; `code` is stable and safe to show. Messages never carry keys, shares,
terms or identities. Refusals of single records are not exceptions: they are `Reason` values.
"""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why one record is (not) released. Append-only; 1-63 mirror `Reasons.sol` and a test compares the two."""

    ALLOWED = 0
    # 1-63: the policy on chain, first failure in this order.
    JOB_SIGNATURE = 1
    RELEASE_SIGNATURE = 2
    DEADLINE_PASSED = 3
    STUDY_NOT_OPEN = 4
    REQUESTER_NOT_MEMBER = 5
    RUNNER_NOT_ACCREDITED = 6
    PURPOSE_NOT_OF_STUDY = 7
    ACCESS_NOT_OF_STUDY = 8
    RUNNER_NOT_REQUESTER = 9
    OTHER_POLICY = 10
    REVOKED = 11
    NO_CONSENT = 12
    FROZEN = 13
    CUT_OFF = 14
    NOT_YET_VALID = 15
    EXPIRED = 16
    SCOPE = 17
    FORM = 18
    PURPOSE = 19
    CONDITIONS = 20
    DISEASE = 21
    CATEGORY = 22
    ACCESS = 23
    EPSILON = 24
    # 64-127: one key server, on its own word.
    CHAIN_UNAVAILABLE = 64
    STALE = 65
    CLOCK = 66
    OTHER_CHAIN = 67
    NOT_YET_FINAL = 68
    NOTICE_HELD = 69
    REPLAYED = 70
    LIMIT = 71
    BUDGET = 72
    STORE_UNAVAILABLE = 73
    BEHIND_ANCHOR = 74
    # 128+: the client's side.
    TOO_FEW_SHARES = 128
    SHARE_INCONSISTENT = 129
    CONTENT_CORRUPT = 130
    CONSENT_ENDED = 131


POLICY_REASONS = tuple(r for r in Reason if 0 < r < 64)


class ConsentumError(Exception):
    """Root of every failure this package expects."""

    code = "ERROR"

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0])
        self.field = field


class MalformedError(ConsentumError):
    """Input that cannot be what it claims to be; retrying it unchanged is pointless."""

    code = "MALFORMED"


class SignatureRefused(ConsentumError):
    """The signature is not by the controller, nor by a delegate of the right type."""

    code = "SIGNATURE"


class NotFoundError(ConsentumError):
    """Not there, or not yours: one answer for both."""

    code = "NOT_FOUND"


class ConflictError(ConsentumError):
    """It is there already with other content; what was there stays."""

    code = "CONFLICT"


class StateError(ConflictError):
    """It is in a state that this cannot follow."""

    code = "STATE"


class LeaseError(ConflictError):
    """Whoever asks does not hold it any longer."""

    code = "LEASE"


class OutdatedError(ConsentumError):
    """Something arrived between deciding and writing down; decide again."""

    code = "OUTDATED"


class ReplayedError(ConflictError):
    """The nonce was used for another message."""

    code = "REPLAYED"


class RefusedError(ConsentumError):
    """A server will not decide or release now; `reason` says why and whether to come back."""

    def __init__(self, reason: Reason, message: str = "") -> None:
        super().__init__(message or reason.name)
        self.reason = reason
        self.code = reason.name


class ConsentChanged(RefusedError):
    """A consent ended while the job ran."""

    def __init__(self, message: str = "") -> None:
        super().__init__(Reason.CONSENT_ENDED, message or "a consent ended while the job ran")


class UnavailableError(ConsentumError):
    """An outside system did not answer in time; nothing was changed."""

    code = "UNAVAILABLE"


class RevertedError(ConsentumError):
    """The contract refuses the call; sending it again unchanged is pointless."""

    code = "REVERTED"


class CorruptError(ConsentumError):
    """Bytes that fail their authentication, hash or structure."""

    code = "CORRUPT"


class KeyFileError(ConsentumError):
    """A key file is missing, damaged, or readable by others."""

    code = "KEY_FILE"


class SettingsError(ConsentumError):
    """A setting is missing or contradicts another."""

    code = "SETTINGS"


class PortTakenError(ConsentumError):
    """A port that a process should serve on is used by another."""

    code = "PORT_TAKEN"


class NotRunningError(UnavailableError):
    """No system of this folder runs."""

    code = "NOT_RUNNING"
