"""``oleada asked``: what waits for a second person, through the REST API."""

import json

import click

from oleada_server.client import connect, path_of

PATH = "/api/v1/asked"


@click.group("asked")
def asked_group() -> None:
    """Deeds that need two persons: what waits, confirm, decline."""


@asked_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")
def list_(as_json: bool) -> None:
    """List what waits for a second person, oldest first."""
    found = connect().get(PATH)["asked"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        boxes = len(one["body"].get("device_ids", "").split())
        about = f"{boxes} boxes" if boxes else one["body"].get("role", "")
        print(f"{one['id']:>5}  {one['action']} {one['object_ref']} {about}".rstrip())
        print(f"       {one['asked_by']}, {one['asked_at'][:16]}: {one['reason']}")
    if not found:
        print("Nothing waits for a second person.")


@asked_group.command()
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
def confirm(number: int) -> None:
    """Confirm what somebody else asked for under NUMBER; it is done at once."""
    connect().post(PATH + path_of(str(number), "confirm"))
    print(f"{number} is confirmed and done.")


@asked_group.command()
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
def decline(number: int) -> None:
    """Decline what was asked under NUMBER, or take back what you asked for."""
    connect().post(PATH + path_of(str(number), "decline"))
    print(f"{number} is declined.")
