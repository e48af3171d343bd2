"""What ``oleada rollout plan`` is told: its options, and the body that REST takes of them."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from oleada_store.options import THERE

from oleada_server.rollouts import rules_text, schedule
from oleada_server.rollouts.cover import parse_cover, where_json
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.rules import Rules, rules_json
from oleada_server.rollouts.schedule import Schedule

Command = TypeVar("Command", bound=Callable[..., Any])

LIMITS: Final = (
    "success_share_min", "failed_share_max", "silent_share_max", "sample_min", "soak_s",
)  # fmt: skip
BANDWIDTHS: Final = (
    "bandwidth_max_bytes_s", "bandwidth_max_per_region_bytes_s", "box_bytes_s",
)  # fmt: skip
RULES: Final = (
    "windows", "blackouts", "rate", "in_flight_max_per_region", *BANDWIDTHS, "retry_for",
    "abort", "newcomers", "goes_back", "back_from",
)  # fmt: skip
EVIDENCE: Final = (
    "accepted_share", "alpha", "bad_share_max", "doubt", "start_boxes", "ripe_after_s",
    "rolls_back_trials", "watches_hours",
)  # fmt: skip

_WAVES = (
    click.option(
        "--wave",
        "waves",
        multiple=True,
        metavar="NAME=WHOM",
        help="A wave: up to a cumulative share (canary=0.05), a number of boxes "
        "('first=count=200') or an attribute ('south=region=Brno, Praha; count=50'). In order.",
    ),
    click.option(
        "--list",
        "lists",
        multiple=True,
        metavar="NAME=FILE",
        help="A wave of the device ids in FILE, one a line; opens before every --wave.",
    ),
    click.option(
        "--file",
        "file",
        type=THERE,
        help="The rest of the plan as TOML or JSON, with the fields of the REST API.",
    ),
)
_LIMITS = (
    click.option("--success-min", "success_share_min", type=float, help="Share, 0 to 1."),
    click.option("--failed-max", "failed_share_max", type=float, help="Share, 0 to 1."),
    click.option("--silent-max", "silent_share_max", type=float, help="Share, 0 to 1."),
    click.option("--sample-min", type=int, help="Outcomes before limits are judged."),
    click.option("--soak", "soak_s", type=int, help="Seconds a wave lives before the next."),
)
_PLAN = (
    click.option("--name", help="What people call it."),
    click.option("--start-at", help="ISO time with a zone: 2026-11-21T02:00+01:00."),
    click.option("--window", metavar="HH:MM-HH:MM", help="Daily, in each box's own zone."),
    click.option(
        "--windows",
        metavar="TEXT",
        help="Some days a week, in each box's own zone: 'mon-fri 23:00-05:00; sat 01:00-09:00'.",
    ),
    click.option(
        "--blackouts",
        metavar="TEXT",
        help="Days on which no box begins: '2026-12-24/2026-12-26; 2027-01-01'.",
    ),
    click.option("--silent-after", "silent_after_s", type=int, help="Seconds until it is silent."),
    click.option("--attempts-max", type=int, help="Attempts of a box."),
    click.option("--in-flight-max", type=int, help="Boxes at work at one time."),
    click.option("--in-flight-max-per-region", type=int, help="The same for each region."),
    click.option(
        "--rate",
        metavar="TEXT",
        help="Boxes that begin a minute: 50, or '50 x2 every 1000 succeeded up to 1000'.",
    ),
    click.option(
        "--bandwidth", "bandwidth_max_bytes_s", metavar="RATE", help="Of all boxes: '200 MB/s'."
    ),
    click.option(
        "--bandwidth-per-region",
        "bandwidth_max_per_region_bytes_s",
        metavar="RATE",
        help="Of the boxes of one region.",
    ),
    click.option(
        "--box-bandwidth",
        "box_bytes_s",
        metavar="RATE",
        help="What one box is taken to load while it loads; 1 MB/s if not said.",
    ),
    click.option("--spread", "spread_s", type=int, help="Boxes wait up to so many seconds."),
    click.option("--lease", "lease_s", type=int, help="Seconds a lease lasts without progress."),
    click.option(
        "--retry-for",
        multiple=True,
        metavar="REASON",
        help="Try a box again by itself after this; may be repeated. Replaces the usual ones.",
    ),
    click.option(
        "--abort",
        metavar="TEXT",
        help="Ends it: 'failed > 5 % from 100; any > 50 % of the last 20 from 10'.",
    ),
    click.option(
        "--newcomers", is_flag=True, help="Boxes that come later and that a wave is for join."
    ),
    click.option(
        "--goes-back",
        is_flag=True,
        help="After a halt or a stop boxes that have kept the release go back to what they ran.",
    ),
    click.option(
        "--back-from", metavar="VERSION", help="Boxes that run this newer version may have it too."
    ),
    click.option(
        "--hold-back",
        "hold_back_share",
        type=float,
        metavar="SHARE",
        help="Keep so many back to compare with, in a wave of their own at the end.",
    ),
    click.option("--start-boxes", type=int, help="Boxes at work before any has proved good."),
    click.option(
        "--accepted-share", type=float, help="Failures that are nobody's worry; else learned."
    ),
    click.option("--alpha", type=float, help="The chance that a good release is halted."),
    click.option(
        "--bad-max",
        "bad_share_max",
        type=float,
        help="A wave passes when more bad boxes than this share are ruled out ...",
    ),
    click.option("--doubt", type=float, help="... but for this chance."),
    click.option(
        "--ripe-after", "ripe_after_s", type=int, help="Seconds until a trial counts; else learned."
    ),
    click.option(
        "--rolls-back-trials/--lets-trials-end",
        default=None,
        help="Whether a halt takes boxes out of their trial; it does if not said.",
    ),
    click.option(
        "--watches-hours/--no-watches-hours",
        default=None,
        help="Judge hours after the update beside those of boxes that wait; if not said, where "
        "200 boxes come after the first wave.",
    ),
    click.option(
        "--limits-alone", is_flag=True, help="Judge by the waves' limits, without evidence."
    ),
    click.option("--salt", help="As the preview named it, to get exactly the boxes it showed."),
)


def options(command: Command) -> Command:
    """Add every option of a plan to *command*, in the order of the help."""
    for option in reversed((*_WAVES, *_PLAN, *_LIMITS)):
        command = option(command)
    return command


def body_of(given: dict[str, Any]) -> dict[str, Any]:
    """Return the body of the request: the file, and over it what the options say.

    Raises:
        ClickException: The file or an option can not be read.
    """
    file, window = given.pop("file"), given.pop("window")
    waves, lists = given.pop("waves"), given.pop("lists")
    limits = {name: given.pop(name) for name in LIMITS}
    limits = {name: value for name, value in limits.items() if value is not None}
    body = _read(file) if file else {}
    rules = _rules({name: given.pop(name) for name in RULES})
    evidence = _evidence({n: given.pop(n) for n in EVIDENCE}, given.pop("limits_alone"))
    body |= {name: value for name, value in given.items() if value is not None}
    if evidence != {}:
        body["evidence"] = evidence and {**(body.get("evidence") or {}), **evidence}
    if rules:
        body["rules"] = {**body.get("rules", {}), **rules}
    if window:
        begin, _, end = window.partition("-")
        body["window"] = {"start": begin, "end": end}
    named = [_listed(text) for text in lists] + [_chosen(text) for text in waves]
    if named:
        body["waves"] = [wave | limits for wave in named]
    body.setdefault("waves", [{"name": "everybody", "share_until": 1.0} | limits])
    return body


def _evidence(given: dict[str, Any], limits_alone: bool) -> dict[str, Any] | None:
    """Return what the options say of evidence: None for limits alone, {} if nothing."""
    found = {name: value for name, value in given.items() if value is not None}
    if limits_alone and found:
        raise click.ClickException(f"--limits-alone has no evidence that {min(found)} is for.")
    return None if limits_alone else found


def _rules(given: dict[str, Any]) -> dict[str, Any]:
    """Return the rules that options name, as REST takes them."""
    found = {name: value for name, value in given.items() if value not in (None, (), False)}
    try:
        if "windows" in found or "blackouts" in found:
            times = Schedule(
                schedule.parse_windows(found.pop("windows", "")),
                schedule.parse_blackouts(found.pop("blackouts", "")),
            )
            found |= rules_json(Rules(schedule=times))
        if "rate" in found:
            found["rate"] = rules_text.parse_rate(found["rate"])
        if "abort" in found:
            found["abort"] = rules_text.parse_aborts(found["abort"])
        for name in BANDWIDTHS:
            if name in found:
                found[name] = rules_text.parse_bytes_s(found[name], name)
    except BadPlanError as error:
        raise click.ClickException(str(error)) from None
    if "retry_for" in found:
        found["retry_for"] = list(found["retry_for"])
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        found: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is neither TOML nor, as .json, JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("rules", {}), dict):
        raise click.ClickException(f"{path} holds no object with the fields of a plan.")
    return found


def _chosen(text: str) -> dict[str, Any]:
    name, equals, whom = text.partition("=")
    try:
        share = float(whom if equals else name)
    except ValueError:
        return {"name": name, **_covered(text, whom)}
    return {"name": name, "share_until": share}


def _covered(text: str, whom: str) -> dict[str, Any]:
    try:
        found = parse_cover(whom)
    except BadPlanError as error:
        raise click.ClickException(
            f"--wave {text[:60]!r} is neither NAME=SHARE with a share from 0 to 1, such as "
            f"canary=0.05, nor NAME=ATTRIBUTE=VALUE. {error}"
        ) from None
    count = {} if found.count is None else {"count": found.count}
    return count | ({} if found.where is None else {"where": where_json(found.where)})


def _listed(text: str) -> dict[str, Any]:
    name, _, path = text.partition("=")
    if not path or not Path(path).is_file():
        raise click.ClickException(f"--list {text!r} is not NAME=FILE with a file that is there.")
    try:
        text = Path(path).read_text()
    except ValueError:
        raise click.ClickException(f"{path} is not a text with a device id a line.") from None
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    return {"name": name, "device_ids": ids}
