"""A reader of server-sent events, as small as it can be."""

import http.client
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from oleada_server.accounts.access import SESSION_COOKIE


@dataclass(frozen=True, slots=True)
class Event:
    """One event: *name* is empty for what is swapped into the page."""

    name: str
    id: str
    text: str


class Reader:
    """Reads one stream; leaves it at the end of ``with``."""

    def __init__(self, address: str, path: str, secret: str, last_id: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        headers = {"Cookie": f"{SESSION_COOKIE}={secret}"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.content_type = self._answer.headers["Content-Type"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answer.close()
        self._connection.close()

    def next(self) -> Event:
        """Return the next event; waits at most 60 seconds."""
        fields: dict[str, list[str]] = {}
        while line := self._answer.readline().decode().rstrip("\n"):
            key, _, value = line.partition(": ")
            fields.setdefault(key.rstrip(":"), []).append(value)
        return Event(
            name="".join(fields.get("event", [])),
            id="".join(fields.get("id", [])),
            text="\n".join(fields.get("data", [])),
        )

    def next_news(self) -> Event:
        """Return the next event that is no heartbeat; among the next five."""
        for _ in range(5):
            if (event := self.next()).name != "beat":
                return event
        raise AssertionError("nothing but heartbeats")
