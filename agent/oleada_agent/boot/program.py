"""``oleada-boot``: what starts a box, chooses its slot and starts the agent out of it.

It stands for the bootloader, the kernel's root check, init and the watchdog of a real
box; docs/explanation/how-the-parts-fit.md has the order of things. One process is one
box with power: SIGTERM is a clean power-off, which gives the try back, and SIGKILL of
the process group a power cut. The agent's exit code 75 asks for a restart.
"""

import argparse
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from oleada_agent.boot import choice, control, system, trial
from oleada_agent.boot.disk import RealDisk
from oleada_agent.boot.errors import AgentError, ImageError, StorageError

WATCHDOG_S: Final = 60
WATCHDOG_S_MAX: Final = 86_400


@dataclass(slots=True)
class PowerButton:
    """Whether somebody has switched the box off; set by SIGTERM and SIGINT."""

    pressed: bool = False

    def install(self) -> None:
        """Hear the button from now on."""
        signal.signal(signal.SIGTERM, self._press)
        signal.signal(signal.SIGINT, self._press)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True


class Box:
    """A box with power, over its directory."""

    def __init__(self, folder: Path, watchdog_s: float, button: PowerButton) -> None:
        self._folder = folder
        self._watchdog_s = watchdog_s
        self._button = button
        self._disk = RealDisk(folder)
        self._control = control.FileBootControl(self._disk)

    def run(self) -> None:
        """Boot again and again until somebody switches the box off.

        Raises:
            ImageError: no slot holds an image that may boot.
        """
        ended = choice.Ended.POWER
        while not self._button.pressed:
            ended = self._boot(ended)

    def _boot(self, before: choice.Ended) -> choice.Ended:
        """Return how one boot ended, from power-on to the end of the agent."""
        system.empty_run(self._folder)
        found = choice.choose(choice.look_into(self._folder), self._control, before)
        for line in found.passed_over:
            _say(line)
        booted = system.prepare_run(self._disk, found, secrets.token_hex(4))
        _say(
            f"slot {found.slot}: {found.release.version}, boot {booted.boot_id}, "
            f"{booted.boot_reason}"
        )
        ended = system.run_image(
            self._folder,
            found,
            watchdog_s=self._watchdog_s,
            is_switched_off=lambda: self._button.pressed,
            is_proven=lambda: self._is_proven(found.slot),
        )
        self._after(found, ended)
        return ended

    def _is_proven(self, slot: str) -> bool:
        said = self._control.load()
        return said is not None and said.of(slot).successful

    def _after(self, found: choice.Choice, ended: choice.Ended) -> None:
        try:
            trial.end(self._disk, self._control, found, ended)
        except StorageError as error:  # the next boot matters more than this one's end
            _say(str(error))


def _say(line: str) -> None:
    sys.stderr.write(f"oleada-boot: {line}\n")
    sys.stderr.flush()


def _watchdog_s(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= WATCHDOG_S_MAX:  # nan is no number of seconds either
        raise argparse.ArgumentTypeError(
            f"{text} is not a number of seconds from 0 to {WATCHDOG_S_MAX}"
        )
    return seconds


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="oleada-boot",
        description="Give a box power: choose its slot, check the image, start its agent.",
        epilog="SIGTERM switches the box off; killing the process group is a power cut.",
    )
    parser.add_argument("--box", type=Path, required=True, help="the directory of the box")
    parser.add_argument(
        "--watchdog-s",
        type=_watchdog_s,
        default=WATCHDOG_S,
        help="restart when the agent has not begun after this many seconds (default: %(default)s); "
        "one that has begun says itself how long it may be silent",
    )
    parser.add_argument(
        "--dies-with",
        type=int,
        metavar="PID",
        help="do not start when the process that started this box is no longer PID",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a box until it is switched off; returns the exit code."""
    options = _parse(arguments)
    if options.dies_with is not None and os.getppid() != options.dies_with:
        _say(f"the process {options.dies_with} that gave this box its power is gone.")
        return 1
    try:
        is_box = (options.box / "slots").is_dir()
    except OSError:  # a name that no file can have
        is_box = False
    if not is_box:
        _say(f"{options.box} is not a box: it has no folder 'slots'.")
        return 2
    button = PowerButton()
    try:
        with system.only_one(options.box):
            button.install()
            Box(options.box, options.watchdog_s, button).run()
    except ImageError as error:
        _say(f"this box can not boot: {error}")
        return 3
    except (AgentError, OSError) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
