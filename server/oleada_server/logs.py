"""Logs: one JSON object a line on standard error; ``oleada up`` keeps them in files.

A fleet can say the same thing a hundred thousand times: a sentence is told some times a
minute, and the last of them says so.
"""

import logging
import sys
import threading
from collections import Counter
from typing import Final

import structlog

ALIKE_MAX: Final = 20
"""Lines of one sentence, whatever is put into it, in a minute."""

PROCESSORS: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class Bounded(logging.Filter):
    """Lets each sentence through :data:`ALIKE_MAX` times a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._minute = 0
        self._alike: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is told; the last one that is says that more may follow."""
        sentence = (record.name, str(record.msg))
        with self._lock:
            if (minute := int(record.created // 60)) != self._minute:
                self._minute = minute
                self._alike.clear()
            self._alike[sentence] += 1
            number = self._alike[sentence]
        if number == ALIKE_MAX:
            record.msg = f"{record.getMessage()} (more like this are not logged in this minute)"
            record.args = None
        return number <= ALIKE_MAX


def configure(level: str) -> None:
    """Send the records of every library to standard error, from *level* on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Bounded())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=PROCESSORS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It warns each time that a tick still waits, once a second while the database is away.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
