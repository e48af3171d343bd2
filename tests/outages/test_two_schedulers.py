"""Two schedulers, one paused in the middle of a tick and woken: no work is done twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.config import Config
from oleada_server.db import db, read_only
from oleada_server.messaging.models import Counter
from sqlalchemy import select

from tests.support.broker import wait_until
from tests.support.slow_scheduler import DONE

pytestmark = pytest.mark.real
LIMIT_S = 90.0


class Running:
    """A scheduler that runs, and what it says."""

    def __init__(self, config: Config, folder: Path, name: str) -> None:
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.slow_scheduler", str(folder)],
                env={
                    **os.environ,
                    "OLEADA_DATA_DIR": str(config.data_dir),
                    "OLEADA_DATABASE_URL": config.database_url,
                },
                cwd=Path(__file__).parents[2],
                stderr=log,
            )

    def says(self, words: str) -> bool:
        """Return whether *words* are in its log."""
        assert self.process.poll() is None, self._log.read_text()
        return words in self._log.read_text()


@contextmanager
def _running(config: Config, folder: Path, name: str) -> Iterator[Running]:
    found = Running(config, folder, name)
    try:
        yield found
    finally:
        found.process.send_signal(signal.SIGCONT)
        found.process.terminate()
        found.process.wait(30)


def _done(config: Config) -> int:
    """Return how often the work was done."""
    app = create_app(config, WITHOUT_PAGES)
    with app.app_context():
        read_only()
        found = db.session.scalar(select(Counter.value).where(Counter.name == DONE)) or 0
        db.session.remove()
        db.engine.dispose()
    return found


def test_a_leader_that_was_paused_in_a_tick_can_not_finish_it(
    database_config: Config, tmp_path: Path
) -> None:
    hold, middle = tmp_path / "hold", tmp_path / "middle"
    hold.touch()
    with _running(database_config, tmp_path, "first") as first:
        wait_until(middle.exists, "the first is in the middle of its tick", LIMIT_S)
        first.process.send_signal(signal.SIGSTOP)
        hold.unlink()

        with _running(database_config, tmp_path, "second") as second:
            wait_until(lambda: second.says("leading: True"), "the second leads", LIMIT_S)
            if not database_config.database_url:  # PostgreSQL's waits for the first one's row
                wait_until(lambda: _done(database_config) == 1, "the second did the work", LIMIT_S)
            first.process.send_signal(signal.SIGCONT)

            wait_until(lambda: first.says("took over as scheduler"), "it is refused", LIMIT_S)
            wait_until(lambda: _done(database_config) == 1, "the second did the work", LIMIT_S)
            assert not first.says("Traceback")
            assert not second.says("leading: False")

    assert _done(database_config) == 1
