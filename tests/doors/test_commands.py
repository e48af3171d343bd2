"""Bad input on the command line of ``oleada``: every option of every command.

The tree is click's own. What is written here is one good value for each parameter that
must be given; a command for which one is missing fails the first test.
"""

from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from oleada_server.cli import COMMANDS, main
from oleada_server.config import Config

from tests.doors.conftest import World
from tests.support.command_lines import (
    Command,
    bad_paths,
    commands_of,
    must_refuse,
    values_for,
    wrong_with,
)
from tests.web.console import served

GOOD = {
    "action": "ip_ping",
    "action_id": "A-7",
    "because": "recording",
    "finding": "a cable",
    "incident": "I-7",
    "boxes": "7",
    "device_id": "AAAA00000000",
    "hardware_model": "VX-240",
    "label": "cli",
    "model": "VX-410",
    "models": "VX-410",
    "name": "a.torres",
    "number": "9",
    "reason": "a reason",
    "revision": "0001",
    "role": "oleada_server",
    "rollout": "R-1",
    "security_version": "3",
    "serial": "SN-77",
    "version": "5.7.9",
    "wave": "1",
}
"""By the name of a parameter that must be given: a good value."""
FILES = frozenset(("out", "online", "directory", "file", "key_files", "key", "image", "base"))
"""Parameters that must be given and name a file; they have a good one in the fixture."""
ALSO = {"release sign": ["--yes"], "db downgrade": ["--yes"]}
"""By command: a flag without which nothing else would be looked at."""
SERVERS = frozenset(("up", "web", "door", "scheduler", "worker"))
"""Commands that do not end by themselves; what they read are files (test_files.py)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The server's machine, where commands run, against a server that runs.

    Attributes:
        files: A good file for each parameter of FILES.
    """

    world: World
    runner: CliRunner
    files: dict[str, str]

    def needed(self, found: Command) -> dict[str, str]:
        """Return a good value of each parameter that *found* must be given."""
        good = GOOD | self.files
        return {p.name: good[p.name] for p in found.command.params if p.required and p.name}

    def run(self, line: list[str]) -> tuple[Result, str | None]:
        """Return how *line* ended, and what is wrong with that."""
        result = self.runner.invoke(main, line, input="")
        wrong = wrong_with(result.exit_code, result.stdout, result.stderr, result.exception)
        self.world.watch.restore()
        return result, wrong


@pytest.fixture(scope="module")
def desk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The desk of one file of tests; what commands write to no place of theirs goes away."""
    home = tmp_path_factory.mktemp("given")
    config: Config = world.app.extensions["oleada_config"]
    (home / "image").write_bytes(b"an image" * 100)
    (home / "a.bundle").write_bytes(world.bundle)
    files = dict.fromkeys(("key_files", "key", "image"), str(home / "image")) | {
        "out": str(home / "out"),
        "online": str(config.keys_dir / "online-public.json"),
        "directory": str(home / "ceremony"),
        "file": str(home / "a.bundle"),
        "base": str(config.tuf_dir),
    }
    with served(world.app) as address:
        environ = {"OLEADA_URL": address, "OLEADA_TOKEN": world.token}
        environ["OLEADA_DATA_DIR"] = str(config.data_dir)
        yield Desk(world, CliRunner(env=environ), files)


def all_commands() -> list[Command]:
    return [found for found in commands_of(main) if found.name not in SERVERS]


def bad_lines(
    desk: Desk, group: str, paths: dict[str, str]
) -> Iterator[tuple[str, list[str], bool]]:
    """Yield what is bad, the line, and whether click itself has to refuse it."""
    known = set()
    for found in all_commands():
        if found.words[0] != group:
            continue
        good = desk.needed(found)
        for param in found.command.params:
            if getattr(param, "is_flag", False) or not param.name:
                continue
            values = values_for(param, paths, is_known=param.name in known)
            known.add(param.name)
            for name, value in values.items():
                line = found.line({**good, param.name: value})
                line[len(found.words) : len(found.words)] = ALSO.get(found.name, ())
                yield f"{found.name} {param.name} {name}", line, must_refuse(param, name)


def test_every_parameter_that_must_be_given_has_a_good_value() -> None:
    wanted = {
        param.name
        for found in all_commands()
        for param in found.command.params
        if param.required and param.name
    }

    assert wanted - set(GOOD) - FILES == set(), "a command without a row: add it above"


@pytest.mark.parametrize("group", sorted(set(COMMANDS) - SERVERS))
def test_no_value_of_an_option_ends_in_a_traceback(
    desk: Desk, tmp_path: Path, group: str, request: pytest.FixtureRequest
) -> None:
    wrong = []
    with chdir(tmp_path):
        paths = bad_paths(tmp_path / "bad")
        lines = list(bad_lines(desk, group, paths))
        for name, line, is_refused in lines:
            result, said = desk.run(line)
            for absent in ("missing", "dangling"):  # a command may have written there
                if (left := Path(paths[absent]).resolve()).is_file():
                    left.unlink()
            if said is None and is_refused and result.exit_code != 2:
                said = f"exit code {result.exit_code} instead of 2"
            if said is not None:
                wrong.append(f"{name}: {said}")
    request.node.user_properties.append(("cases", len(lines)))

    assert wrong == []


def test_what_is_missing_or_too_much_is_named(desk: Desk, request: pytest.FixtureRequest) -> None:
    wrong, asked = [], 0
    for found in commands_of(main):
        good = desk.needed(found) if found.name not in SERVERS else {}
        lines = [
            [*found.words, "--no-such-option"],
            [*found.line(good), "one", "too", "many"],  # click asks its own questions first
            [*found.words, "-\udcff"],
            *(found.line({k: v for k, v in good.items() if k != name}) for name in good),
        ]
        for line in lines:
            result, said = desk.run(line)
            asked += 1
            was_asked = result.stderr.endswith("Aborted!\n")
            if said or not (result.exit_code == 2 or was_asked):
                wrong.append(f"{line}: {said or result.exit_code}")
    request.node.user_properties.append(("cases", asked))

    assert wrong == []
