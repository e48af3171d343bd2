"""What every request is checked for before a view reads it.

PostgreSQL stores no NUL, no database stores half a surrogate pair, and Python's JSON
reader gives up on deep nesting and on very long numbers. All of that is refused here
once, with a sentence, so that no view has to think of it.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flask import request

from oleada_server.errors import BadInputError

FORM = "application/x-www-form-urlencoded"
"""A multipart form may be an upload, which only its view may read, as a stream."""


def check_request() -> None:
    """Refuse the current request if a text in it could not be stored.

    JSON that is none is left to the view, which names what it expected.

    Raises:
        BadInputError: A text holds NUL or is not Unicode, or the JSON can not be read.
    """
    _demand_storable([request.path], "The address")
    _demand_storable(_of_fields(request.args), "The query")
    if request.is_json:
        _demand_storable(_texts(_body()), "The body")
    elif request.mimetype == FORM:
        _demand_storable(_of_fields(request.form), "The form")


def _of_fields(fields: Any) -> Iterator[str]:
    for name, value in fields.items(multi=True):
        yield name
        yield value


def _body() -> Any:
    try:
        return json.loads(request.get_data())
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    except RecursionError as error:
        raise BadInputError(
            "The body is JSON that is nested too deeply; no request of this API needs that."
        ) from error
    except ValueError as error:
        raise BadInputError(
            "The body is JSON with a number of thousands of digits; send a shorter one."
        ) from error


def _texts(found: Any) -> Iterator[str]:
    """Yield every text in *found*, names too; without recursion, for it may be deep."""
    left = [found]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            left.extend(one)
        elif isinstance(one, dict):
            left.extend(one)
            left.extend(one.values())


def _demand_storable(texts: Iterable[str], where: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            is_unicode = False
        else:
            is_unicode = True
        if not is_unicode or "\x00" in text:
            raise BadInputError(
                f"{where} holds a text that can not be stored, with NUL or half a character "
                "in it. Send plain Unicode text."
            )
