"""``oleada device act``, ``actions``, ``cancel`` and ``diagnose``: one box, from afar.

Importing this adds the commands to the group of devices.
"""

import json
from typing import Any, Final
from urllib.parse import quote

import click
from oleada_wire.action_table import TABLE
from oleada_wire.actions import find
from oleada_wire.ids import normalise_device_id

from oleada_server.actions.rules import SECRETS
from oleada_server.client import connect, path_of
from oleada_server.clock import monotonic_s, wait_s
from oleada_server.devices.cli import as_json, device_group

__all__ = ["device_group"]

LOOK_S: Final = 0.5
"""How long ``--wait`` waits between two looks."""
WAIT_S_MAX: Final = 900.0
DIGITS_MAX: Final = 19


@device_group.command("act")
@click.argument("device_id")
@click.argument("action")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--reason", required=True, help="Why; it is kept.")
@click.option("--consent", is_flag=True, help="The subscriber has agreed to what can be noticed.")
@click.option("--timeout-ms", type=int, help="End it after so long instead of its own time.")
@click.option("--key", help="Idempotency key: ordering again with it does it once.")
@click.option("--wait", is_flag=True, help="Wait for the result.")
@click.option("--pin", is_flag=True, help="Ask for the subscriber's PIN; it is not shown.")
@as_json
def act(  # noqa: PLR0917 - click hands over each option by its name
    device_id: str,
    action: str,
    arguments: tuple[str, ...],
    reason: str,
    consent: bool,
    timeout_ms: int | None,
    key: str | None,
    wait: bool,
    pin: bool,
    as_json: bool,
) -> None:
    """Let the box with DEVICE_ID do ACTION, such as ip_ping host=example.org.

    Numbers, true and false are written as such. An action that there is not is refused with
    those that there are. A PIN is typed when it is asked for: what stands on a command line
    is seen by everybody on the machine.
    """
    said = dict(argument_of(text, action) for text in arguments)
    if pin:
        said["pin"] = click.prompt("PIN", hide_input=True, err=True)
    body = {
        "action": action,
        "arguments": said,
        "reason": reason,
        "consent": "viewer" if consent else "none",
        "timeout_ms": timeout_ms,
    }
    path = "/api/v1/devices" + path_of(normalise_device_id(device_id)) + "/actions"
    found = connect().post(path, body, idempotency_key=key)
    if "asked" in found:
        print(f"It waits for a second person: oleada asked confirm {found['asked']}")
        return
    if wait:
        found = _ended(found["id"])
    print(json.dumps(found, indent=2) if as_json else _told(found))


@device_group.command("actions")
@click.argument("device_id")
@click.option("--limit", type=int, default=10, show_default=True, help="At most so many.")
@as_json
def actions(device_id: str, limit: int, as_json: bool) -> None:
    """List what was ordered of the box with DEVICE_ID, newest first."""
    path = "/api/v1/devices" + path_of(normalise_device_id(device_id)) + "/actions"
    found = connect().get(path, {"limit": limit})
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found["actions"]:
        print(f"{one['id']}  {one['asked_at'][:19]}  {one['action']:<16} {_state(one)}")


@device_group.command("cancel")
@click.argument("action_id")
@as_json
def cancel(action_id: str, as_json: bool) -> None:
    """End the action with ACTION_ID, as `oleada device actions` names it."""
    found = connect().post("/api/v1/actions" + path_of(action_id) + "/cancel", {})
    print(json.dumps(found, indent=2) if as_json else f"The box is told to end {found['action']}.")


@device_group.command("diagnose")
@click.argument("device_id")
@click.option("--symptom", default="unsaid", show_default=True, help="What is complained of.")
@click.option("--channel", default="", help="The channel that is affected.")
@click.option("--asked", multiple=True, help="An answer, such as led-on:no; may be repeated.")
@as_json
def diagnose(
    device_id: str, symptom: str, channel: str, asked: tuple[str, ...], as_json: bool
) -> None:
    """Say what is most likely wrong with the box with DEVICE_ID, and what to look at next."""
    path = "/api/v1/devices" + path_of(normalise_device_id(device_id)) + "/diagnosis"
    query = {"symptom": symptom, "channel": channel, "asked": list(asked)}
    found = connect().get(path, query)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found["causes"]:
        print(f"{one['confidence']:6.0%}  {one['title']}")
        print(f"        {one['next']}")
    if not found["causes"]:
        print("Nothing that the playbook knows is likely.")
    for one in found["checks"][:5]:
        print(f"  look at: {one['asks'] or one['action'] or one['fact']}")


def argument_of(text: str, action: str) -> tuple[str, Any]:
    """Return name and value of ``name=value`` as *action* wants it: a number, yes or no, a text.

    What is none stays a text, and the server says what was expected.
    """
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"{text[:60]!r} is not NAME=VALUE.")
    if name in SECRETS:
        raise click.BadParameter(f"{name} is not written here: use --{name}.")
    found = find(TABLE, action)
    kinds = {one.name: one.kind for one in (found.arguments if found is not None else ())}
    kind = kinds.get(name, str)
    if kind is bool and value in {"true", "false"}:
        return name, value == "true"
    is_whole = value.removeprefix("-").isdecimal() and value.isascii() and len(value) < DIGITS_MAX
    return name, int(value) if kind is int and is_whole else value


def _ended(action_id: str) -> dict[str, Any]:
    """Return the action when it has ended or falls silent."""
    until = monotonic_s() + WAIT_S_MAX
    while True:
        found: dict[str, Any] = connect().get(f"/api/v1/actions/{quote(action_id, safe='')}")
        if found["state"] in {"done", "silent"} or monotonic_s() > until:
            return found
        wait_s(LOOK_S)


def _state(one: dict[str, Any]) -> str:
    return f"{one['status']} {one['error'] or ''}".strip() if one["status"] else one["state"]


def _told(one: dict[str, Any]) -> str:
    lines = [f"{one['id']}  {one['action']}: {_state(one)}"]
    lines += [f"{name:<44} {value}" for name, value in one["values"].items()]
    lines += [f"file {file['name']}, {file['size_bytes']} bytes" for file in one["files"]]
    return "\n".join([*lines, one["output"]]).rstrip()
