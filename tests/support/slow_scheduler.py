"""A real scheduler whose one tick stops in its middle for as long as a file is there.

``python -m tests.support.slow_scheduler FOLDER``; the settings are in the environment, as
``oleada scheduler`` has them. The tick does what is not done yet: it reads, writes ``<pid>``
into ``FOLDER/middle``, waits while ``FOLDER/hold`` is there, then writes and commits.
"""

import os
import sys
from datetime import datetime
from pathlib import Path

from oleada_server import clock, logs, scheduler
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db, read_only
from oleada_server.messaging.models import Counter
from oleada_server.messaging.service import next_number
from sqlalchemy import select

DONE = "the work"
FEW_MS = 0.02


def main(folder: Path) -> None:
    """Run until SIGTERM."""
    config = settings.load()
    logs.configure("info")
    app = create_app(config, WITHOUT_PAGES)

    def work(now: datetime) -> None:
        read_only()
        if db.session.scalar(select(Counter.value).where(Counter.name == DONE)):
            return
        is_sqlite = db.session.get_bind().dialect.name == "sqlite"
        db.session.rollback()
        if not is_sqlite:  # there a write would lock every other process out meanwhile
            next_number(DONE)
        (folder / "middle").write_text(str(os.getpid()))
        while (folder / "hold").exists():
            clock.wait_s(FEW_MS)
        if is_sqlite:
            next_number(DONE)
        db.session.commit()

    with app.app_context():
        scheduler.run(app, (scheduler.Tick("work", 0.5, work),))
        db.session.remove()
        db.engine.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
