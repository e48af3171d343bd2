"""The fake media player's socket: one question a connection, as the real one's.

``serve`` runs it in a thread of a test or of the lab; the box that it belongs to finds it
under ``run/media.sock``.
"""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from oleada_lab.media.player import NotDoneError, Player

NAME: Final = "media.sock"
VERSION: Final = 1
QUESTION_BYTES_MAX: Final = 64 * 1024
SECRETS: Final = {
    "Device.Services.STBService.1.X_OLEADA_LastErrorCode": "token=tok-from-player-77",
    "Device.Services.STBService.1.Components.DRM.1.Name": "title=A Film Nobody Should Know",
    "Device.Services.STBService.1.X_OLEADA_Version": "02:00:5e:10:00:77",
}


def _odd(value: str) -> bytes:
    name = "Device.Services.STBService.1.X_OLEADA_RestartCount"
    return f'{{"v": 1, "values": {{"{name}": {value}}}, "end": true}}\n'.encode()


def _lines(said: tuple[list[dict[str, Any]], bytes]) -> bytes:
    lines, file = said
    first, *more = [json.dumps({"v": VERSION, **line}).encode() + b"\n" for line in lines]
    return first + file + b"".join(more)


_LIES: Final = {
    "too-long": b'{"v": 1, "values": {"' + b"x" * 200_000 + b'": 1}, "end": true}\n',
    "not-json": b"<html>\n",
    "wrong-version": b'{"v": 2, "values": {}, "end": true}\n',
    "nan": _odd("NaN"),
    "wrong-kinds": _odd('"many"'),
    "huge-file": b'{"v": 1, "values": {}, "file": {"size_bytes": 104857600}}\n',
    "unknown-names": b'{"v": 1, "values": {"Watching": "a film"}, "end": true}\n',
    "secrets": _lines(([{"values": SECRETS, "end": True}], b"")),
}


class Daemon:
    """One player behind its socket.

    Attributes:
        lie: A name of ``LIES``; empty for a player that is well.
    """

    def __init__(self, box: Path, player: Player, lie: str = "") -> None:
        self.player = player
        self.lie = lie
        self._stopping = threading.Event()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = box / "run" / NAME
        folder = os.open(box / "run", os.O_PATH | os.O_DIRECTORY)
        try:
            with suppress(FileNotFoundError):
                self._path.unlink()
            # By the folder's descriptor: a whole path may be longer than a socket's name may.
            self._sock.bind(f"/proc/self/fd/{folder}/{NAME}")
        finally:
            os.close(folder)
        self._sock.listen(4)
        self._thread = threading.Thread(target=self._serve, name="media", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more calls; the socket is gone."""
        self._stopping.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                call, _ = self._sock.accept()
            except OSError:
                return
            with call, suppress(OSError):
                self._answer(call)

    def _answer(self, call: socket.socket) -> None:
        with call.makefile("rb") as stream:
            asked = json.loads(stream.readline(QUESTION_BYTES_MAX))
            if self.lie:
                self._lie(call)
                return
            call.sendall(_lines(self._said(asked)))

    def _said(self, asked: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
        try:
            values, file = self.player.do(str(asked["ask"]), asked.get("arguments", {}))
        except NotDoneError as error:
            return [{"error": error.code, "detail": str(error), "end": True}], b""
        if file:
            return [{"values": values, "file": {"size_bytes": len(file)}}, {"end": True}], file
        private = {"private": list(self.player.watching)} if asked["ask"] == "status" else {}
        return [{"values": values, **private, "end": True}], b""

    def _lie(self, call: socket.socket) -> None:
        if self.lie == "hangs":
            self._stopping.wait()
        while self.lie == "endless" and not self._stopping.is_set():
            call.sendall(b'{"v": 1, "values": {}}\n')
        if said := _LIES.get(self.lie):  # any other one hangs up
            call.sendall(said)


@contextmanager
def serve(box: Path, player: Player | None = None, lie: str = "") -> Iterator[Daemon]:
    """Let a player serve the box in directory *box*."""
    daemon = Daemon(box, player or Player(), lie)
    try:
        yield daemon
    finally:
        daemon.stop()
