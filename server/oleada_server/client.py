"""The REST client of the command line: ``OLEADA_URL`` and ``OLEADA_TOKEN``, or this machine's.

``oleada init`` leaves ``cli.json`` (mode 0600) in the data directory, so that on the
server's own machine commands need neither. Standard library only.
"""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from oleada_server.errors import BadInputError, ServerError

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
        second_factor: A code of its owner's authenticator app, for what wants one.
    """

    url: str
    token: str
    second_factor: str = ""

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that *path* (``/api/v1/…``) answers; None in *query* is left out.

        Raises:
            NoServerError: nobody answers.
            RefusedError: the server says no.
        """
        found = {key: value for key, value in (query or {}).items() if value not in (None, ())}
        coded = urllib.parse.urlencode(found, doseq=True, errors="replace")
        spelt = f"?{coded}" if found else ""
        return self._ask("GET", path + spelt, None, {})

    def lines(self, path: str, query: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines that *path* answers, as they come; see :meth:`get` for errors."""
        with self._open("GET", f"{path}?{urllib.parse.urlencode(query)}", None, {}) as answer:
            try:
                for line in answer:
                    yield line.decode(errors="replace").rstrip("\n")
            except (OSError, http.client.HTTPException) as error:
                raise NoServerError(f"{self.url} stopped in the middle ({error}).") from error

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        """Return the JSON that *path* answers to *body*; see :meth:`get` for errors.

        Raises:
            BadInputError: The key can not stand in a header.
        """
        headers = {"Content-Type": "application/json"}
        if idempotency_key is not None:
            if not (idempotency_key.isascii() and idempotency_key.isprintable()):
                raise BadInputError(
                    f"The idempotency key {idempotency_key[:40]!r} can not be sent: write it with "
                    "letters, digits and signs of ASCII."
                )
            headers["Idempotency-Key"] = idempotency_key
        return self._ask("POST", path, json.dumps(body or {}).encode(), headers)

    def upload(self, path: str, file: IO[bytes], size_bytes: int, content_type: str) -> Any:
        """Return the JSON that *path* answers to *file*, which is streamed."""
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return self._ask("POST", path, file, headers)

    def _ask(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> Any:
        try:
            with self._open(method, path, body, headers) as answer:
                text = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise self._is_silent(error) from error
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError) as error:
            raise NoServerError(_stranger(self.url)) from error

    def _open(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        if self.second_factor:
            headers = {**headers, "Oleada-Second-Factor": self.second_factor}
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked where it is read
            self.url + path,
            data=body,
            method=method,
            headers={**headers, "Authorization": f"Bearer {self.token}"},
        )
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error, self.url) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._is_silent(error) from error
        return answer

    def _is_silent(self, error: Exception) -> NoServerError:
        return NoServerError(
            f"{self.url} does not answer ({error}); start it with `oleada up`, or set "
            "OLEADA_URL to the server's address."
        )


def connect(environ: Mapping[str, str] = os.environ) -> Client:
    """Return a client for the server that *environ* or the data directory names.

    Raises:
        NoServerError: neither does.
    """
    url, token = environ.get("OLEADA_URL", ""), environ.get("OLEADA_TOKEN", "")
    if not (url and token):
        login = read_login(Path(environ.get("OLEADA_DATA_DIR") or "var/oleada"))
        url, token = url or login.get("url", ""), token or login.get("token", "")
    if not url.startswith(("http://", "https://")) or not token:
        raise NoServerError(
            "No server to ask: set OLEADA_URL and OLEADA_TOKEN, or set OLEADA_DATA_DIR to the "
            "data directory of the server on this machine."
        )
    code = _checked_token(environ.get("OLEADA_FACTOR_CODE", ""))
    return Client(_checked_url(url), _checked_token(token), code)


def path_of(*parts: str) -> str:
    """Return *parts*, as a person typed them, as the path of an address: ``/R-7/start``."""
    return "".join(f"/{urllib.parse.quote(part, safe='', errors='replace')}" for part in parts)


def read_login(directory: Path) -> dict[str, str]:
    """Return *url* and *token* as ``oleada init`` left them in *directory*; empty if not.

    Raises:
        NoServerError: the file is there and can not be read.
    """
    path = directory / LOGIN_FILE
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise NoServerError(
            f"{path} can not be read ({error.strerror}); ask as the server's user, or set "
            "OLEADA_URL and OLEADA_TOKEN."
        ) from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise NoServerError(f"{path} is damaged; remove it and run `oleada init`.")
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


def _refused(error: urllib.error.HTTPError, url: str) -> RefusedError:
    text = error.read(64 * 1024).decode(errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = {}
    return RefusedError(
        error.code,
        found if isinstance(found, dict) else {},
        f"{_stranger(url)} It says: {error.code} {error.reason}.",
    )


def _stranger(url: str) -> str:
    return f"{url} answers, but not as an Oleada server does; check OLEADA_URL."


def _checked_url(url: str) -> str:
    try:
        found = urllib.parse.urlsplit(url)
        is_one = bool(found.hostname) and found.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise NoServerError(
            f"{url!r} is not the address of a server, such as https://oleada.example:8080; "
            "correct OLEADA_URL."
        )
    return url.rstrip("/")


def _checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise NoServerError(
            "The API token holds blanks or signs that no token has; correct OLEADA_TOKEN."
        )
    return token
