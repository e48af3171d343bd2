"""A pytest session that judges mutants: tests are collected once, each mutant has a child.

First the tests run as they are, in a child that notes which of them runs which line of a
mutated file. A mutant of a function's body is then judged by a fork of this process, in
which the code of the living function is exchanged; the tests that run its line go first,
the quickest first, then the rest of their files, until one fails.

A child that uses far more processor time than the tests need, or waits far longer, is
ended, and counts as a timeout.
"""

import gc
import json
import os
import resource
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from oleada_lab.mutation.mutants import Mutant, mutated

KILLED: Final = "killed"
TIMEOUT: Final = "timeout"
SURVIVED: Final = "survived"
INVALID: Final = "invalid"
OTHERWISE: Final = "otherwise"
"""This mutant can not be judged in a living process: it needs one of its own."""
_STATUS: Final = {0: SURVIVED, 1: KILLED, 2: INVALID, 3: OTHERWISE}
Child = tuple[Mutant, list[str], int]
"""Whom a child judges, with which tests, and where it says the number of the one that failed."""
CPU_FACTOR: Final = 8
WALL_FACTOR: Final = 10


@dataclass(slots=True)
class Known:
    """What the clean run has taught: per test its processor time and the lines it runs."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def judges(self, mutant: Mutant, files: Sequence[str], kills: Mapping[str, int]) -> list[str]:
        """Return the tests that may notice *mutant*, in the order in which they are asked.

        First who runs its line; of these, first who has killed most for the time it takes.
        """

        def dear(test: str) -> float:
            return (self.cpu_s[test] + 0.002) / (kills.get(test, 0) + 0.5)

        tests = [test for test in self.cpu_s if test.partition("::")[0] in files]
        if not mutant.function:
            return sorted(tests, key=dear)
        wanted = range(mutant.lines[0], mutant.lines[1] + 1)
        direct = {
            test for test in tests
            if any(line in wanted for line in self.lines[test].get(mutant.file, ()))
        }  # fmt: skip
        # What a test has cached, the next one of its file does not run again.
        beside = {test.partition("::")[0] for test in direct}
        near = [test for test in tests if test.partition("::")[0] in beside]
        return sorted(near, key=lambda test: (test not in direct, dear(test)))


Judged = Callable[[Mutant, str, str], None]
"""Called with a mutant, its status, and the test that killed it or \"\"."""


class Session:
    """The plugin.

    Args:
        work: Mutants of functions, each with the test files that may judge it.
        judged: Is told of each mutant.
        learnt: Is given the fields of what was learnt, before the first mutant.
    """

    def __init__(
        self,
        root: Path,
        sources: Mapping[str, str],
        work: Sequence[tuple[Mutant, Sequence[str]]],
        *,
        judged: Judged,
        children: int,
        patience_s: int,
        learnt: Callable[..., None],
    ) -> None:
        self._root = root
        self._sources = sources
        self._work = work
        self._judged = judged
        self._children = children
        self._patience_s = patience_s
        self._learnt = learnt
        self._items: dict[str, pytest.Item] = {}
        self._kills: Counter[str] = Counter()
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        self.known = Known()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        self._items = {item.nodeid: item for item in session.items}
        if session.testsfailed:
            raise session.Failed("the tests can not be collected")
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] # children share it
        files = {mutant.file for mutant, _ in self._work}
        self.known = _in_child(lambda: _learn(session.items, self._root, files))
        self._learnt(**asdict(self.known))
        if not self.known.failed:
            self._functions = _living_functions({str(self._root / file) for file in files})
            gc.freeze()
            self._judge_all()
        return True

    def _judge_all(self) -> None:
        running: dict[int, Child] = {}
        for mutant, files in self._work:
            judges = self.known.judges(mutant, files, self._kills)
            if not judges:
                self._judged(mutant, SURVIVED, "")
                continue
            if len(running) >= self._children:
                self._reap(running)
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._child(mutant, judges, write)
            os.close(write)
            running[pid] = (mutant, judges, read)
        while running:
            self._reap(running)

    def _reap(self, running: dict[int, Child]) -> None:
        mutant, status, by = reap(running)
        self._kills[by] += 1
        self._judged(mutant, status, by)

    def _child(self, mutant: Mutant, judges: list[str], write: int) -> None:
        """Judge one mutant and end the process."""
        status = 3
        try:
            be_quiet()
            limit(sum(self.known.cpu_s[test] for test in judges), self._patience_s)
            status = self._exchange(mutant)
            if status == 0:
                status = self._run(judges, write)
        except BaseException:
            os._exit(1)  # what a test lets through: pytest itself has failed
        os._exit(status)

    def _exchange(self, mutant: Mutant) -> int:
        """Give the living function the mutant's code; return 0, or a status of the child."""
        path = str(self._root / mutant.file)
        try:
            tree = mutated(self._sources[mutant.file], mutant)
            compiled = compile(tree, path, "exec")
        except SyntaxError:
            return 2
        codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compiled)}
        found = 0
        for (file, name, line), functions in self._functions.items():
            if file != path or name != mutant.function or (name, line) not in codes:
                continue
            for function in functions:
                if function.__code__.co_freevars != codes[name, line].co_freevars:
                    return 3
                function.__code__ = codes[name, line]
                found += 1
        return 0 if found else 3

    def _run(self, judges: list[str], write: int) -> int:
        items = [self._items[name] for name in judges]
        for number, (item, following) in enumerate(zip(items, [*items[1:], None], strict=True)):
            reports = runtestprotocol(item, log=False, nextitem=following)
            if any(report.failed for report in reports):
                os.write(write, str(number).encode())
                return 1
        return 0


