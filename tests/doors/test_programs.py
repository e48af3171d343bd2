"""Bad input on the command lines of agent, boot program and lab: every option of each.

The tree is argparse's own, so that a new option is swept without being named; what is
needed beside it is made up by its kind.
"""

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oleada_agent import cli as agent_cli
from oleada_agent.boot import program as boot_program
from oleada_lab import cli as lab_cli

from tests.support.command_lines import FULL_DISK, INVALID_BYTES, NUMBERS, WORDS, bad_paths


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its name, its parser and what runs it."""

    name: str
    parser: Callable[[], argparse.ArgumentParser]
    main: Callable[[list[str]], int]


PROGRAMS = {
    "oleada-agent": Program("oleada-agent", agent_cli._parser, agent_cli.main),
    "oleada-lab": Program("oleada-lab", lab_cli.parser, lab_cli.main),
}
READS_ONLY = frozenset(("play", "tuf", "status", "run", "enrol"))
"""Commands that read and end; of all others only what their parser refuses is asked, for
they start servers, fetch packages or build images."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a program, with the words that lead to it and its options."""

    words: tuple[str, ...]
    actions: tuple[argparse.Action, ...]

    def line(self, changed: argparse.Action, value: str) -> list[str]:
        """Return a line in which *value* stands for *changed*, and anything for the rest."""
        before: list[str] = []
        behind: list[str] = []
        for action in self.actions:
            if action is not changed and not action.required:
                continue
            text = value if action is changed else _anything(action)
            if action.option_strings:
                before.append(f"{action.option_strings[0]}={text}")
            else:
                behind.append(text)
        return [*self.words, *before, "--", *behind] if behind else [*self.words, *before]


def _anything(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    return "VX-240" if action.dest == "model" else "1"


def commands_of(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """Yield every command below *parser* that does something."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    usual = (argparse._HelpAction, argparse._StoreTrueAction, argparse._SubParsersAction)
    own = tuple(one for one in parser._actions if not isinstance(one, usual))
    if not below:
        yield Command(words, own)
    for name, found in below[0].choices.items() if below else ():
        yield from commands_of(found, (*words, name))


def values_for(action: argparse.Action, paths: dict[str, str]) -> dict[str, str]:
    """Return by name what should not stand at *action*."""
    if action.choices:
        return {name: WORDS[name] for name in ("empty", "invalid bytes", "right to left")}
    if action.type is Path:
        return {name: path for name, path in paths.items() if name not in {FULL_DISK, "zeros"}}
    if action.type is not None:
        return NUMBERS
    return {name: text for name, text in WORDS.items() if name != "long"}


def wrong_with(program: Program, line: list[str]) -> str | None:
    """Run *line*; return what is wrong with how it ended, None if nothing."""
    said, refused = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
        try:
            code: Any = program.main(line)
        except SystemExit as error:
            code = error.code
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
    if "Traceback" in refused.getvalue():
        return f"a traceback: {refused.getvalue()[-300:]}"
    if code not in {0, 1, 2}:
        return f"exit code {code}"
    if code and f"{program.name}" not in refused.getvalue():
        return f"exit code {code} without a sentence: {refused.getvalue()[-200:]!r}"
    return None


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_value_of_an_option_ends_in_a_traceback(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    program, wrong, asked = PROGRAMS[name], [], 0
    paths = bad_paths(tmp_path / "bad")
    with contextlib.chdir(tmp_path):
        for command in commands_of(program.parser()):
            for action in command.actions:
                for said, value in values_for(action, paths).items():
                    if command.words[0] not in READS_ONLY and not _is_refused(action, value):
                        continue
                    asked += 1
                    found = wrong_with(program, command.line(action, value))
                    if found:
                        wrong.append(f"{' '.join(command.words)} {action.dest} {said}: {found}")
    request.node.user_properties.append(("cases", asked))

    assert wrong == []
    assert asked > 10


def _is_refused(action: argparse.Action, value: str) -> bool:
    """Return whether argparse itself refuses *value*."""
    if action.choices:
        return value not in action.choices
    if action.type in {None, Path, str}:
        return False
    try:
        action.type(value)  # type: ignore[operator]
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return True
    return False


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_missing_or_unknown_is_named(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]
    for command in commands_of(program.parser()):
        for line in (["--no-such-option"], [f"-{INVALID_BYTES}"], ["one", "two", "three"]):
            if line[0] == "one" and any(not one.option_strings for one in command.actions):
                continue
            with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
                program.main([*command.words, *line])
            assert ended.value.code == 2, (command.words, line)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "seven", "", "1e400"])
def test_the_boot_program_refuses_a_watchdog_that_is_none(value: str, tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    said = io.StringIO()

    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        boot_program.main(["--box", str(tmp_path), f"--watchdog-s={value}"])

    assert ended.value.code == 2
    assert "--watchdog-s" in said.getvalue()


def test_the_boot_program_says_what_is_no_box(tmp_path: Path) -> None:
    for name, path in bad_paths(tmp_path).items():
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = boot_program.main([f"--box={path}"])

        assert code == 2, name
        assert "is not a box" in said.getvalue(), name
