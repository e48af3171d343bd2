"""The words for where a rollout, a wave and a box in a wave are; tables and plan share them."""

from enum import StrEnum

REVOKED = "revoked"
"""Why a box of a wave was left out that is revoked; the server's own word, no box says it."""


class RolloutState(StrEnum):
    """Where a rollout is; finished, halted and stopped are ends.

    A draft that needs a second person awaits approval before it may begin.
    """

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    HALTED = "halted"
    STOPPED = "stopped"


OPEN_ROLLOUTS = frozenset({RolloutState.SCHEDULED, RolloutState.RUNNING, RolloutState.PAUSED})
"""Rollouts that hold their boxes: no other rollout may claim them."""


class WaveState(StrEnum):
    """Where a wave is; *held* waits for a person or for late good news."""

    WAITING = "waiting"
    OPEN = "open"
    SOAKING = "soaking"
    HELD = "held"
    PASSED = "passed"
    HALTED = "halted"


class BoxState(StrEnum):
    """Where a box in a wave is; the last five are outcomes."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    LEASED = "leased"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    RESTARTING = "restarting"
    CHECKING = "checking"
    UNPROVEN = "unproven"
    UPDATED = "updated"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    DECLINED = "declined"
    SILENT = "silent"


IN_FLIGHT = frozenset(
    {
        BoxState.LEASED,
        BoxState.DOWNLOADING,
        BoxState.INSTALLING,
        BoxState.RESTARTING,
        BoxState.CHECKING,
    }
)
"""Boxes that hold a lease: they are at work on the release."""

PENDING = IN_FLIGHT | {BoxState.QUEUED, BoxState.ASSIGNED, BoxState.UNPROVEN}
"""Boxes that have no outcome yet; one that is unproven only says that it has installed."""

VERDICTS = frozenset(BoxState) - PENDING - {BoxState.SILENT}
"""Outcomes that a box reported; silence is the server's word for having heard none."""
