"""The REST client of the command line: ``OLEADA_URL`` and ``OLEADA_TOKEN``, or this machine's.

``oleada init`` leaves ``cli.json`` (mode 0600) in the data directory, so that on the
server's own machine commands need neither. Standard library only.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from oleada_server.errors import ServerError

LOGIN_FILE: Final = "cli.json"
TIMEOUT_S: Final = 60
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class NoServerError(ServerError):
    """It is not known which server to ask, or it can not be reached."""

    code = "no-server"


class RefusedError(ServerError):
    """The server refused; the message is the server's own sentence.

    Attributes:
        problem: The problem+json object of the answer; empty if it was none.
    """

    def __init__(self, status: int, problem: dict[str, Any], text: str) -> None:
        super().__init__(str(problem.get("detail") or text))
        self.status = status
        self.code = str(problem.get("code") or "refused")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one server's REST API as the owner of one token.

    Attributes:
        url: Address of the console, without a slash at its end.
        token: An API token.
    """

    url: str
    token: str

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that *path* (``/api/v1/…``) answers; None in *query* is left out.

        Raises:
            NoServerError: nobody answers.
            RefusedError: the server says no.
        """
        found = {key: value for key, value in (query or {}).items() if value not in (None, ())}
        spelt = f"?{urllib.parse.urlencode(found, doseq=True)}" if found else ""
        return self._ask("GET", path + spelt, None, {})

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        """Return the JSON that *path* answers to *body*; see :meth:`get` for errors."""
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return self._ask("POST", path, json.dumps(body or {}).encode(), headers)

    def upload(self, path: str, file: IO[bytes], size_bytes: int, content_type: str) -> Any:
        """Return the JSON that *path* answers to *file*, which is streamed."""
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return self._ask("POST", path, file, headers)

    def _ask(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked where it is read
            self.url + path,
            data=body,
            method=method,
            headers={**headers, "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                text = answer.read(ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from error
        except OSError as error:
            raise NoServerError(
                f"{self.url} does not answer ({error}); start it with `oleada up`, or set "
                "OLEADA_URL to the server's address."
            ) from error
        return json.loads(text) if text else None


def connect(environ: Mapping[str, str] = os.environ) -> Client:
    """Return a client for the server that *environ* or the data directory names.

    Raises:
        NoServerError: neither does.
    """
    directory = Path(environ.get("OLEADA_DATA_DIR") or "var/oleada")
    login = read_login(directory)
    url = environ.get("OLEADA_URL") or login.get("url", "")
    token = environ.get("OLEADA_TOKEN") or login.get("token", "")
    if not url.startswith(("http://", "https://")) or not token:
        raise NoServerError(
            "No server to ask: set OLEADA_URL and OLEADA_TOKEN, or set OLEADA_DATA_DIR to the "
            "data directory of the server on this machine."
        )
    return Client(url.rstrip("/"), token)


def read_login(directory: Path) -> dict[str, str]:
    """Return *url* and *token* as ``oleada init`` left them in *directory*; empty if not."""
    path = directory / LOGIN_FILE
    if not path.exists():
        return {}
    found: dict[str, str] = json.loads(path.read_text())
    return found


def write_login(directory: Path, url: str, token: str) -> None:
    """Leave *url* and *token* for the command line in *directory*, readable by its owner."""
    path = directory / LOGIN_FILE
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": url, "token": token}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _refused(error: urllib.error.HTTPError) -> RefusedError:
    text = error.read(64 * 1024).decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    return RefusedError(
        error.code, found if isinstance(found, dict) else {}, text or str(error.reason)
    )
