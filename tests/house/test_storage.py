"""What a box keeps goes through the Disk port, and the sweep of power cuts has written it."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import CodeType

import oleada_agent
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op
from oleada_lab.sim.remember import remembering
from oleada_lab.sweep.box import Box
from oleada_lab.sweep.kit import a_kit
from oleada_lab.sweep.report import storage_path
from oleada_lab.sweep.story import STORIES, begin
from oleada_lab.sweep.world import World

ROOT = Path(__file__).resolve().parents[2]
AGENT = Path(oleada_agent.__file__).parent
PORT = "boot/disk.py"
HEEDS = "refusals.py"
"""Hands on what is asked of the port, and takes note of what it refuses."""
CHANGES = {"create", "pwrite", "truncate", "rename", "unlink"}
"""Calls of the port that change what is kept; syncs alone keep nothing new."""
WRITE_WHOLE = "write_whole"
OWN_WRITES = {"write_text", "write_bytes", "touch", "mkdir", "rmtree", "unlink"}
OS_WRITES = {"open", "replace", "rename", "unlink", "remove", "mkdir", "write", "truncate"}

BY_THEMSELVES = {
    # run/ does not survive a power cut, so nothing in it can be lost to one.
    "senses/mediasocket.py": "nothing: it opens a folder to reach the socket in it",
    "actions/selftest.py": "a probe that is removed again, and holds nothing",
    "alone.py": "the lock of an agent, in run/",
    "boot/system.py": "run/, which it empties and fills for each boot, and the lock of the power",
    "boot/control.py": "the folder of boot control, when the maker makes a box",
    "boot/image.py": "an image on the machine that builds it; what it reads of one in a slot",
    "offspring.py": "pipes to the process of an action",
    "transport.py": "a pipe to itself, to be woken by",
    "trust/command.py": "the folder of an engineer who verifies by hand",
}
"""Modules that write without the port, and what."""
ACTIONS = "actions have sweeps of their own: tests/agent/actions/test_action_power_cuts.py"
NOT_IN_A_STORY = {
    "acting.py:_remember": ACTIONS,
    "actions/restart.py:wipe": ACTIONS,
    "acting.py:_forget": ACTIONS,
    "overrides.py:_store": ACTIONS,
    "overrides.py:forget": ACTIONS,
    "booted.py:read": "an engineer starts an agent without the boot program",
    "booted.py:_by_hand": "an engineer starts an agent without the boot program",
    "cli.py:_enrol_patiently": "a sign of life in run/, while there is no server",
    "journal.py:has_room": "a full disk is tried with a file that holds nothing",
    "boots.py:remember": "once a boot; cut by test_boots",
}
"""Functions that change the disk and that no power cut of a story has struck, and why not."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(AGENT.rglob("*.py")):
        yield str(path.relative_to(AGENT)), ast.parse(path.read_text())


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def imports(tree: ast.AST) -> set[str]:
    """Return the first words of all that *tree* imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def writes_by_itself(call: ast.Call) -> bool:
    """Return whether *call* writes to a file system without the port."""
    found = call.func
    arguments = call.args[isinstance(found, ast.Name) :]  # of a path, the mode comes first
    modes = [arg.value for arg in arguments if isinstance(arg, ast.Constant)]
    is_writing = any(str(mode).strip("bt") in {"w", "a", "x", "r+", "w+", "a+"} for mode in modes)
    if isinstance(found, ast.Name):
        return found.id == "open" and is_writing
    if not isinstance(found, ast.Attribute):
        return False
    if isinstance(found.value, ast.Name) and found.value.id == "os":
        return found.attr in OS_WRITES
    if found.attr == "unlink":
        return any(keyword.arg == "missing_ok" for keyword in call.keywords)
    return (found.attr == "open" and is_writing) or found.attr in OWN_WRITES - {"unlink"}


def changes_the_disk(function: ast.AST) -> bool:
    """Return whether *function* itself calls what changes a disk through the port."""
    for call in calls(function):
        found = call.func
        if isinstance(found, ast.Name) and found.id == WRITE_WHOLE:
            return True
        if isinstance(found, ast.Attribute):
            on = found.value
            name = on.id if isinstance(on, ast.Name) else getattr(on, "attr", "")
            if (found.attr in CHANGES and name in {"disk", "_disk"}) or found.attr == WRITE_WHOLE:
                return True
            if found.attr == "create" and isinstance(on, ast.Call):
                return True
    return False


def storing_functions() -> set[str]:
    return {
        f"{name}:{node.name}"
        for name, tree in sources()
        if name not in {PORT, HEEDS}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and changes_the_disk(node)
    }


def beginnings() -> Iterator[World]:
    return (begin(story, a_kit(), seed=1) for story in STORIES.values())


def cut_while_writing_beside() -> Iterator[World]:
    """Yield worlds whose recovery finds a file half made, as the second cuts of a sweep do."""
    world = begin(STORIES["update"], a_kit(), seed=1)
    points: list[World] = []

    def watch(op: Op) -> None:
        if op.kind == "pwrite" and op.path.endswith(".tmp"):
            points.append(world.fork())

    world.disk.watch = watch
    assert Box(world).live() is None
    return (point.after_cut(Kept.ALL, Random(0)) for point in points)


@cache
def swept() -> tuple[frozenset[str], frozenset[str]]:
    """Return the functions of the agent that changed a disk in a story, and the paths."""
    codes: set[CodeType] = set()
    paths: set[str] = set()

    def watch(op: Op) -> None:
        paths.update({storage_path(op.path), storage_path(op.to)} if op.to else {op.path})
        frame = sys._getframe(1)
        while frame.f_back is not None:
            codes.add(frame.f_code)
            frame = frame.f_back

    with remembering():
        for world in (*beginnings(), *cut_while_writing_beside()):
            world.disk.watch = watch
            assert Box(world).live() is None
    files = [(Path(code.co_filename), code.co_name) for code in codes]
    functions = {
        f"{path.relative_to(AGENT)}:{name}" for path, name in files if path.is_relative_to(AGENT)
    }
    return frozenset(functions), frozenset(map(storage_path, paths))


def test_only_the_port_and_who_may_write_files() -> None:
    found = {name for name, tree in sources() if any(map(writes_by_itself, calls(tree)))}

    assert found - {PORT} == BY_THEMSELVES.keys()


def test_every_function_that_changes_the_disk_is_cut_by_the_sweep() -> None:
    functions, _ = swept()

    assert storing_functions() - functions == NOT_IN_A_STORY.keys()


def test_every_path_that_the_agent_names_is_cut_by_the_sweep() -> None:
    read_only = {"data/config.toml", "boot/hardware.toml", "data/room", "data/claim-token"}
    read_only |= {"data/customer-pin", "data/self-test.tmp"}
    of_actions = {"data/acting", "data/overrides.json", "data/boots.json"}
    named = {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("data/", "boot/", "slots/"))
        and "{" not in node.value
    }
    _, paths = swept()

    never = {
        path
        for path in named - read_only - of_actions
        if path.rstrip("/") and not any(one.startswith(path) for one in paths)
    }
    assert never == set()


def test_what_is_stored_and_trusted_imports_no_clock_dice_disk_socket_or_thread() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {one["name"]: one for one in project["tool"]["importlinter"]["contracts"]}
    contract = contracts["what a box stores and trusts goes through ports"]
    forbidden = set(contract["forbidden_modules"])
    acting = {
        "trust/command.py": "an engineer's command",
        "trust/__init__.py": "empty",
    }
    stores = {
        name.removesuffix(".py").replace("/", ".")
        for name, _ in sources()
        if name.startswith("trust/") and name not in acting
    }

    checked = {name.removeprefix("oleada_agent.") for name in contract["source_modules"]}
    assert {"journal", "outbox", "slots", "commands", "shell"} | stores <= checked
    for name, tree in sources():
        if name.removesuffix(".py").replace("/", ".") in checked:
            assert imports(tree) & forbidden == set(), name


def test_a_function_that_no_story_reaches_would_be_named() -> None:
    tree = ast.parse("def keep(disk):\n    disk.create('data/new')\n")

    assert changes_the_disk(tree.body[0])
    assert any(map(writes_by_itself, calls(ast.parse("open('x', 'wb')"))))
    assert any(map(writes_by_itself, calls(ast.parse("path.write_bytes(data)"))))
    assert not any(map(writes_by_itself, calls(ast.parse("open('x', 'rb')"))))
