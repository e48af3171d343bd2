"""A real worker that stops itself (SIGSTOP) just before it writes certain bytes to the broker.

``python -m tests.support.pausing_worker WORD``; the settings are in the environment, as
``oleada worker`` has them. The row is read, the packet is made and stands in the buffer of
the connection: nothing is between it and the socket any more.
"""

import os
import signal
import sys

from oleada_server import config as settings
from oleada_server import logs, worker
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.db import db
from oleada_server.messaging.connection import Connection


def main(word: bytes) -> None:
    """Run until SIGTERM."""
    flush = Connection.flush
    seen: list[bytes] = []

    def paused(self: Connection) -> bool:
        if not seen and word in bytes(self._outbound):
            seen.append(word)
            os.kill(os.getpid(), signal.SIGSTOP)
        return flush(self)

    Connection.flush = paused  # type: ignore[method-assign] # the one place to stop at
    config = settings.load()
    logs.configure("info")
    app = create_app(config, WITHOUT_PAGES)
    worker.run(app, app.extensions["oleada_config"], "paused")
    with app.app_context():
        db.engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1].encode())