def reap(running: dict[int, Child]) -> tuple[Mutant, str, str]:
    """Wait for one child of *running*; return its mutant, the verdict, and the test that killed."""
    pid, status = os.wait()
    mutant, judges, read = running.pop(pid)
    with os.fdopen(read) as pipe:
        at = pipe.read()
    return mutant, verdict(status), judges[int(at)] if at else ""


def verdict(status: int) -> str:
    """Return what a child's wait *status* says of its mutant."""
    if os.WIFSIGNALED(status):
        return TIMEOUT if os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGALRM} else KILLED
    return _STATUS.get(os.WEXITSTATUS(status), KILLED)


def be_quiet() -> None:
    """Let this process say nothing."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def limit(clean_cpu_s: float, patience_s: int) -> None:
    """End this process when it takes *patience_s* and far more than the tests' *clean_cpu_s*."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    cpu_s = patience_s + int(CPU_FACTOR * clean_cpu_s)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 10))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(60 + WALL_FACTOR * cpu_s)


def _learn(items: Sequence[pytest.Item], root: Path, files: set[str]) -> Known:
    names = {str(root / file): file for file in files}
    known = Known()
    for item, following in zip(items, [*items[1:], None], strict=True):
        seen: dict[str, set[int]] = defaultdict(set)
        began = _cpu_s()
        sys.settrace(_tracer(names, seen))
        try:
            reports = runtestprotocol(item, log=False, nextitem=following)
        finally:
            sys.settrace(None)
        known.cpu_s[item.nodeid] = round(_cpu_s() - began, 4)
        known.lines[item.nodeid] = {file: sorted(lines) for file, lines in seen.items()}
        known.failed += [f"{item.nodeid}: {one.longreprtext}" for one in reports if one.failed]
    return known


def _tracer(names: dict[str, str], seen: dict[str, set[int]]) -> Any:
    def called(frame: FrameType, _event: str, _argument: object) -> Any:
        file = names.get(frame.f_code.co_filename)
        if file is None:
            return None
        lines = seen[file]
        lines.add(frame.f_lineno)

        def traced(inner: FrameType, _event: str, _argument: object) -> Any:
            lines.add(inner.f_lineno)
            return traced

        return traced

    return called


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _in_child(work: Callable[[], Known]) -> Known:
    """Return what *work* returns in a fork, so that this process stays as it is."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = work()
        with os.fdopen(write, "w") as pipe:
            json.dump([found.cpu_s, found.lines, found.failed], pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return Known(*json.loads(text)) if text else Known(failed=["the clean run died"])


def _living_functions(files: set[str]) -> dict[tuple[str, str, int], list[FunctionType]]:
    found: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in files:
            code = thing.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(thing)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
