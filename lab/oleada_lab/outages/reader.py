"""A person with the console open: signed in, reads pages, and keeps a live page open."""

import http.client
import re
import threading
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from oleada_lab.errors import LabError

TIMEOUT_S: Final = 60.0
_CSRF: Final = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the console."""

    status: int
    text: str
    retry_after: str


class Reader:
    """Somebody in front of the console of the server at *address*."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._host = urlsplit(address).netloc
        self._cookies: dict[str, str] = {}

    def sign_in(self, link: str) -> None:
        """Open the one-time *link* and press its button.

        Raises:
            LabError: The link does not work.
        """
        path = urlsplit(link).path
        found = _CSRF.search(self.get(path).text)
        answer = self._ask("POST", path, f"csrf_token={found[1]}" if found else "")
        if answer.status != 303:
            raise LabError(f"The sign-in link answered {answer.status}.")

    def get(self, path: str) -> Page:
        """Return the page at *path*, with plain blanks."""
        return self._ask("GET", path)

    def watch(self, path: str) -> "Stream":
        """Return the live page at *path*, open."""
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        connection.request("GET", path, headers=self._headers())
        return Stream(connection)

    def _ask(self, method: str, path: str, body: str | None = None) -> Page:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        headers = self._headers()
        if body is not None:
            headers |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Referer": f"{self._address}{path}",
            }
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie", []):
                name, _, rest = cookie.partition("=")
                self._cookies[name] = rest.partition(";")[0]
            text = answer.read().decode(errors="replace").replace("\u00a0", " ")
            return Page(answer.status, text, answer.headers.get("Retry-After", ""))
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}


class Stream:
    """A live page that is open; counts the beats that it shows."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer = connection.getresponse()
        self.beats = 0
        self.has_ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the page."""
        if self._connection.sock is not None:
            self._connection.sock.close()
        self._answer.close()
        self._connection.close()
        self._thread.join(TIMEOUT_S)

    def _read(self) -> None:
        try:
            while line := self._answer.readline():
                self.beats += line.startswith(b"event: beat")
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass  # closed, by us or by the server
        self.has_ended = True
