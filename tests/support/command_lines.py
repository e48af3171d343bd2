"""Bad command lines: what stands in place of each option, and what a command may answer.

Works on click's own description of a command, so that a new option is swept without
being named.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

INVALID_BYTES: Final = "\udcff\udcfe\udce2"
"""What Python makes of bytes on a command line that are no UTF-8."""

WORDS: Final[dict[str, str]] = {
    "empty": "",
    "blanks": "  ",
    "invalid bytes": INVALID_BYTES,
    "control characters": "\x1b[31m\r\n\x07",
    "right to left": "\u202egnitset",
    "long": "a" * 100_000,
    "looks like a path": "../../../etc/passwd",
    "equals signs": "===",
    "a dash": "-",
}
FEW: Final = ("empty", "invalid bytes")
NUMBERS: Final[dict[str, str]] = {
    "empty": "",
    "a word": "seven",
    "a fraction of nothing": "1.5.2",
    "invalid bytes": INVALID_BYTES,
    "2^64": str(2**64),
    "minus one": "-1",
    "zero": "0",
    "nan": "nan",
    "inf": "inf",
    "1e400": "1e400",
    "hex": "0x10",
}
FULL_DISK: Final = "a full disk"
"""Only for what is written: read, it never ends."""
NO_NUMBER: Final = frozenset(("empty", "a word", "a fraction of nothing", "invalid bytes", "hex"))


def bad_paths(folder: Path) -> dict[str, str]:
    """Make files that nobody should give under *folder*; return their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty").write_bytes(b"")
    (folder / "noise").write_bytes(b"\n" + bytes(range(256)) * 40)
    (folder / "words").write_text("these are only words\n")
    with (folder / "zeros").open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    (folder / "folder").mkdir(exist_ok=True)
    if not (folder / "loop").is_symlink():
        (folder / "loop").symlink_to(folder / "loop")
        (folder / "dangling").symlink_to(folder / "nowhere")
    found = {name: str(folder / name) for name in (
        "empty", "noise", "words", "zeros", "folder", "loop", "dangling", "missing",
    )}  # fmt: skip
    return found | {
        "no name": "",
        "under a file": str(folder / "empty" / "below"),
        "in no folder": str(folder / "no" / "such" / "folder"),
        "too long a name": str(folder / ("n" * 300)),
        "invalid bytes": str(folder / INVALID_BYTES),
        FULL_DISK: "/dev/full",
    }


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a tree, with the words that lead to it."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        """As people type it, without the program."""
        return " ".join(self.words)

    def line(self, given: dict[str, Any]) -> list[str]:
        """Return the command line with *given* values by parameter; flags are left out."""
        options: list[str] = []
        places: list[str] = []
        for param in self.command.params:
            if param.name not in given:
                continue
            if isinstance(param, click.Option):
                options += [param.opts[0], given[param.name]]
            else:
                places.append(given[param.name])
        return [*self.words, *options, "--", *places]


def commands_of(
    group: click.Command, words: tuple[str, ...] = (), context: click.Context | None = None
) -> Iterator[Command]:
    """Yield every command below *group* that does something."""
    if not isinstance(group, click.Group):
        yield Command(words, group)
        return
    context = context or click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from commands_of(found, (*words, name), context)


def values_for(param: click.Parameter, paths: dict[str, str], *, is_known: bool) -> dict[str, str]:
    """Return by name what should not stand at *param*.

    *is_known*: a parameter of this name was asked all of it in another command.
    """
    if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType):
        return NUMBERS
    if isinstance(param.type, click.Path):
        written = param.name in {"out", "output"}
        return {name: path for name, path in paths.items() if written or name != FULL_DISK}
    if isinstance(param.type, click.Choice):
        return {name: WORDS[name] for name in ("empty", "invalid bytes", "right to left")}
    return {name: WORDS[name] for name in FEW} if is_known else WORDS


def must_refuse(param: click.Parameter, name: str) -> bool:
    """Return whether click itself has to refuse the value called *name* for *param*."""
    if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType):
        return name in NO_NUMBER
    if isinstance(param.type, click.Path) and param.type.exists:
        return name in {"missing", "dangling", "no name", "under a file", "invalid bytes"}
    return isinstance(param.type, click.Choice)


def wrong_with(code: int, stdout: str, stderr: str, error: BaseException | None) -> str | None:
    """Return what is wrong with how a command ended, None if nothing.

    A refusal is exit code 1 or 2 and one sentence on standard error.
    """
    if error is not None and not isinstance(error, SystemExit):
        return f"{type(error).__name__}: {str(error)[:200]}"
    if "Traceback" in stdout + stderr:
        return f"a traceback: {(stdout + stderr)[-300:]}"
    if code == 0:
        return None
    if code not in {1, 2}:
        return f"exit code {code}"
    if stderr.endswith("Aborted!\n"):  # a question on the terminal that nobody answered
        return None
    said = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    if len(said) != 1 or len(said[0].removeprefix("Error: ").strip()) < 8:
        return f"exit code {code} without one sentence: {stderr[-300:]!r}"
    return None
