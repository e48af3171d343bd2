"""``oleada group``: groups of boxes, by name or by rule, through the REST API."""

import json
from pathlib import Path
from typing import Any, Final

import click
from oleada_store.options import THERE

from oleada_server.client import connect, path_of
from oleada_server.rollouts.cover import parse_cover, where_json
from oleada_server.rollouts.errors import BadPlanError

PATH: Final = "/api/v1/groups"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")


@click.group("group")
def group_group() -> None:
    """Groups of boxes, which rollouts choose by."""


@group_group.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List the groups."""
    found = connect().get(PATH)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for group in found["groups"]:
        print(_line(group))


@group_group.command()
@click.argument("name")
@click.option("--note", default="", help="What it is for.")
@click.option(
    "--where",
    metavar="RULE",
    help="Its boxes are those with these attributes: 'region=Brno, Praha; version=1.0.0'.",
)
@as_json
def create(name: str, note: str, where: str | None, as_json: bool) -> None:
    """Make the group NAME: empty, or by rule."""
    rule = {} if where is None else {"rule": rule_of(where)}
    _print(connect().post(PATH, {"name": name, "note": note, **rule}), as_json)


@group_group.command()
@click.argument("name")
@click.option("--after", default="", help="Only boxes behind this one.")
@click.option("--limit", type=int, default=100, show_default=True, help="Boxes a page.")
@as_json
def show(name: str, after: str, limit: int, as_json: bool) -> None:
    """Show the group NAME with its listed boxes."""
    found = connect().get(PATH + path_of(name), {"after": after, "limit": limit})
    _print(found, as_json)
    if not as_json:
        for device_id in found["device_ids"]:
            print(f"  {device_id}")
        if found["next"]:
            print(f"more with --after {found['next']}")


@group_group.command()
@click.argument("name")
@click.option("--add", multiple=True, metavar="ID", help="Put this box in; may be repeated.")
@click.option("--remove", multiple=True, metavar="ID", help="Take this box out.")
@click.option("--file", type=THERE, help="Put in the boxes whose ids stand here, one a line.")
@as_json
def change(
    name: str, add: tuple[str, ...], remove: tuple[str, ...], file: Path | None, as_json: bool
) -> None:
    """Put boxes into the group NAME, or take them out."""
    body = {"add": [*add, *_ids(file)], "remove": list(remove)}
    _print(connect().post(PATH + path_of(name, "boxes"), body), as_json)


@group_group.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the group NAME; its boxes stay as they are."""
    connect().post(PATH + path_of(name, "remove"))
    print(f"{name} is removed.")


def rule_of(text: str) -> dict[str, Any]:
    """Return the filter that *text* spells, as REST takes it.

    Raises:
        ClickException: It spells none.
    """
    try:
        found = parse_cover(text)
    except BadPlanError as error:
        raise click.ClickException(str(error)) from None
    if found.where is None or found.count is not None:
        raise click.ClickException(f"{text[:40]!r} is not a rule, such as region=Brno.")
    return where_json(found.where)


def _ids(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except ValueError:
        raise click.ClickException(f"{file} is not a text with a device id a line.") from None


def _print(found: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(found, indent=2) if as_json else _line(found))


def _line(group: dict[str, Any]) -> str:
    if group["rule"] is None:
        who = f"{group['boxes']} boxes"
    else:
        who = "; ".join(
            f"{name}={value if isinstance(value, str) else ', '.join(value)}"
            for name, value in group["rule"].items()
        )
    return f"{group['name']:<24} {who}{'  ' + group['note'] if group['note'] else ''}"
