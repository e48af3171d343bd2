"""The reference of errors and reasons says what the code says; UPDATE_GOLDEN=1 writes it anew."""

import importlib
import inspect
import os
import pkgutil
from pathlib import Path

import oleada_server
from oleada_server.errors import ServerError
from oleada_wire.errors import WireError
from oleada_wire.words import NOT_THE_RELEASE, RETRYABLE, Phase, Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md"

HEAD = """# Errors and reasons
This page is written from the code and compared with it by a test.

## Answers of the server
`/api` and `/device` answer with problem+json (RFC 9457): `code` is the first column,
`detail` says what was, what was expected and what to do.

| Code | Status | Means |
|---|---|---|
"""
WIRE_HEAD = """
## Refused messages
Counted by code; a refused message never stops the ones beside it.

| Code | Means |
|---|---|
"""
REASON_HEAD = """
## Why an attempt ended
A box gives one reason with each verdict that is not *updated*.

| Reason | May be assigned again | Counts against the release |
|---|---|---|
"""


def _every(base: type[Exception]) -> list[type[Exception]]:
    found: set[type[Exception]] = set()
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__.startswith("oleada_")]


def _import_all() -> None:
    for module in pkgutil.walk_packages(oleada_server.__path__, "oleada_server."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _first_line(kind: type[Exception]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _page() -> str:
    _import_all()
    server = sorted((kind.code, kind.status, _first_line(kind)) for kind in _server_errors())
    wire = sorted((kind.code, _first_line(kind)) for kind in _every(WireError))  # type: ignore[attr-defined]
    rows = [f"| `{code}` | {status} | {text} |" for code, status, text in server]
    wire_rows = [f"| `{code}` | {text} |" for code, text in wire]
    reasons = [
        f"| `{reason}` | {_yes(reason in RETRYABLE)} | {_yes(reason not in NOT_THE_RELEASE)} |"
        for reason in Reason
    ]
    return "\n".join([HEAD + "\n".join(rows), WIRE_HEAD + "\n".join(wire_rows)]) + (
        "\n" + REASON_HEAD + "\n".join(reasons) + "\n\n"
        "A box that *declined* before it touched a slot never counts against the release.\n"
    )


def _server_errors() -> list[type[ServerError]]:
    """Return what the server answers; the client's errors repeat the server's codes."""
    kinds = [kind for kind in _every(ServerError) if issubclass(kind, ServerError)]
    return [kind for kind in kinds if kind.__module__ != "oleada_server.client"]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def test_the_page_of_errors_is_what_the_code_says() -> None:
    page = _page()
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)

    assert PAGE.read_text() == page


def test_no_two_errors_share_a_code() -> None:
    _import_all()
    codes = [kind.code for kind in _server_errors()]

    assert sorted(codes) == sorted(set(codes))


def test_every_error_of_the_server_has_an_http_status() -> None:
    _import_all()

    assert {kind.status // 100 for kind in _server_errors()} <= {4, 5}


def test_only_final_phases_are_verdicts() -> None:
    assert [phase for phase in Phase if phase.is_final] == list(Phase)[-4:]
