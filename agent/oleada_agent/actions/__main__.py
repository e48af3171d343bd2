"""One action: read the order, bound this process, do it, tell how it ended."""

import json
import os
import resource
import signal
import sys
import tomllib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from oleada_wire.action_table import TABLE
from oleada_wire.actions import FILE_BYTES_MAX, Action, Needs, arguments_of, find
from oleada_wire.errors import BadArgumentError
from oleada_wire.words import Refusal, ResultStatus

from oleada_agent import clock
from oleada_agent.actions.known import secrets_of
from oleada_agent.actions.order import ActionError, Order, Teller, refused
from oleada_agent.actions.telling import LineTeller
from oleada_agent.errors import AgentError

MEMORY_BYTES_MAX: Final = 192 * 1024 * 1024
"""Of addresses; some 40 MB of it are Python's before anything is done."""
ORDER_BYTES_MAX: Final = 64 * 1024
NICENESS: Final = 10
PLACES: Final = {
    "ip_ping": "pinging",
    "traceroute": "tracing",
    "udp_echo": "echoing",
    "dns_lookup": "resolving",
    "download_test": "loading",
    "upload_test": "loading",
    "wifi_scan": "wifi",
    "packet_capture": "capture",
    "self_test": "selftest",
    "process_list": "processes",
    "log_pull": "logfiles",
    "config_get": "settings",
    "config_set": "settings",
    "config_undo": "settings",
    "reboot": "restart",
    "factory_reset": "restart",
}
"""Which module does an action, in a function of its name; the others the media player does."""
READS_LOGS: Final = frozenset({"log_pull"})
PLAYER_MS: Final = 1_000
"""For a player that hangs its logs are not held back."""
Do = Callable[[Order, Teller], None]


def main() -> int:
    """Do what standard input says; returns the exit code."""
    given = json.loads(sys.stdin.buffer.read(ORDER_BYTES_MAX))
    box, machine = Path(given["box"]), Path(given.get("machine", "/"))
    _bound(int(given["parent"]), int(given["timeout_ms"]))
    known = secrets_of(box, machine) | _private(given, box)
    teller = LineTeller(_write, known, clock.steady_ms, _uploader(given, box))
    try:
        _do(given, box, machine, teller, known)
    except ActionError as error:
        teller.end(error.status, str(error), error.refusal)
    except BadArgumentError as error:
        teller.end(ResultStatus.REFUSED, str(error), Refusal.BAD_ARGUMENT)
    except MemoryError:
        teller.end(ResultStatus.INTERNAL, "It needed too much memory.", Refusal.TOO_MUCH_MEMORY)
    except Exception as error:
        teller.end(ResultStatus.INTERNAL, f"{type(error).__name__}: {error}"[:300], Refusal.DIED)
    else:
        teller.end(ResultStatus.COMPLETE)
    return 0


def _do(
    given: dict[str, Any], box: Path, machine: Path, teller: Teller, known: frozenset[str]
) -> None:
    action = find(TABLE, str(given["action"]))
    if action is None:
        raise refused(Refusal.UNKNOWN_ACTION, f"This box knows no action {given['action']!r}.")
    settings = _settings(box)
    order = Order(
        action,
        arguments_of(action, given["arguments"]),
        str(given["cmd_id"]),
        box,
        settings,
        int(given["timeout_ms"]),
        machine,
        known,
    )
    if action.needs is Needs.ROOT and os.geteuid() != 0:
        raise refused(Refusal.NOT_ON_THIS_MODEL, "The agent of this model may not do that.")
    _doer(action)(order, teller)


def _private(given: dict[str, Any], box: Path) -> frozenset[str]:
    """Return what was watched lately; who reads logs asks the player for the newest too."""
    watched = {one for one in given.get("private", ()) if isinstance(one, str)}
    if given["action"] in READS_LOGS:
        from oleada_agent.senses import player  # noqa: PLC0415 - few actions read logs

        fresh = player.Watched()
        with suppress(AgentError, OSError):
            player.status(box, fresh, PLAYER_MS)
        watched.update(fresh.recent())
    return frozenset(watched)


def _doer(action: Action) -> Do:
    place = PLACES.get(action.name)
    if place is None:
        found: Do = import_module("oleada_agent.actions.player").ask
        return found
    named: Do = getattr(import_module(f"oleada_agent.actions.{place}"), action.name)
    return named


def _settings(box: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return tomllib.loads((box / "data/config.toml").read_text("utf-8"))
    return {}


def _uploader(given: dict[str, Any], box: Path) -> Callable[[str, bytes], dict[str, Any]]:
    def upload(name: str, data: bytes) -> dict[str, Any]:
        from oleada_agent.actions import uploading  # noqa: PLC0415 - few actions bring a file

        return uploading.put(box, _settings(box), str(given["cmd_id"]), name, data)

    return upload


def _bound(parent: int, timeout_ms: int) -> None:
    """Limit what this process can take, and let it end with the agent."""
    import ctypes  # noqa: PLC0415 - nothing else needs it

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
    os.nice(NICENESS)
    cpu_s = timeout_ms // 1000 + 2
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
