"""What a box sent by itself, in words: logs, crashes, results of commands, starts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from oleada_server.telemetry.models import DeviceEvent
from oleada_server.web.status import Status
from oleada_server.web.words import gettext

LINES_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Shown:
    """One event: *text* in one line, *lines* behind it; all of it is the box's own text."""

    at: datetime
    state: Status
    text: str
    lines: list[str]


def shown(event: DeviceEvent) -> Shown:
    """Return how *event* is shown; a kind that is not known is shown as it came."""
    body: dict[str, Any] = event.body
    match event.kind:
        case "crash":
            what = gettext("%(process)s ended: %(reason)s",
                           process=body.get("process_name", ""),
                           reason=body.get("reason", ""))  # fmt: skip
            state = Status("bad", gettext("Crash"), "bad")
            return Shown(event.received_at, state, what, [])
        case "log":
            lines = [str(line) for line in body.get("lines", [])][-LINES_SHOWN:]
            state = Status("off", gettext("Log"), "off")
            return Shown(event.received_at, state, lines[-1] if lines else "", lines)
        case "result":
            output = str(body.get("output", ""))
            is_good = body.get("status") == "Complete"
            state = (
                Status("ok", gettext("Command done"), "ok")
                if is_good
                else Status("warn", gettext("Command not done"), "warn")
            )
            return Shown(event.received_at, state, f"{body.get('status', '')} {output}".strip(), [])
        case kind:
            return Shown(event.received_at, Status("off", kind, "off"), str(body), [])


def boot_word(reason: str | None) -> str:
    """Return why the box started, in words; unknown codes as they are."""
    spelt = {
        "power_on": gettext("switched on"),
        "update": gettext("after an update"),
        "fallback": gettext("fell back to the old slot"),
        "reboot": gettext("restarted"),
        "watchdog": gettext("watchdog"),
        "unknown": gettext("unknown"),
    }
    return spelt.get(reason or "unknown", reason or "")
