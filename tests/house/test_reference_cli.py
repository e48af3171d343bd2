"""The reference of the command line is its own help; UPDATE_GOLDEN=1 writes it anew."""

import argparse
import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from oleada_agent import cli as agent
from oleada_agent.boot import program
from oleada_lab import cli as lab
from oleada_server.cli import main as oleada

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"
WIDTH = 100
HEAD = """# The command line
This page is the help of every command, written by the commands and compared with them by a test.
`oleada` is the operator's and the signer's; `oleada-lab` plays and measures;
a box has `oleada-agent` and `oleada-boot`.
"""
Options = dict[str, set[str]]


def _of_click(
    command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield path, command and context of *command* and all below it."""
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{context.command_path} lists {name}, which is not there"
            yield from _of_click(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH,
        **command.context_settings,
    )  # fmt: skip


def _oleada() -> Iterator[tuple[str, click.Command, click.Context]]:
    yield from _of_click(oleada, _context(oleada, "oleada", None))


def _of_argparse(one: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield *one* and every parser below it."""
    yield one
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from _of_argparse(below)


def _others() -> Iterator[argparse.ArgumentParser]:
    for make in (lab.parser, agent._parser):
        yield from _of_argparse(make())


def _page() -> str:
    parts = [HEAD]
    for path, command, context in _oleada():
        command._help_option = None  # click keeps that of whoever asked first
        parts.append(f"\n## {path}\n```text\n{command.get_help(context).rstrip()}\n```\n")
    for one in _others():
        parts.append(f"\n## {one.prog}\n```text\n{one.format_help().rstrip()}\n```\n")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        program.main(["--help"])
    return "".join([*parts, f"\n## oleada-boot\n```text\n{said.getvalue().rstrip()}\n```\n"])


@pytest.fixture(autouse=True)
def a_wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let help be as wide wherever the tests run."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def test_the_page_of_commands_is_their_help() -> None:
    page = _page()
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)

    assert PAGE.read_text() == page


def test_every_command_and_every_option_says_what_it_does() -> None:
    silent = [
        f"{path} {param.name}"
        for path, command, _ in _oleada()
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]

    assert silent == []
    assert [path for path, command, _ in _oleada() if not command.help] == []


def test_every_command_that_a_page_shows_is_one() -> None:
    known: Options = {
        path: {word for p in command.params for word in (*p.opts, *p.secondary_opts)}
        for path, command, _ in _oleada()
    }
    known |= {one.prog: set(one._option_string_actions) for one in _others()}
    unknown = [
        f"{page.name}: {wrong}"
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if "adr" not in page.parts and page != PAGE
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        for wrong in _unknown(line, known)
    ]

    assert unknown == []


def _unknown(line: str, known: Options) -> Iterator[str]:
    """Yield what of the shell command *line* none of our programs knows."""
    words = re.sub(r"^(?:[A-Z_]+=\S* )+", "", line.partition("#")[0]).split()
    program_name = Path(words[0]).name if words else ""
    if program_name not in known:
        return
    path, *rest = [program_name, *words[1:]]
    while rest and f"{path} {rest[0]}" in known:
        path = f"{path} {rest.pop(0)}"
    has_commands = any(other.startswith(f"{path} ") for other in known)
    if has_commands and rest and not rest[0].startswith("-"):
        yield f"{path} {rest[0]}"
    options = (word.partition("=")[0] for word in rest if word.startswith("--"))
    yield from (f"{path} {o}" for o in options if o not in known[path] | {"--help"})
