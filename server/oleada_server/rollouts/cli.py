"""``oleada rollout``: plan, start, watch and stop rollouts through the REST API."""

import json
import math
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from oleada_store.cli_waves import sign
from oleada_store.options import StoreGroup

from oleada_server.client import Client, connect, path_of
from oleada_server.rollouts import cli_force, cli_plan
from oleada_server.rollouts.cli_evidence import evidence_group
from oleada_server.rollouts.cli_waves import authorise, fetch

PATH: Final = "/api/v1/rollouts"
EVERY_S_MAX: Final = 86_400
ENDS: Final = frozenset({"finished", "halted", "stopped"})

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")
why = click.option("--reason", required=True, help="Why; kept in the audit trail.")
maybe_why = click.option("--reason", help="Why; kept in the audit trail.")


def _number(_context: click.Context, _param: click.Parameter, value: float) -> float:
    """Return *value*; NaN is in every range, for it compares with nothing."""
    if math.isnan(value):
        raise click.BadParameter("a number was expected, and nan is none.")
    return value


@click.group("rollout", cls=StoreGroup)
def rollout_group() -> None:
    """Rollouts: one release on its way, wave by wave."""


for command in (fetch, sign, authorise):
    rollout_group.add_command(command)
rollout_group.add_command(evidence_group)
cli_force.add_to(rollout_group)


@rollout_group.command()
@click.argument("hardware_model")
@click.argument("version")
@cli_plan.options
@click.option("--dry-run", is_flag=True, help="Show what it would cover; store nothing.")
@as_json
def plan(as_json: bool, dry_run: bool, **given: Any) -> None:  # fmt: skip
    """Plan a rollout of VERSION for HARDWARE_MODEL; it waits for `oleada rollout start`."""
    body, client = cli_plan.body_of(given), connect()
    if dry_run:
        found = client.post(f"{PATH}/preview", body)
        print(json.dumps(found, indent=2) if as_json else _preview_text(found))
        return
    _print(client.post(PATH, body, idempotency_key=uuid.uuid4().hex), as_json)


@rollout_group.command()
@click.argument("rollout")
@maybe_why
@as_json
def start(rollout: str, reason: str | None, as_json: bool) -> None:
    """Freeze which boxes ROLLOUT covers, and begin."""
    _do(rollout, "start", as_json, reason=reason)


@rollout_group.command()
@click.argument("rollout")
@why
@as_json
def ask(rollout: str, reason: str, as_json: bool) -> None:
    """Ask a second person to approve ROLLOUT."""
    _do(rollout, "ask", as_json, reason=reason)


@rollout_group.command()
@click.argument("rollout")
@maybe_why
@as_json
def approve(rollout: str, reason: str | None, as_json: bool) -> None:
    """Let ROLLOUT begin, as neither who planned it nor who asked."""
    _do(rollout, "approve", as_json, reason=reason)


@rollout_group.command("send-back")
@click.argument("rollout")
@why
@as_json
def send_back(rollout: str, reason: str, as_json: bool) -> None:
    """Give the plan of ROLLOUT back to whoever asked."""
    _do(rollout, "send-back", as_json, reason=reason)


@rollout_group.command("go-on")
@click.argument("rollout")
@click.argument("wave", type=int)
@why
@as_json
def go_on(rollout: str, wave: int, reason: str, as_json: bool) -> None:
    """Let the held WAVE (1, 2, …) of ROLLOUT go on with the numbers it has now."""
    _do(rollout, f"waves/{wave}/go-on", as_json, reason=reason)


@rollout_group.command("open-early")
@click.argument("rollout")
@click.argument("wave", type=int)
@click.option("--boxes", type=int, required=True, help="How many it reaches, as `show` says.")
@why
@as_json
def open_early(rollout: str, wave: int, boxes: int, reason: str, as_json: bool) -> None:
    """Open the next WAVE of ROLLOUT before the one in front has soaked or met its gate."""
    _do(rollout, f"waves/{wave}/open", as_json, reason=reason, boxes=boxes)


