"""A form with one large file, read as it arrives: the fields first, then the file's bytes.

Nothing of the file is kept in memory or put on a disk before its reader asks for it;
fields that stand behind the file are not seen. Works with a plain HTML form.
"""

from collections.abc import Callable
from typing import Final

from flask import Request
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    Preamble,
)

from oleada_server.errors import BadInputError

CHUNK_BYTES: Final = 256 * 1024
FIELD_BYTES_MAX: Final = 8 * 1024
"""Of all fields before the file together: a form token and a few words."""


class FormWithFile:
    """The fields before the file of a multipart form, and the file as a stream.

    Attributes:
        fields: By name, as text.
        file_name: As the browser gave it; empty when no file was chosen.

    Raises:
        BadInputError: The request is no such form.
    """

    def __init__(self, request: Request) -> None:
        boundary = request.mimetype_params.get("boundary", "")
        if request.mimetype != "multipart/form-data" or not boundary:
            raise BadInputError("A form with a file was expected.", "bundle")
        self._decoder = MultipartDecoder(boundary.encode("latin-1", "replace"))
        self._read: Callable[[int], bytes] = request.stream.read
        self._waiting = b""
        self._ended = False
        self.fields: dict[str, str] = {}
        self.file_name = ""
        self._read_fields()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes of the file, empty at its end."""
        while not self._waiting and not self._ended:
            self._take_event()
        if size < 0:
            found = bytearray(self._waiting)
            self._waiting = b""
            while chunk := self.read(CHUNK_BYTES):
                found += chunk
            return bytes(found)
        found_now, self._waiting = self._waiting[:size], self._waiting[size:]
        return found_now

    def drain(self) -> None:
        """Read the rest and forget it, so that the browser reads the answer."""
        while self._read(CHUNK_BYTES):
            pass
        self._ended, self._waiting = True, b""

    def _read_fields(self) -> None:
        name, size = "", 0
        while True:
            match self._next_event():
                case Field(name=name):
                    self.fields[name] = ""
                case Data(data=data) if name:
                    size += len(data)
                    if size > FIELD_BYTES_MAX:
                        raise BadInputError("A field of the form is too long.", "bundle")
                    self.fields[name] += data.decode("utf-8", "replace")
                case File(filename=file_name):
                    self.file_name = file_name or ""
                    return
                case Epilogue() | None:
                    self._ended = True
                    return
                case _:
                    pass

    def _take_event(self) -> None:
        match self._next_event():
            case Data(data=data, more_data=more):
                self._waiting = data
                self._ended = not more
            case Preamble():
                pass
            case _:
                self._ended = True

    def _next_event(self) -> object:
        """Return the next part of the form; None where the request ends too early."""
        while True:
            try:
                event = self._decoder.next_event()
            except ValueError as error:
                raise BadInputError(f"The form can not be read: {error}", "bundle") from error
            if not isinstance(event, NeedData):
                return event
            chunk = self._read(CHUNK_BYTES)
            try:
                self._decoder.receive_data(chunk or None)
            except ValueError:
                return None
            if not chunk:
                return self._last_event()

    def _last_event(self) -> object:
        try:
            event = self._decoder.next_event()
        except ValueError:
            return None
        return None if isinstance(event, NeedData) else event
