"""``oleada rollout evidence``: what speaks for and against a release, and its incidents."""

import json
from typing import Any, Final

import click

from oleada_server.client import connect, path_of

PATH: Final = "/api/v1/rollouts"
INCIDENTS: Final = "/api/v1/incidents"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")


@click.group("evidence")
def evidence_group() -> None:
    """What speaks for and against a release."""


@evidence_group.command()
@click.argument("rollout")
@as_json
def show(rollout: str, as_json: bool) -> None:
    """Show the counts of ROLLOUT, E of each stratum, and what follows from them."""
    found = connect().get(PATH + path_of(rollout, "evidence"))
    print(json.dumps(found, indent=2) if as_json else _text(rollout, found))


@evidence_group.command()
@click.option("--rollout", help="Of this rollout alone, such as R-7.")
@as_json
def incidents(rollout: str | None, as_json: bool) -> None:
    """List incidents, newest first: of every rollout, or of one."""
    path = INCIDENTS if rollout is None else PATH + path_of(rollout, "evidence")
    found = connect().get(path)["incidents"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        print(_incident(one))


@evidence_group.command()
@click.argument("incident")
@click.option("--finding", required=True, help="The cause, or that there was none.")
@as_json
def close(incident: str, finding: str, as_json: bool) -> None:
    """Close INCIDENT (I-7) with what was found; what is denied stays denied."""
    found = connect().post(INCIDENTS + path_of(incident, "close"), {"finding": finding})
    print(json.dumps(found, indent=2) if as_json else _incident(found))


def _text(rollout: str, found: dict[str, Any]) -> str:
    summary = found["evidence"]
    if summary is None:
        return f"{rollout} goes by its limits alone."
    now = summary["now"]
    if now is None:
        return f"{rollout} has no evidence yet."
    lines = [
        f"{rollout}: E is {now['e']:g} and halts at {now['halts_at']:g}; {_counts(now)}",
        f"  {now['room']} boxes may be at work; a gate wants {now['sample_needed']} good ones "
        f"and none bad: {'proven' if now['is_proven'] else 'not proven yet'}",
    ]
    if now["asks_a_person"]:
        lines.append("  silence can not be judged by itself: a person has to look")
    for one in now["strata"]:
        halted = f"; halted: {one['halted']}" if one["halted"] else ""
        lines.append(f"  from {one['version'] or 'unknown'}: {_counts(one)}{halted}")
    lines += _hours(summary["hours"])
    return "\n".join([*lines, *(f"  {_incident(one)}" for one in found["incidents"])])


def _hours(hours: dict[str, Any] | None) -> list[str]:
    """Return what boxes did after their update, beside those that wait in the same hours."""
    if hours is None:
        return ["  no hours are watched beside it"]
    late = f"; {hours['late']} heard of too late" if hours["late"] else ""
    lines = [f"  hours beside boxes that wait: E is {hours['e']:g}{late}"]
    return lines + [
        f"    {one['kind']}: {one['updated_bad']:,} bad in {one['updated_hours']:,} device-hours, "
        f"beside {one['waiting_bad']:,} in {one['waiting_hours']:,}"
        for one in hours["kinds"]
        if one["updated_hours"]
    ]


def _counts(one: dict[str, Any]) -> str:
    return (
        f"{one['begun']} began, {one['good']} proved good, {one['bad']} failed, "
        f"{one['silent']} fell silent"
    )


def _incident(one: dict[str, Any]) -> str:
    closed = f"closed by {one['closed_by']}: {one['finding']}" if one["closed_at"] else "open"
    return f"{one['id']} {one['rollout']} {one['opened_at']} {one['reason']} ({closed})"
