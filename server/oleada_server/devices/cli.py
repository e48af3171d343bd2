"""``oleada device``: list, show, claim and revoke devices through the REST API."""

import json
from pathlib import Path
from typing import Any

import click
from oleada_store.options import THERE
from oleada_wire.ids import group_device_id, normalise_device_id

from oleada_server.client import connect, path_of

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")


@click.group("device")
def device_group() -> None:
    """Devices: what the server knows of each box."""


@device_group.command("list")
@click.option("--model", multiple=True, help="Only this hardware model; may be repeated.")
@click.option("--version", multiple=True, help="Only this version; may be repeated.")
@click.option("--contact", type=click.Choice(["seen", "silent", "never"]), help="When last heard.")
@click.option("--text", help="Part of an id, serial or MAC, as people type it.")
@click.option("--rollout", help="Only boxes in this rollout, such as R-7.")
@click.option("--wave", type=int, help="Only boxes in this wave, by its id.")
@click.option("--state", multiple=True, help="Only boxes in this state of the rollout.")
@click.option("--after", help="Page key: 'next_key' of the page before.")
@click.option("--limit", type=int, default=50, show_default=True, help="Devices a page.")
@as_json
def list_(as_json: bool, **query: Any) -> None:
    """List devices that match every filter."""
    page = connect().get("/api/v1/devices", query)
    if as_json:
        print(json.dumps(page, indent=2))
        return
    for device in page["devices"]:
        print(
            f"{group_device_id(device['id']):<18} {device['hardware_model']:<10} "
            f"{device['version'] or '-':<12} {device['serial']:<20} {device['last_seen_at'] or '-'}"
        )
    print(f"{len(page['devices'])} of {page['total']} devices")
    if page["next_key"]:
        print(f"more with --after {page['next_key']}")


@device_group.command()
@click.argument("device_id")
@as_json
def show(device_id: str, as_json: bool) -> None:
    """Show one device, by its id as printed on the box."""
    device = connect().get("/api/v1/devices" + path_of(normalise_device_id(device_id)))
    if as_json:
        print(json.dumps(device, indent=2))
        return
    for name, value in device.items():
        print(f"{name:<18} {json.dumps(value) if isinstance(value, dict | list) else value}")


@device_group.command()
@click.argument("device_id")
@click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
@as_json
def revoke(device_id: str, reason: str, as_json: bool) -> None:
    """Revoke the box with DEVICE_ID: stolen, copied, or out of service.

    Within seconds the broker ends its session and lets it in no more, and the device door
    renews none of its certificates. What it runs, it runs on. A new claim token, with
    data/identity removed on the box, makes it one of yours again.
    """
    path = "/api/v1/devices" + path_of(normalise_device_id(device_id)) + "/revoke"
    found = connect().post(path, {"reason": reason})
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print(f"{group_device_id(found['id'])} (serial {found['serial']}) is revoked.")


@device_group.command("revoke-many")
@click.argument("file", type=THERE)
@click.option("--reason", required=True, help="Why; a second person reads it.")
def revoke_many(file: Path, reason: str) -> None:
    """Ask that every box in FILE, one id a line, be revoked.

    Another person confirms it: `oleada asked confirm`, or the page of what waits for a
    second person.
    """
    lines = file.read_text(errors="replace").splitlines()
    body = {"device_ids": [line.strip() for line in lines if line.strip()], "reason": reason}
    number = connect().post("/api/v1/devices/revocations", body)["asked"]
    print(
        f"{len(body['device_ids'])} boxes wait for a second person: oleada asked confirm {number}"
    )


@device_group.command()
@click.argument("serial")
@click.option("--model", required=True, help="Hardware model, such as VX-410.")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the box's home.")
@click.option("--region", help="Any name you filter by later.")
@as_json
def claim(serial: str, model: str, zone: str, region: str | None, as_json: bool) -> None:
    """Make the one-time claim token of the box with SERIAL; it is shown once."""
    body = {"serial": serial, "hardware_model": model, "zone": zone}
    found = connect().post("/api/v1/claims", body | ({"region": region} if region else {}))
    print(json.dumps(found, indent=2) if as_json else found["token"])
