"""One image by HTTPS ranges, resumed over any number of cuts; knows nothing of slots.

Runs in a thread of its own and hands over parts as they come; the receiver holds it
back by not asking for more. What the server answers is believed only as far as it can
be checked: a range that was not asked for, another total or a page of HTML (a hotel's
sign-in page) is refused before a byte of it is used.
Source: RFC 9110, 14 (range requests) and 10.2.3 (Retry-After).
"""

import http.client
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from oleada_agent.backoff import Backoff, Below

PART_BYTES: Final = 64 * 1024
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a server or a line that does not do well.

    Attributes:
        attempts_max: Failed requests in a row without progress before giving up.
        backoff_ms: Of the first pause, doubled with each; drawn from 0 to that.
        backoff_max_ms: No pause is longer, but for what Retry-After asks.
        retry_after_max_s: Longer requests to wait are cut to this.
        timeout_s: Of one read from the socket.
        rate_window_ms: The rate is judged over this long.
        rate_bytes_per_s_min: A slower server is hung up on (slow retrieval attack).
        rate_bytes_per_s_max: Limit of the household's line that is used; 0 for none.
    """

    attempts_max: int = 8
    backoff_ms: int = 1_000
    backoff_max_ms: int = 300_000
    retry_after_max_s: int = 3_600
    timeout_s: float = 30.0
    rate_window_ms: int = 60_000
    rate_bytes_per_s_min: int = 1_024
    rate_bytes_per_s_max: int = 0

    def pause_ms(self, failures: int, after_s: int, below: Below) -> int:
        """Return a pause with full jitter, on top of the *after_s* that the server asked for."""
        asked_ms = min(max(after_s, 0), self.retry_after_max_s) * 1000
        backoff = Backoff(self.backoff_ms, self.backoff_max_ms)
        return asked_ms + backoff.pause_ms(failures, below)


class RetryError(Exception):
    """This request did not do; another may.

    Attributes:
        after_s: When the server said to come back; 0 when it did not say.
    """

    def __init__(self, detail: str, after_s: int = 0) -> None:
        super().__init__(detail)
        self.after_s = after_s


class WrongSizeError(Exception):
    """The server's file is not as long as the one that was signed."""


@dataclass(slots=True)
class Stream:
    """One image on its way.

    Args:
        url: Of the whole image; ``https`` (or ``http`` on a bench).
        offset: Where to begin; moves on with each part.
        size_bytes: Of the whole image, as signed.
        context: TLS with the pinned authority; None for ``http``.
        take: Given each part and its offset; may block to hold the stream back.
        stopping: Set from outside to end it.
        steady_ms: A clock that never jumps.
        below: Chance, for the pauses.
    """

    url: str
    offset: int
    size_bytes: int
    context: ssl.SSLContext | None
    take: Callable[[int, bytes], None]
    stopping: threading.Event
    steady_ms: Callable[[], int]
    below: Callable[[int], int]
    patience: Patience = Patience()

    def run(self) -> None:
        """Return when every byte was handed over, or when told to stop.

        Raises:
            WrongSizeError: the server's file has another size.
            RetryError: patience has ended; says what the last answer was.
        """
        failures = 0
        while self.offset < self.size_bytes and not self.stopping.is_set():
            before = self.offset
            try:
                self._request()
            except (OSError, ValueError, http.client.HTTPException, RetryError) as error:
                retry = error if isinstance(error, RetryError) else RetryError(_said(error))
                slow = retry.after_s < 0
                failures = 1 if self.offset > before and not slow else failures + 1
                if failures >= self.patience.attempts_max:
                    raise RetryError(f"Gave up after {failures} attempts: {retry}") from error
                pause_ms = self.patience.pause_ms(failures, retry.after_s, self.below)
                self.stopping.wait(pause_ms / 1000)

    def _request(self) -> None:
        parts = urlsplit(self.url)
        connection = self._connect(parts.hostname or "", parts.port)
        try:
            connection.request(
                "GET",
                parts.path,
                headers={
                    "Range": f"bytes={self.offset}-{self.size_bytes - 1}",
                    "Accept-Encoding": "identity",
                    "User-Agent": "oleada-agent",
                },
            )
            response = connection.getresponse()
            self._check(response)
            self._read(response)
        finally:
            connection.close()

    def _connect(self, host: str, port: int | None) -> "http.client.HTTPConnection":
        if self.context is not None:
            return http.client.HTTPSConnection(
                host, port, timeout=self.patience.timeout_s, context=self.context
            )
        return http.client.HTTPConnection(host, port, timeout=self.patience.timeout_s)

    def _check(self, response: "http.client.HTTPResponse") -> None:
        """Return if the body is exactly the range that was asked for."""
        if response.status not in (200, 206):
            raise RetryError(
                f"The server answered {response.status} {response.reason[:40]}.",
                retry_after_s(response.headers.get("Retry-After", "")),
            )
        kind = response.headers.get_content_type()
        encoding = response.headers.get("Content-Encoding", "identity")
        if kind == "text/html" or encoding != "identity":
            raise RetryError(f"The server answered {kind[:40]}, {encoding[:20]}, not an image.")
        if response.status == 206:
            self._check_range(response.headers.get("Content-Range", ""))
        elif self.offset:
            raise RetryError("The server sent the whole file when a range was asked for.")
        length = response.headers.get("Content-Length", "")
        if length != str(self.size_bytes - self.offset):
            if response.status == 200 and length.isdigit():
                raise WrongSizeError(
                    f"The server's image has {length} bytes; {self.size_bytes} were signed."
                )
            raise RetryError(
                f"The server announced {length[:20] or 'no'} bytes; "
                f"{self.size_bytes - self.offset} were asked for."
            )

    def _check_range(self, text: str) -> None:
        found = _CONTENT_RANGE.fullmatch(text)
        if found is None:
            raise RetryError(f"The server's range {text[:60]!r} can not be read.")
        first, _, total = (int(number) for number in found.groups())
        if total != self.size_bytes:
            raise WrongSizeError(
                f"The server's image has {total} bytes; {self.size_bytes} were signed."
            )
        if first != self.offset:
            raise RetryError(f"The server sent from byte {first}; {self.offset} was asked for.")

    def _read(self, response: "http.client.HTTPResponse") -> None:
        window_at, window_bytes = self.steady_ms(), 0
        while self.offset < self.size_bytes and not self.stopping.is_set():
            part = response.read1(min(PART_BYTES, self.size_bytes - self.offset))
            if not part:
                raise RetryError(
                    f"The connection was cut at byte {self.offset} of {self.size_bytes}."
                )
            handed_at = self.steady_ms()
            self.take(self.offset, part)
            self.offset += len(part)
            self._hold_back(len(part))
            window_at += self.steady_ms() - handed_at  # our own pace is not the server's fault
            window_bytes += len(part)
            passed_ms = self.steady_ms() - window_at
            if passed_ms >= self.patience.rate_window_ms:
                if window_bytes * 1000 < self.patience.rate_bytes_per_s_min * passed_ms:
                    raise RetryError(
                        f"Only {window_bytes} bytes came in {passed_ms} ms; too slow.", after_s=-1
                    )
                window_at, window_bytes = self.steady_ms(), 0

    def _hold_back(self, size_bytes: int) -> None:
        if self.patience.rate_bytes_per_s_max:
            self.stopping.wait(size_bytes / self.patience.rate_bytes_per_s_max)


def retry_after_s(text: str) -> int:
    """Return the delay that Retry-After asks for; 0 for a date, which needs a right clock."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
