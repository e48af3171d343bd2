"""The words and shapes of states: one vocabulary for every page.

A status is a shape and a word; colour is the third cue. *kind* is the colour: ok as
wanted, live happening now, wait stands until a person decides, warn look today, bad
broken or stopped for safety, off normal rest.
"""

from dataclasses import dataclass
from typing import Final

from oleada_server.accounts.models import Role
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.web.words import gettext


@dataclass(frozen=True, slots=True)
class Status:
    """How a state is shown: *kind* gives the colour, *shape* the icon, *word* the text."""

    kind: str
    word: str
    shape: str


def rollout(state: str) -> Status:
    """Return how a rollout in *state* is shown."""
    kind, shape = _ROLLOUT_LOOK[RolloutState(state)]
    spelt = {
        RolloutState.DRAFT: gettext("Draft"),
        RolloutState.AWAITING_APPROVAL: gettext("Awaiting approval"),
        RolloutState.SCHEDULED: gettext("Scheduled"),
        RolloutState.RUNNING: gettext("Running"),
        RolloutState.PAUSED: gettext("Paused"),
        RolloutState.FINISHED: gettext("Finished"),
        RolloutState.HALTED: gettext("Halted by a limit"),
        RolloutState.STOPPED: gettext("Stopped"),
    }
    return Status(kind, spelt[RolloutState(state)], shape)


_ROLLOUT_LOOK: Final = {
    RolloutState.DRAFT: ("off", "skip"),
    RolloutState.AWAITING_APPROVAL: ("wait", "wait"),
    RolloutState.SCHEDULED: ("off", "sched"),
    RolloutState.RUNNING: ("live", "live"),
    RolloutState.PAUSED: ("wait", "wait"),
    RolloutState.FINISHED: ("ok", "ok"),
    RolloutState.HALTED: ("bad", "bad"),
    RolloutState.STOPPED: ("bad", "bad"),
}


def wave(state: str) -> Status:
    """Return how a wave in *state* is shown."""
    match WaveState(state):
        case WaveState.WAITING:
            return Status("off", gettext("waiting"), "off")
        case WaveState.OPEN:
            return Status("live", gettext("running"), "live")
        case WaveState.SOAKING:
            return Status("live", gettext("soaking"), "live")
        case WaveState.HELD:
            return Status("wait", gettext("held"), "wait")
        case WaveState.PASSED:
            return Status("ok", gettext("passed"), "ok")
        case WaveState.HALTED:
            return Status("bad", gettext("halted"), "bad")


_BOX_LOOK: Final = {
    BoxState.QUEUED: ("off", "off"),
    BoxState.ASSIGNED: ("off", "sched"),
    BoxState.UPDATED: ("ok", "ok"),
    BoxState.FAILED: ("bad", "bad"),
    BoxState.ROLLED_BACK: ("bad", "bad"),
    BoxState.DECLINED: ("off", "skip"),
    BoxState.SILENT: ("warn", "warn"),
}
"""Colour and shape of a box's state; a state that is not here is at work: live."""


def box(state: str) -> Status:
    """Return how a box of a wave in *state* is shown."""
    words = {
        BoxState.QUEUED: gettext("Queued"),
        BoxState.ASSIGNED: gettext("Waits for its turn"),
        BoxState.LEASED: gettext("May start"),
        BoxState.DOWNLOADING: gettext("Downloading"),
        BoxState.INSTALLING: gettext("Installing"),
        BoxState.RESTARTING: gettext("Restarting"),
        BoxState.CHECKING: gettext("Checking"),
        BoxState.UNPROVEN: gettext("Installed, unproven"),
        BoxState.UPDATED: gettext("Updated"),
        BoxState.FAILED: gettext("Failed"),
        BoxState.ROLLED_BACK: gettext("Rolled back"),
        BoxState.DECLINED: gettext("Left out"),
        BoxState.SILENT: gettext("Silent"),
    }
    found = BoxState(state)
    kind, shape = _BOX_LOOK.get(found, ("live", "live"))
    return Status(kind, words[found], shape)


def role(found: str) -> str:
    """Return the word for a role."""
    words = {
        Role.VIEWER: gettext("Viewer"),
        Role.SUPPORT: gettext("Support"),
        Role.AUDITOR: gettext("Auditor"),
        Role.RELEASE_SIGNER: gettext("Release signer"),
        Role.OPERATOR: gettext("Operator"),
        Role.APPROVER: gettext("Approver"),
        Role.DEVICE_CA_ADMIN: gettext("Device certificates"),
        Role.USER_ADMIN: gettext("User administrator"),
        Role.ADMIN: gettext("Administrator"),
    }
    return words[Role(found)]


def reason(code: str | None) -> str:
    """Return in words why an attempt ended otherwise than updated; unknown codes as they are."""
    spelt = {
        "wrong-hardware": gettext("Image for another model"),
        "below-security-floor": gettext("Security version is below the box's floor"),
        "below-minimum-version": gettext("Box runs a version that is too old"),
        "denied": gettext("Release is on the deny list"),
        "not-covered": gettext("Box is not covered by the wave"),
        "expired": gettext("Permission or metadata had expired"),
        "untrusted": gettext("Signature or metadata did not verify"),
        "too-large": gettext("Image does not fit the slot"),
        "quarantined": gettext("Release failed on this box before"),
        "download": gettext("Download did not complete"),
        "wrong-size": gettext("Image has the wrong size"),
        "wrong-digest": gettext("Image has the wrong hash"),
        "wrong-content": gettext("Image is not what it says"),
        "storage": gettext("Slot could not be written"),
        "cancelled": gettext("Taken back by the server"),
        "unbootable": gettext("New slot did not boot"),
        "health-check": gettext("Health check failed after the restart"),
        "no-server-contact": gettext("No contact with the server after the restart"),
        "power-cut-in-trial": gettext("Power was cut during the trial"),
        "loop-breaker": gettext("Too many restarts in a row"),
        "silent": gettext("No report in time"),
        "revoked": gettext("Box is revoked"),
    }
    if not code or code == "unknown":
        return gettext("No reason was given")
    return spelt.get(code, code)


def trouble(kind: str) -> str:
    """Return in words what makes an hour of a box a bad one; unknown kinds as they are."""
    spelt = {
        "crash": gettext("Crashes"),
        "restart": gettext("Restarts by the watchdog"),
        "dark": gettext("Went dark"),
        "slow_zap": gettext("Slow change of channel"),
        "lost_frames": gettext("Lost frames"),
        "underruns": gettext("Buffer ran empty"),
    }
    return spelt.get(kind, kind)
