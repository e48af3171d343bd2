"""A mutant judged in a process that imports the mutated module from the start.

For what runs at import (constants, defaults, class bodies), where there is no living
function whose code could be exchanged, and to look twice at whatever survived so.
The process is a fork of one that has imported nothing of the code that is mutated.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pytest

from oleada_lab.mutation.mutants import Mutant, mutated
from oleada_lab.mutation.session import be_quiet, limit

START_CPU_S: Final = 10
"""What importing and collecting may take besides."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module with a fault in it."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._mutated = code

    def get_code(self, fullname: str) -> CodeType:
        """Return the mutated code, whatever the name."""
        return self._mutated


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutated module before anybody else does."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, str(path), code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's specification when it is the one."""
        if fullname != self._name:
            return None
        loader = _Loader(fullname, self._path, self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Only:
    """The plugin that leaves the chosen tests, in their order, and notes which one failed."""

    def __init__(self, judges: Sequence[str], write: int) -> None:
        self._order = {name: number for number, name in enumerate(judges)}
        self._write = write

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the chosen tests."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order),
            key=lambda item: self._order[item.nodeid],
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell which test failed."""
        if report.failed:
            os.write(self._write, str(self._order[report.nodeid]).encode())


@dataclass(frozen=True, slots=True)
class Task:
    """One mutant to judge: its module's name and text, the tests in order, their clean CPU time."""

    root: Path
    module: str
    source: str
    mutant: Mutant
    judges: Sequence[str]
    clean_cpu_s: float
    patience_s: int
    options: Sequence[str]


def judge(task: Task) -> tuple[int, int]:
    """Fork a child for *task*; return its process id and a pipe with the number of the killer."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    status = 1
    try:
        be_quiet()
        limit(task.clean_cpu_s, task.patience_s + START_CPU_S)
        status = _judge(task, write)
    finally:
        os._exit(status)


def _judge(task: Task, write: int) -> int:
    path = task.root / task.mutant.file
    try:
        code = compile(mutated(task.source, task.mutant), str(path), "exec")
    except SyntaxError:
        return 2
    sys.meta_path.insert(0, _Finder(task.module, path, code))
    files = list(dict.fromkeys(name.partition("::")[0] for name in task.judges))
    plugins = [_Only(task.judges, write)]
    ended = pytest.main([*task.options, "-x", *files], plugins=plugins)
    return 0 if ended == pytest.ExitCode.OK else 1
