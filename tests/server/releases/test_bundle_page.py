"""docs/reference/release-bundle.md says what the code does."""

import re
from dataclasses import fields
from pathlib import Path

from oleada_server.errors import ConflictError
from oleada_server.releases import errors
from oleada_server.releases.api import blueprint
from oleada_store import bundle, roles
from oleada_wire.release import ReleaseInfo

PAGE = (Path(__file__).parents[3] / "docs/reference/release-bundle.md").read_text()


def _table(title: str) -> list[list[str]]:
    part = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def _words(title: str) -> set[str]:
    return {word for row in _table(title) for word in re.findall(r"`([^`]+)`", row[0])}


def test_the_page_names_every_refusal() -> None:
    kinds = (errors.RefusedBundleError, ConflictError, errors.NoRoomError)
    codes = {
        found.code
        for found in vars(errors).values()
        if isinstance(found, type) and issubclass(found, kinds) and found not in kinds[:2]
    }

    assert _words("Refusals") == codes


def test_the_page_names_every_field() -> None:
    assert _words("`bundle.json`") == {field.name for field in fields(bundle.Description)}
    assert _words("The signed metadata") == {field.name for field in fields(ReleaseInfo)}


def test_the_page_gives_the_roles_as_they_are_made() -> None:
    said = {row[0].split("`")[1]: (row[2], row[3]) for row in _table("Roles")}

    assert said["root"] == (str(roles.ROOT_THRESHOLD), f"{roles.ROOT_VALID.days} days")
    assert said["<model>"] == (str(roles.MODEL_THRESHOLD), f"{roles.MODEL_VALID.days} days")
    assert said["snapshot"] == ("1", f"{roles.SNAPSHOT_VALID.days} days")
    assert said["timestamp"] == ("1", f"{roles.TIMESTAMP_VALID.days} days")
    assert bundle.FORMAT in PAGE
    assert bundle.CONTENT_TYPE in PAGE
    assert blueprint.url_prefix in PAGE
