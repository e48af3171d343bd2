"""The reference of REST says what the code says; UPDATE_GOLDEN=1 writes it anew."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from oleada_server import config as settings
from oleada_server.app import DOOR_PATHS, create_app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rest.md"
VERBS = ("get", "post", "put", "patch", "delete")

HEAD = """# REST
This page is written from the code and compared with it by a test.
The server describes itself in OpenAPI 3.1 at `/api/v1/openapi.json`, with the shape of each answer.

A request carries `Authorization: Bearer <token>`; `oleada user token` makes one with its scopes.
Errors are problem+json ([errors](errors.md)); a list says where its next page begins.
Fields with `*` are needed.

"""
PLAIN = """## Without a token
| Method and path | Answered by | Is |
|---|---|---|
"""
OTHER = {
    "/api/v1/openapi.json": ("console", "this description, as OpenAPI"),
    "/healthz": ("both doors", "200 while the process and its database answer"),
    "/tuf/<name>": ("both doors", "a file of the TUF metadata, such as `timestamp.json`"),
    "/tuf/targets/<hardware_model>/<name>": ("both doors", "an image by its TUF path"),
    "/artifacts/<sha256>": ("both doors", "an image by its digest; Range, never changes"),
    "/device/v1/uploads/<order_id>/<name>": (
        "device door",
        "a file that an action was asked for, once, with the box's certificate",
    ),
    "/device/v1/enrol": ("both doors", "enrolment of a box by its claim token"),
    "/.well-known/est/cacerts": ("both doors", "EST: the service CA and the device CA"),
    "/.well-known/est/simpleenroll": (
        "both doors",
        "EST: a box's first certificate; its serial and claim token as HTTP Basic",
    ),
    "/.well-known/est/simplereenroll": (
        "device door",
        "EST: a box's next certificate; the last one, expired or not, in TLS",
    ),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The whole app, without a database."""
    return create_app(settings.load(tmp_path_factory.mktemp("oleada"), {}))


def _rules(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield method, rule and endpoint of everything that is not a page."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/api/", *DOOR_PATHS)) and not rule.rule.startswith("/devices"):
            for method in sorted((rule.methods or set()) & {verb.upper() for verb in VERBS}):
                yield method, rule.rule, rule.endpoint


def _scope(app: Flask, method: str, endpoint: str) -> str:
    view: Any = app.view_functions[endpoint]
    kind = getattr(view, "view_class", None)
    handler = getattr(kind, method.lower()) if kind is not None else view
    return str(handler.__dict__.get("oleada_needs", ""))


def _page(app: Flask) -> str:
    with app.app_context():
        described: dict[str, Any] = app.test_client().get("/api/v1/openapi.json").get_json()
    schemas = described["components"]["schemas"]
    endpoints = {(m, re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", r)): e for m, r, e in _rules(app)}
    parts = [HEAD]
    for path, operations in described["paths"].items():
        if not path.startswith("/api/"):
            continue
        for verb in (verb for verb in VERBS if verb in operations):
            method, operation = verb.upper(), operations[verb]
            scope = _scope(app, method, endpoints[method, path])
            needs = f"Scope `{scope}`." if scope else "Any token."
            parts.append(f"## {method} {path}\n{operation['summary']} {needs}\n\n")
            fields = list(
                _parameters([*operations.get("parameters", []), *operation.get("parameters", [])])
            )
            fields += list(_body(operation, schemas))
            if fields:
                parts.append("| Field | In | Is |\n|---|---|---|\n" + "\n".join(fields) + "\n\n")
    rows = [
        f"| {m} `{r}` | {OTHER[r][0]} | {OTHER[r][1]} |" for m, r, _ in _rules(app) if r in OTHER
    ]
    return "".join(parts) + PLAIN + "\n".join(sorted(rows)) + "\n"


def _parameters(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        star = "*" if one.get("required") else ""
        yield f"| `{one['name']}`{star} | {one['in']} | {_kind(one['schema'])} |"


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind != "application/json":
            yield f"| | body | `{kind}` |"
            continue
        yield from _fields("", content["schema"], schemas)


def _fields(prefix: str, schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    shape = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, one in shape.get("properties", {}).items():
        star = "*" if name in shape.get("required", ()) else ""
        inner = one.get("items", {}) if one.get("type") == "array" else one
        yield f"| `{prefix}{name}`{star} | body | {_kind(one)} |"
        if "$ref" in inner:
            dots = "[]." if inner is not one else "."
            yield from _fields(f"{prefix}{name}{dots}", inner, schemas)


def _kind(schema: dict[str, Any]) -> str:
    """Return type, limits and default of *schema* in a few words."""
    found = schema.get("type", "object")
    words = [" or ".join(found) if isinstance(found, list) else str(found)]
    if words == ["array"]:
        words = [f"list of {schema['items'].get('type', 'object')}"]
    if "enum" in schema:
        words = [", ".join(f"`{value}`" for value in schema["enum"] if value is not None)]
    low = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    high = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    if low is not None and high is not None:
        words.append(f"{low} to {high}")
    elif low is not None or high is not None:
        words.append(f"at least {low}" if low is not None else f"at most {high}")
    if schema.get("default") is not None:
        words.append(f"default `{schema['default']}`")
    return ", ".join(words)


def test_the_page_of_rest_is_what_the_code_answers(app: Flask) -> None:
    page = _page(app)
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page)

    assert PAGE.read_text() == page


def test_no_address_answers_that_no_page_names(app: Flask) -> None:
    page = PAGE.read_text()
    unnamed = []
    for method, rule, _ in _rules(app):
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule)
        if f"## {method} {path}\n" not in page and f"| {method} `{rule}` |" not in page:
            unnamed.append(f"{method} {rule}")

    assert unnamed == []


def test_no_page_names_an_address_that_does_not_answer(app: Flask) -> None:
    assert set(OTHER) <= {rule for _, rule, _ in _rules(app)}
