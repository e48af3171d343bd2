"""``oleada rollout force``, ``unforce`` and ``leave-alone``: who is disturbed, and who is not."""

import json
import uuid
from typing import Any, Final

import click

from oleada_server.client import connect, path_of

ROLLOUTS: Final = "/api/v1/rollouts"
LEFT_ALONE: Final = "/api/v1/left-alone"
KINDS: Final = ("recording", "critical-case")
"""Those of ``left_alone.Because``, whose module brings the database along: half of a start."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")
because = click.option(
    "--for",
    "because",
    type=click.Choice(KINDS),
    required=True,
    help="What goes on there.",
)


def add_to(group: click.Group) -> None:
    """Add the commands to *group*."""
    for command in (force, unforce, leave_alone):
        group.add_command(command)


@click.command()
@click.argument("rollout")
@click.option("--boxes", type=int, required=True, help="How many it reaches, as `show` says.")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@as_json
def force(rollout: str, boxes: int, reason: str, as_json: bool) -> None:
    """Let ROLLOUT begin on boxes that record, or whose case is critical; nothing else changes."""
    _done(rollout, "force", as_json, {"reason": reason, "boxes": boxes})


@click.command()
@click.argument("rollout")
@click.option("--reason", help="Why, for the audit trail.")
@as_json
def unforce(rollout: str, reason: str | None, as_json: bool) -> None:
    """Let ROLLOUT leave boxes alone again."""
    _done(rollout, "unforce", as_json, {} if reason is None else {"reason": reason})


@click.command("leave-alone")
@click.argument("device_id")
@because
@click.option("--until", metavar="TIME", help="ISO time with a zone: 2026-11-21T23:00+01:00.")
@click.option("--ref", default="", help="What people find it by: the number of the case.")
@as_json
def leave_alone(device_id: str, because: str, until: str | None, ref: str, as_json: bool) -> None:
    """Let no rollout disturb the box DEVICE_ID until then, unless it is forced.

    Without --until what was said before is taken back.
    """
    path = LEFT_ALONE + path_of(device_id, *([] if until else ["lift"]))
    body = {"because": because} | ({"until": until, "ref": ref} if until else {})
    found = connect().post(path, body)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found["left_alone"]:
        print(f"{device_id} is left alone until {one['until']}: {one['because']} {one['ref']}")
    if not found["left_alone"]:
        print(f"{device_id} is not left alone.")


def _done(rollout: str, verb: str, as_json: bool, body: dict[str, Any]) -> None:
    path = ROLLOUTS + path_of(rollout, verb)
    found = connect().post(path, body, idempotency_key=uuid.uuid4().hex)
    forced = "is forced" if found["is_forced"] else "is not forced"
    print(json.dumps(found, indent=2) if as_json else f"{found['id']} {forced}.")
