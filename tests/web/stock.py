"""What every app of the tests holds, made once and copied: its database, its templates."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from jinja2.bccache import Bucket, BytecodeCache
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.clock import now_utc
from oleada_server.config import Config
from oleada_server.db import db

from tests.web.sample import Sample, add_people, fill

FRESH: timedelta = timedelta(minutes=1)
"""What is older is made anew: pages say how long ago something was."""


class Compiled(BytecodeCache):
    """Compiled templates in memory; Jinja names them by their text."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give *bucket* what was compiled of the same template."""
        if (found := self._held.get((bucket.key, bucket.checksum))) is not None:
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        self._held[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


class Stock:
    """Databases of this minute."""

    def __init__(self, empty: Path, folders: pytest.TempPathFactory) -> None:
        self._empty = empty
        self._folders = folders
        self._people: tuple[datetime, Path, dict[str, str]] | None = None
        self._filled: tuple[datetime, Path, dict[str, str], Sample] | None = None

    def copy_people(self, config: Config) -> dict[str, str]:
        """Give *config* a database with people; return their links' tokens by name."""
        now = now_utc()
        if self._people is None or now - self._people[0] > FRESH:
            made = self._begun()
            app = create_app(made, WITHOUT_PAGES)
            with app.app_context():
                tokens = add_people(now)
                db.session.remove()
                db.engine.dispose()
            self._people = now, made.data_dir / "oleada.db", tokens
        shutil.copy(self._people[1], config.data_dir / "oleada.db")
        return self._people[2]

    def copy_sample(self, config: Config) -> tuple[dict[str, str], Sample]:
        """Give *config* a database with people, boxes and rollouts; return tokens and sample."""
        now = now_utc()
        if self._filled is None or now - self._filled[0] > FRESH:
            made = self._begun()
            tokens = self.copy_people(made)
            app = create_app(made, WITHOUT_PAGES)
            with app.app_context():
                sample = fill(now)
                db.session.remove()
                db.engine.dispose()
            self._filled = now, made.data_dir / "oleada.db", tokens, sample
        shutil.copy(self._filled[1], config.data_dir / "oleada.db")
        return self._filled[2], self._filled[3]

    def _begun(self) -> Config:
        home = self._folders.mktemp("stock") / "oleada"
        home.mkdir()
        shutil.copy(self._empty, home / "oleada.db")
        return settings.load(home, {})
