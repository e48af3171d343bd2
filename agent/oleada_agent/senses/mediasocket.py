"""The media player's socket: one JSON object a line, bounded (docs/reference/media-socket.md).

The player is another program, perhaps another firm's, and is not believed: a line that is
too long, not JSON or late ends the conversation with an error.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from oleada_agent import clock
from oleada_agent.errors import AgentError

VERSION: Final = 1
FOLDER: Final = "run"
NAME: Final = "media.sock"
LINE_BYTES_MAX: Final = 64 * 1024
PIECE_BYTES: Final = 16 * 1024


class MediaError(AgentError):
    """The media player does not answer, or not as was agreed."""

    code = "media"


def is_there(box: Path) -> bool:
    """Return whether the media player of *box* has a socket."""
    return (box / FOLDER / NAME).is_socket()


class Conversation:
    """One connection to the media player, until *until_ms* by the steady clock."""

    def __init__(self, sock: socket.socket, until_ms: int) -> None:
        self._sock = sock
        self._until_ms = until_ms
        self._buffer = bytearray()

    def ask(self, what: str, arguments: dict[str, Any] | None = None) -> None:
        """Send the question *what*.

        Raises:
            MediaError: it can not be sent in time.
        """
        asked = {"v": VERSION, "ask": what, "arguments": arguments or {}}
        self._set_timeout()
        try:
            self._sock.sendall(json.dumps(asked).encode() + b"\n")
        except OSError as error:
            raise MediaError(f"The media player does not listen: {error}.") from error

    def line(self) -> dict[str, Any]:
        """Return the next object that the player says.

        Raises:
            MediaError: none came in time, or what came is none.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise MediaError(f"The media player says more than {LINE_BYTES_MAX} bytes a line.")
            self._receive()
        text = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            found = json.loads(text) if len(text) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("v") != VERSION:
            raise MediaError("The media player says something that was not agreed.")
        return found

    def bytes(self, size_bytes: int) -> bytes:
        """Return the next *size_bytes* that the player sends.

        Raises:
            MediaError: they did not come in time.
        """
        while len(self._buffer) < size_bytes:
            self._receive()
        found = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return found

    def _receive(self) -> None:
        self._set_timeout()
        try:
            data = self._sock.recv(PIECE_BYTES)
        except OSError as error:
            raise MediaError(f"The media player does not answer: {error}.") from error
        if not data:
            raise MediaError("The media player hung up.")
        self._buffer += data

    def _set_timeout(self) -> None:
        left_ms = self._until_ms - clock.steady_ms()
        if left_ms <= 0:
            raise MediaError("The media player takes too long.")
        self._sock.settimeout(left_ms / 1000)


@contextmanager
def talk(box: Path, timeout_ms: int) -> Iterator[Conversation]:
    """Hold a conversation with the media player of *box*, *timeout_ms* at most.

    Raises:
        MediaError: it has no socket, or does not take the call.
    """
    until_ms = clock.steady_ms() + timeout_ms
    folder = -1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            # By the folder's descriptor: a whole path may be longer than a socket's name may.
            folder = os.open(box / FOLDER, os.O_PATH | os.O_DIRECTORY)
            sock.settimeout(timeout_ms / 1000)
            sock.connect(f"/proc/self/fd/{folder}/{NAME}")
        except OSError as error:
            raise MediaError(f"The media player has no socket: {error}.") from error
        finally:
            if folder >= 0:
                with suppress(OSError):
                    os.close(folder)
        yield Conversation(sock, until_ms)
