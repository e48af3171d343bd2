"""The words that box and server share: phases of an update, and reasons.

Source: docs/reference/glossary.md; the table of states in the agent's design.
"""

from enum import StrEnum


class Phase(StrEnum):
    """What a box says of an assignment; the last four end an attempt."""

    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    RESTARTING = "restarting"
    CHECKING = "checking"
    UPDATED = "updated"
    DECLINED = "declined"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"

    @property
    def is_final(self) -> bool:
        """Whether this phase is a verdict: the attempt is over."""
        return self in FINAL_PHASES


FINAL_PHASES = frozenset({Phase.UPDATED, Phase.DECLINED, Phase.FAILED, Phase.ROLLED_BACK})


class Reason(StrEnum):
    """Why an attempt ended otherwise than updated; one code, one cause."""

    # declined before anything was written: not a failure of the release
    WRONG_HARDWARE = "wrong-hardware"
    BELOW_SECURITY_FLOOR = "below-security-floor"
    BELOW_MINIMUM_VERSION = "below-minimum-version"
    DENIED = "denied"
    NOT_COVERED = "not-covered"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"
    TOO_LARGE = "too-large"
    QUARANTINED = "quarantined"
    # failed while fetching or writing
    DOWNLOAD = "download"
    WRONG_SIZE = "wrong-size"
    WRONG_DIGEST = "wrong-digest"
    WRONG_CONTENT = "wrong-content"
    STORAGE = "storage"
    CANCELLED = "cancelled"
    # rolled back after the new slot was tried
    UNBOOTABLE = "unbootable"
    HEALTH_CHECK = "health-check"
    NO_SERVER_CONTACT = "no-server-contact"
    POWER_CUT_IN_TRIAL = "power-cut-in-trial"
    LOOP_BREAKER = "loop-breaker"


RETRYABLE = frozenset(
    {
        Reason.DOWNLOAD,
        Reason.EXPIRED,
        Reason.POWER_CUT_IN_TRIAL,
        Reason.STORAGE,
        Reason.UNTRUSTED,
        Reason.WRONG_DIGEST,
        Reason.WRONG_SIZE,
    }
)
"""Reasons after which the same release may be assigned to the box again."""

NOT_THE_RELEASE = frozenset({Reason.POWER_CUT_IN_TRIAL, Reason.CANCELLED})
"""Reasons that say nothing against the release, though the attempt ended."""


class BootReason(StrEnum):
    """Why the box started."""

    POWER_ON = "power_on"
    UPDATE = "update"
    FALLBACK = "fallback"
    REBOOT = "reboot"
    WATCHDOG = "watchdog"
    UNKNOWN = "unknown"


class LeasePhase(StrEnum):
    """What a lease permits: to start downloading, or to arm the new slot."""

    START = "start"
    ARM = "arm"


class ResultStatus(StrEnum):
    """How a command ended; words of TR-181's diagnostics where it has one.

    Those from ``Error_CannotResolveHostName`` on end actions only, which are sent to
    boxes, and so by servers, that know them.
    """

    COMPLETE = "Complete"
    CANCELED = "Canceled"
    REFUSED = "Refused"
    ERROR = "Error_Other"
    CANNOT_RESOLVE = "Error_CannotResolveHostName"
    NO_ROUTE = "Error_NoRouteToHost"
    INIT_CONNECTION = "Error_InitConnectionFailed"
    NO_RESPONSE = "Error_NoResponse"
    TRANSFER = "Error_TransferFailed"
    TIMEOUT = "Error_Timeout"
    INTERNAL = "Error_Internal"


class Refusal(StrEnum):
    """Why a box did not do an action, or ended it; ``Result.error``."""

    UNKNOWN_ACTION = "unknown-action"
    BAD_ARGUMENT = "bad-argument"
    DENIED = "denied"
    NOT_ON_THIS_MODEL = "not-on-this-model"
    BUSY = "busy"
    VIEWER = "viewer"
    WRONG_PIN = "wrong-pin"
    TOO_LATE = "too-late"
    TIMED_OUT = "timed-out"
    TOO_MUCH_MEMORY = "too-much-memory"
    TOO_MUCH_OUTPUT = "too-much-output"
    DIED = "died"
    MEDIA = "media"
    NOT_RUNNING = "not-running"
