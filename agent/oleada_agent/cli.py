"""``oleada-agent``: run the agent, enrol the box, look at it, or use its trust by hand."""

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oleada_agent import clock, config, identity
from oleada_agent.alone import alone
from oleada_agent.backoff import Backoff
from oleada_agent.disk import RealDisk
from oleada_agent.errors import AgentError
from oleada_agent.renewal import REFUSED_CODE

if TYPE_CHECKING:  # what reads command lines is loaded when there is one to read
    from argparse import ArgumentParser, Namespace

BACKOFF_MS: Final = 2_000
BACKOFF_MAX_MS: Final = 600_000
REFUSED_MS: Final = 60_000
"""A refusal is for a person to mend, so the first pause after it is longer."""
INTERRUPTED_CODE: Final = 130
ZONES: Final = "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"
"""Where Python looks for time zones anyway (PEP 615); to ask it costs 120 kB of memory."""

EPILOG: Final = """\
A box is one directory: slots/ and boot/ hold the images and say which one starts, data/
survives power cuts (config.toml, identity, trust, journal, outbox), run/ does not.

  oleada-agent run --box /var/lib/oleada-box      what the boot program starts
  oleada-agent status --box /var/lib/oleada-box   what this box is doing, in words
  oleada-agent trust --box /var/lib/oleada-box    whom and what it trusts, in words

Exit codes of run: 0 switched off, 75 asks for a restart of the box, 1 could not go on.
Exit codes of renew: 0 done, 1 try again later, 3 the server refuses.
"""
TUF_EPILOG: Final = """\
  oleada-agent tuf --metadata-dir D init ROOT
  oleada-agent tuf --metadata-dir D --metadata-url U refresh
  oleada-agent tuf --metadata-dir D --metadata-url U --target-name T \\
                   --target-base-url B --target-dir O download

Plain policy of the TUF specification: thresholds as the metadata says, the wall clock.
Exit codes: 0 trusted, 1 refused.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:2] == ["run", "--box"] and len(words) == 3:
        # As the boot program starts it: no parser lies in the box's memory all day.
        return _guarded(lambda: _live(Path(words[2])))
    options = _parser().parse_args(words)
    return _guarded(lambda: options.act(options))


def _guarded(act: Callable[[], int]) -> int:
    try:
        return act()
    except (AgentError, OSError) as error:
        sys.stderr.write(f"oleada-agent: {error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED_CODE


def _parser() -> "ArgumentParser":
    import argparse  # noqa: PLC0415 - see TYPE_CHECKING above

    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="oleada-agent",
        description="The agent of a set-top box: reports health, installs signed updates.",
        epilog=EPILOG,
        formatter_class=shape,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, act, help_text in (
        ("run", _run, "live on this box; enrols it first if need be"),
        ("enrol", _enrol, "exchange the claim token for an identity, once"),
        ("renew", _renew, "get the next certificate now, and take it into use"),
        ("status", _status, "say what this box runs and what it is doing"),
        ("trust", _trust, "say whom and what this box trusts, and check every signature"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument(
            "--box", type=Path, required=True, help="the directory that stands for the box"
        )
        if name in ("status", "trust"):
            command.add_argument("--json", action="store_true", help="for programs")
        command.set_defaults(act=act)
    tuf = commands.add_parser(
        "tuf",
        help="verify a TUF repository by hand, as the box does",
        epilog=TUF_EPILOG,
        formatter_class=shape,
    )
    tuf.add_argument("--metadata-dir", type=Path, required=True, help="trusted metadata lies here")
    tuf.add_argument("--metadata-url", help="where the repository's metadata is")
    tuf.add_argument("--target-name", help="path of the target, such as VX-410/5.8.2.img")
    tuf.add_argument("--target-base-url", help="where the repository's targets are")
    tuf.add_argument("--target-dir", type=Path, help="where the target is put")
    steps = tuf.add_subparsers(required=True, metavar="STEP", dest="step")
    init = steps.add_parser("init", help="trust this root from now on")
    init.add_argument("root", type=Path, help="a root.json that you got by a way you trust")
    steps.add_parser("refresh", help="fetch and verify the newest metadata")
    steps.add_parser("download", help="refresh, then fetch and verify one target")
    tuf.set_defaults(act=_tuf)
    return parser


def _run(options: "Namespace") -> int:
    return _live(options.box)


def _live(box: Path) -> int:
    os.environ.setdefault("PYTHONTZPATH", ZONES)
    settings = config.load(box)
    if not identity.is_enrolled(RealDisk(box)):
        _enrol_patiently(box, settings)
        # A new start of the same program: what only enrolment needs leaves the memory.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    from oleada_agent import service  # noqa: PLC0415 - the other commands do without it

    with alone(box):
        return service.Service(box, settings).run()


def _enrol_patiently(box: Path, settings: config.Config) -> None:
    """Enrol the box, however long it takes; with full jitter between attempts.

    A box that is refused asks again too, ever more rarely: somebody may give it another
    token, and one that ended would be started again at once, with all others like it.
    """
    from oleada_agent import enrol  # noqa: PLC0415 - needed once in the life of a box

    pause = threading.Event()
    failures = 0
    while True:
        with suppress(AgentError):  # waiting for a server is no reason to restart
            RealDisk(box).create("run/agent.alive")
        try:
            enrol.enrol(RealDisk(box), settings)
        except (AgentError, OSError) as error:
            failures += 1
            first_ms, least_ms = REFUSED_MS, 0
            if isinstance(error, enrol.ServerAwayError):
                first_ms, least_ms = BACKOFF_MS, error.after_s * 1000
            backoff = Backoff(2 * first_ms, BACKOFF_MAX_MS)
            pause_ms = least_ms + backoff.pause_ms(failures, clock.below)
            sys.stderr.write(f"oleada-agent: {error} Again in {pause_ms / 1000:.1f} s.\n")
            sys.stderr.flush()
            pause.wait(pause_ms / 1000)
        else:
            return


def _enrol(options: "Namespace") -> int:
    from oleada_agent import enrol  # noqa: PLC0415 - needed once in the life of a box

    found = enrol.enrol(RealDisk(options.box), config.load(options.box))
    print(f"This box is {found.device_id}, a {found.hardware_model}.")
    return 0


def _renew(options: "Namespace") -> int:
    from oleada_agent import renew  # noqa: PLC0415 - needed every few weeks

    try:
        renew.run(options.box, config.load(options.box))
    except renew.RefusedError as error:
        sys.stderr.write(f"oleada-agent: {error}\n")
        return REFUSED_CODE
    print("This box has a new certificate.")
    return 0


def _status(options: "Namespace") -> int:
    from oleada_agent import overview  # noqa: PLC0415 - the other commands do without it

    found = overview.look(options.box)
    if options.json:
        print(json.dumps(found, indent=1, sort_keys=True))
    else:
        width = max(map(len, found))
        print("\n".join(f"{name:<{width}}  {value}" for name, value in found.items()))
    return 0


def _trust(options: "Namespace") -> int:
    from oleada_agent import trusted  # noqa: PLC0415 - the other commands do without it

    found = list(trusted.look(options.box))
    if options.json:
        print(json.dumps(dict(found), indent=1))
    else:
        width = max(len(name) for name, _ in found)
        print("\n".join(f"{name:<{width}}  {words}" for name, words in found))
    return 1 if any(words == trusted.NONE for _, words in found) else 0


def _tuf(options: "Namespace") -> int:
    from oleada_agent.trust import command  # noqa: PLC0415 - the other commands do without it

    return command.run(options)