@rollout_group.command()
@click.argument("rollout")
@why
@as_json
def pause(rollout: str, reason: str, as_json: bool) -> None:
    """Let no further box begin."""
    _do(rollout, "pause", as_json, reason=reason)


@rollout_group.command()
@click.argument("rollout")
@maybe_why
@as_json
def resume(rollout: str, reason: str | None, as_json: bool) -> None:
    """Go on after a pause."""
    _do(rollout, "resume", as_json, reason=reason)


@rollout_group.command()
@click.argument("rollout")
@why
@as_json
def stop(rollout: str, reason: str, as_json: bool) -> None:
    """End ROLLOUT for good: assignments are taken back from boxes that have not armed."""
    _do(rollout, "stop", as_json, reason=reason)


@rollout_group.command()
@click.argument("rollout")
@click.option("--device", "device_ids", multiple=True, help="This box; may be repeated.")
@click.option("--ended-for", help="All that ended for this: health-check, silent, …")
@maybe_why
@as_json
def retry(
    rollout: str,
    device_ids: tuple[str, ...],
    ended_for: str | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Assign the release again to boxes that did not get it."""
    named = {"device_ids": list(device_ids)} if device_ids else {}
    wanted = {"ended_for": ended_for} if ended_for else {}
    _do(rollout, "retry", as_json, reason=reason, **named, **wanted)


@rollout_group.command()
@click.argument("rollout")
@as_json
def show(rollout: str, as_json: bool) -> None:
    """Show ROLLOUT (R-7 or 7): waves, exact numbers, why boxes failed."""
    _print(connect().get(PATH + path_of(rollout)), as_json)


@rollout_group.command("why")
@click.argument("device_id")
@click.option("--rollout", help="By this rollout, such as R-7.")
@click.option("--version", help="Of this release; the newest of its model if neither is said.")
@as_json
def explain(device_id: str, rollout: str | None, version: str | None, as_json: bool) -> None:
    """Say why the box DEVICE_ID gets a release, or why not: every rule, and what changes it."""
    asked = {"device_id": device_id, "rollout": rollout, "version": version}
    found = connect().get(f"{PATH}/why", asked)
    print(json.dumps(found, indent=2) if as_json else _why_text(found))


@rollout_group.command("list")
@click.option("--before", help="Only rollouts older than this one.")
@click.option("--limit", type=int, default=50, show_default=True, help="Rollouts a page.")
@as_json
def list_(before: str | None, limit: int, as_json: bool) -> None:
    """List rollouts, newest first."""
    page = connect().get(PATH, {"before": before, "limit": limit})
    if as_json:
        print(json.dumps(page, indent=2))
        return
    for found in page["rollouts"]:
        release = f"{found['hardware_model']} {found['version']}"
        print(f"{found['id']:<8} {found['state']:<10} {release:<24} {found['name']}")
    if page["next"]:
        print(f"more with --before {page['next']}")


@rollout_group.command()
@click.argument("rollout")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, EVERY_S_MAX),
    callback=_number,
    default=2.0,
    show_default=True,
    help="Seconds between looks.",
)
@as_json
def watch(rollout: str, every_s: float, as_json: bool) -> None:  # fmt: skip
    """Print ROLLOUT whenever it has changed, until it has ended; exit 1 unless it finished."""
    client, before = connect(), ""
    while True:
        found = client.get(PATH + path_of(rollout))
        text = json.dumps(found) if as_json else _line(found)
        if text != before:
            click.echo(text)
            before = text
        if found["state"] in ENDS:
            raise SystemExit(0 if found["state"] == "finished" else 1)
        time.sleep(every_s)


def _do(rollout: str, verb: str, as_json: bool, **body: Any) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    client: Client = connect()
    key = uuid.uuid4().hex
    _print(client.post(PATH + path_of(rollout, verb), given, idempotency_key=key), as_json)


def _print(found: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(found, indent=2) if as_json else _text(found))


def _text(found: dict[str, Any]) -> str:
    because = f": {found['state_reason']}" if found["state_reason"] else ""
    lines = [
        f"{found['id']} {found['name']} is {found['state']}{because}{_preparing(found)}",
        f"  {found['hardware_model']} {found['version']}, {found['size_bytes']} bytes",
    ]
    for wave in found["waves"]:
        states = ", ".join(f"{n} {state}" for state, n in wave["states"].items())
        held = f" ({wave['state_reason']})" if wave["state_reason"] else ""
        lines.append(
            f"  wave {wave['position']} {wave['name']}: {wave['state']}{held}; "
            f"{wave['boxes']} boxes{': ' + states if states else ''}"
        )
    for one in found["missing_signatures"]:
        lines.append(
            f"  wave {one['wave']} has {one['have']} of {one['needed']} signatures of approvers; "
            f"fetch it with: oleada rollout waves {found['id']}"
        )
    for one in found["goes_back"]:
        how = f"with {one['rollout']}" if one["rollout"] else "not at all"
        why = f": {one['refused']}" if one["refused"] else ""
        lines.append(f"  {one['boxes']} boxes go back to {one['version'] or '-'} {how}{why}")
    for failure in found["why_failed"]:
        now = ", ".join(f"{n} on {version}" for version, n in failure["runs_now"].items())
        lines.append(f"  {failure['boxes']} {failure['state']}, {failure['reason']}: now {now}")
    return "\n".join(lines)


def _line(found: dict[str, Any]) -> str:
    waves = []
    for wave in found["waves"]:
        states = " ".join(f"{state}={n}" for state, n in wave["states"].items())
        waves.append(f"[{wave['position']} {wave['state']} {states}]")
    because = f": {found['state_reason']}" if found["state_reason"] else ""
    return f"{found['id']} {found['state']}{because}{_preparing(found)} {' '.join(waves)}"


def _preparing(found: dict[str, Any]) -> str:
    done = found["preparing"]
    return "" if done is None else f", preparing {done['boxes']:,} of {done['of']:,} boxes"


def _replay_lines(found: dict[str, Any]) -> list[str]:
    good = found["good"]
    known = f"{found['days']} days of {found['boxes']} boxes" if found["days"] else "no history"
    ends = good["ends_at"] or "not without a person"
    lines = [
        f"  replayed on {known}: done {ends}, {good['peak_bytes_s']} bytes/s at most, "
        f"{good['unreached']} boxes not reached"
    ]
    for run in found["damage"]:
        end = {"": "goes on to its end", "held": "waits for a person"}.get(
            run["stopped_by"], f"stopped by {run['stopped_by']}"
        )
        lines.append(f"  if {run['share']:.0%} break: {run['harmed']} boxes harmed, {end}")
    for width in found["widths"]:
        done = width["ends_at"] or "not without a person"
        lines.append(f"  with {width['in_flight_max']} at work: done {done}")
    return lines


def _why_text(found: dict[str, Any]) -> str:
    about = found.get("rollout") or found["version"]
    failed = sum(not rule["passed"] for rule in found["rules"])
    lines = [f"{found['device_id']} and {about}: {failed or 'no'} rules fail"]
    if found["begins_at"]:
        lines.append(f"  it may begin from {found['begins_at']} on")
    for rule in found["rules"]:
        wanted = f", wanted {rule['wanted']}" if rule["wanted"] else ""
        mark = "pass" if rule["passed"] else "FAIL"
        lines.append(f"  {mark} {rule['rule']}: {rule['seen']}{wanted}")
        if rule["change"]:
            lines.append(f"       {rule['change']}")
    return "\n".join(lines)


def _preview_text(found: dict[str, Any]) -> str:
    lines = [f"{found['hardware_model']} {found['version']} would go to {found['boxes']} boxes"]
    for position, wave in enumerate(found["waves"], start=1):
        versions = ", ".join(f"{n} on {name}" for name, n in wave["from_versions"].items())
        lines.append(f"  wave {position} {wave['name']}: {wave['boxes']} boxes ({versions})")
    lines += [f"  left out: {n} {reason}" for reason, n in found["left_out"].items()]
    lines += [f"  {n} more without the rule {reason}" for reason, n in found["gains"].items()]
    if found["dry_run"]:
        lines += _replay_lines(found["dry_run"])
    lines.append(f"  salt {found['salt']}: plan with it to get exactly these boxes")
    return "\n".join(lines)
