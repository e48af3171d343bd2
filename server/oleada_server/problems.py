"""Errors as answers: problem+json (RFC 9457) for programs, a page for people."""

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from importlib import import_module
from typing import Any

from flask import Flask, Response, current_app, g, json, request
from flask.typing import ResponseReturnValue
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import BadRequest, HTTPException

from oleada_server import outage
from oleada_server.clock import monotonic_s
from oleada_server.db import db
from oleada_server.errors import BadInputError, ServerError
from oleada_server.outage import RETRY_AFTER_S, DiskFullError
from oleada_server.spells import spell

FIELDS_NAMED_MAX = 10
MACHINE_PATHS = ("/api/", "/device/", "/artifacts/", "/tuf/", "/.well-known/est/")


def problem(status: int, code: str, detail: str, **more: object) -> Response:
    """Return a problem+json answer; *code* is stable, *detail* a sentence."""
    body = {
        "type": f"urn:oleada:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    return Response(json.dumps(body), status=status, content_type="application/problem+json")


def register_error_handlers(app: Flask) -> None:
    """Answer every error of *app*: as problem+json on machines' paths, else as a page."""
    app.register_error_handler(ServerError, _server_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ParseException, _broken_body)
    for kind in (DBAPIError, PoolTimeoutError, OSError):
        app.register_error_handler(kind, _outage)
    app.after_request(_note_that_it_works)


def _outage(error: Exception) -> ResponseReturnValue:
    """Answer what a database or a disk refused, in words; any other error is our bug."""
    found = outage.meaning(error)
    if found is None:
        raise error
    what = "disk" if isinstance(found, DiskFullError) else "database"
    spell(current_app, what).failed(found, monotonic_s())
    with suppress(SQLAlchemyError):  # what is gone can not be rolled back
        db.session.rollback()
    db.session.remove()
    answer = current_app.make_response(_server_error(found))
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _note_that_it_works(answer: Response) -> Response:
    """End the database's spell when a request that asked it has been answered."""
    if g.get("identity") is not None and answer.status_code < 500:
        spell(current_app, "database").worked(monotonic_s())
        if request.method not in {"GET", "HEAD"} and answer.status_code < 400:
            spell(current_app, "disk").worked(monotonic_s())
    return answer


def _server_error(error: ServerError) -> ResponseReturnValue:
    with suppress(SQLAlchemyError):  # of a database that is gone
        db.session.rollback()
    if _asked_by_program():
        field = getattr(error, "field", None) if isinstance(error, BadInputError) else None
        return problem(error.status, error.code, str(error), **({"field": field} if field else {}))
    return _page(error.status, error.code, str(error))


def _http_error(error: HTTPException) -> ResponseReturnValue:
    db.session.rollback()
    status = error.code or 500
    if status < 400 or error.response is not None:
        return error.get_response()
    code = HTTPStatus(status).phrase.lower().replace(" ", "-")
    if _asked_by_program():
        fields = getattr(error, "data", None) or {}
        if "messages" in fields:
            return problem(status, code, _sentence(fields["messages"]), errors=fields["messages"])
        return problem(status, code, error.description or HTTPStatus(status).phrase)
    return _page(status, code, error.description or "")


def _broken_body(error: ParseException) -> ResponseReturnValue:
    """Answer a body whose chunks gunicorn can not read, which it says once a view reads them."""
    why = str(error)[:100]
    return _http_error(BadRequest(f"The body can not be read as it was sent: {why}. Send it anew."))


def _sentence(messages: Any) -> str:
    """Return what is wrong with each field as one text, for whoever reads only *detail*."""
    found = messages.values() if isinstance(messages, dict) else [messages]  # by place: json, query
    named = [line for place in found for line in _by_field(place, "")]
    return "Not what was expected: " + " ".join(named[:FIELDS_NAMED_MAX])


def _by_field(found: Any, name: str) -> Iterator[str]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _by_field(value, f"{name}.{key}" if name else str(key))
        return
    text = " ".join(map(str, found)) if isinstance(found, list) else str(found)
    yield f"{name}: {text}" if name else text


def _asked_by_program() -> bool:
    return request.path.startswith(MACHINE_PATHS)


def _page(status: int, code: str, detail: str) -> ResponseReturnValue:
    if current_app.extensions.get("oleada_pages"):
        pages = import_module("oleada_server.web.errors")
        answer: ResponseReturnValue = pages.error_page(status, code, detail)
        return answer
    return Response(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8")
