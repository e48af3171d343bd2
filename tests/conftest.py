"""The order of the whole suite, what takes longest first, its thrift and its last words.

The workers take one file after another, so a long file that begins last keeps one of
them busy while the others have nothing left to do. A new place of long tests belongs in
one of these lists: what mostly waits for processes, and what computes.
"""

import gc
from collections.abc import Iterator
from typing import Final

import pytest
from xdist.remote import Producer

from tests.support import not_run
from tests.support.bytecode import compile_a_part
from tests.support.databases import cluster, postgresql_template, sqlite_template
from tests.support.lanes import Lanes
from tests.support.thrift import thrift

__all__ = ["cluster", "postgresql_template", "sqlite_template"]

MOSTLY_WAITING: Final = (
    "tests/e2e/test_demo.py",
    "tests/e2e/test_real_firmware.py",
    "tests/backup/test_worst_day.py",
    "tests/e2e/",
    "tests/lab/chaos/test_short_chaos.py",
    "tests/outages/",
    "tests/lab/clinic/",
    "tests/lab/proc/test_proc_story.py",
    "tests/lab/storm/test_storms.py",
    "tests/server/up/",
    "tests/lab/boxes/test_operator.py",
    "tests/agent/edge/test_service.py",
    "tests/server/releases/test_real_server.py",
)
COMPUTING: Final = (
    "tests/lab/sweep/",
    "tests/lab/sim/",
    "tests/web/",
    "tests/backup/",
    "tests/lab/",
    "tests/doors/",
    "tests/server/rollouts/test_ticking.py",
)
GARBAGE_AFTER: Final = 20_000
"""Things made and not given back; Python's own 700 costs a fortieth of the suite."""
LONGEST_FIRST: Final = MOSTLY_WAITING + COMPUTING


@pytest.fixture(scope="session", autouse=True)
def _thrift() -> Iterator[None]:
    """What every test would pay again is paid once in this process."""
    with thrift():
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes | None:
    """Let two workers take what waits while the others compute."""
    return Lanes(config, log, MOSTLY_WAITING) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Look for no garbage among thousands of tests that stay until the end."""
    gc.disable()
    compile_a_part(session.config)


def pytest_collection_finish() -> None:
    """Look for garbage again, and never among what stays, nor after each few hundred things."""
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the order within a file."""
    items.sort(key=lambda item: _rank(item.nodeid))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what this machine could not run, and what to type."""
    if found := not_run.lines(terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("NOT RUN ON THIS MACHINE", red=True, bold=True)
        for line in found:
            terminalreporter.line(line, red=True)


def _rank(name: str) -> int:
    found = (rank for rank, place in enumerate(LONGEST_FIRST) if name.startswith(place))
    return next(found, len(LONGEST_FIRST))
