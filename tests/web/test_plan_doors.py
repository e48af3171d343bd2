"""Planner, REST, command line and console offer the same: found from schemas, parsers and forms.

What one of them gains and another lacks fails here, by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import click
import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import fields
from oleada_server.cli import main
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.rollouts import cli_plan, groups, reading, service
from oleada_server.rollouts.schemas import RolloutPlan, spec_from
from oleada_server.rollouts.spec import RolloutSpec
from oleada_server.web import plan_form, plan_judging, plan_rules
from oleada_server.web.plan_form import PlanForm
from oleada_server.web.plan_waves import WaveRow

from tests.server.rollouts.fleet import ANA, a_release
from tests.web.forms import plan_fields

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
FULL: Final[dict[str, Any]] = {
    "hardware_model": "VX-410", "version": "5.8.2", "name": "to all",
    "start_at": datetime(2026, 11, 21, 1, tzinfo=UTC),
    "waves": [
        {"name": "ours", "device_ids": ["VX417Q3K0928"], "success_share_min": 0.9,
         "failed_share_max": 0.04, "silent_share_max": 0.2, "sample_min": 7, "soak_s": 7200},
        {"name": "few", "count": 20, "where": {
            "region": ["Brno"], "version": ["1.0"], "zone": ["UTC"], "group": ["staff"],
            "provides": ["4k"], "version_min": "1.0", "version_max": "2.0"}},
        {"name": "all", "share_until": 1.0},
    ],
    "hold_back_share": 0.05, "silent_after_s": 3600, "attempts_max": 5, "in_flight_max": 70,
    "spread_s": 600, "lease_s": 1800, "salt": "given",
    "rules": {
        "windows": [{"days": ["mon"], "start": "23:00", "end": "05:00"}],
        "blackouts": [{"first": "2026-12-24", "last": "2026-12-26"}],
        "rate": {"kind": "exponential", "base_per_minute": 50, "factor": 2.0, "every": 1000,
                 "on": "succeeded", "max_per_minute": 900},
        "in_flight_max_per_region": 40, "bandwidth_max_bytes_s": 20_000_000,
        "bandwidth_max_per_region_bytes_s": 2_000_000, "box_bytes_s": 500_000,
        "retry_for": ["download"], "newcomers": True, "goes_back": True, "back_from": "9.0.0",
        "abort": [{"on": "failed", "share_max": 0.05, "sample_min": 10, "last": 20}],
    },
    "evidence": {
        "accepted_share": 0.01, "alpha": 0.02, "bad_share_max": 0.06, "doubt": 0.1,
        "start_boxes": 9, "ripe_after_s": 1200, "rolls_back_trials": False,
        "watches_hours": True,
    },
}  # fmt: skip
"""A plan in which nothing is as usual."""
ELSEWHERE: Final = {
    "window.start": "a rollout has a daily window or windows, never both",
    "window.end": "as its start",
    "rules.rate.per_minute": "of a constant rate, which an exponential one is not",
}
"""Fields that no plan has beside those of FULL."""
WORDS: Final = (
    "--name", "to all", "--start-at", "2026-11-21T01:00+00:00", "--wave",
    "few=count=20; region=Brno; version=1.0; zone=UTC; group=staff; provides=4k;"
    " version_min=1.0; version_max=2.0", "--wave", "all=1", "--hold-back", "0.05",
    "--silent-after", "3600", "--attempts-max", "5", "--in-flight-max", "70", "--spread", "600",
    "--lease", "1800", "--salt", "given", "--windows", "mon 23:00-05:00",
    "--blackouts", "2026-12-24/2026-12-26", "--rate", "50 x2 every 1000 succeeded up to 900",
    "--in-flight-max-per-region", "40", "--bandwidth", "20 MB/s", "--bandwidth-per-region",
    "2 MB/s", "--box-bandwidth", "500 kB/s", "--retry-for", "download", "--newcomers",
    "--goes-back", "--back-from", "9.0.0", "--abort", "failed > 5 % of the last 20 from 10",
    "--accepted-share", "0.01", "--alpha", "0.02", "--bad-max", "0.06", "--doubt", "0.1",
    "--start-boxes", "9", "--ripe-after", "1200", "--lets-trials-end", "--watches-hours",
    "--success-min", "0.9", "--failed-max", "0.04", "--silent-max", "0.2", "--sample-min", "7",
    "--soak", "7200",
)  # fmt: skip
OF_THE_COMMAND: Final = {"hardware_model", "version"}
"""Arguments of the command, not options of the plan."""
_LIMITS: Final = {
    "updated": "90", "failed": "4", "silent": "20", "sample": "7", "soak": "2 h",
}  # fmt: skip
FORM: Final = PlanForm(
    release="VX-410/5.8.2", boxes="first", listed="VX417Q3K0928", name="to all",
    waves=(
        WaveRow(name="ours", **_LIMITS),
        WaveRow(name="few", until="count=20; region=Brno; version=1.0; zone=UTC; group=staff; "
                "provides=4k; version_min=1.0; version_max=2.0", **_LIMITS),
        WaveRow(name="all", until="100", **_LIMITS),
    ),
    window="weekly", start="at", start_at="2026-11-21T01:00", in_flight="70", silent_after="1 h",
    slow="yes", start_boxes="9", hold_back="5",
    rules={
        "windows": "mon 23:00-05:00", "blackouts": "2026-12-24/2026-12-26",
        "rate": "50 x2 every 1000 succeeded up to 900", "region_max": "40",
        "bandwidth": "20 MB/s", "region_bandwidth": "2 MB/s", "box_bandwidth": "500 kB/s",
        "retry": "download", "newcomers": "yes", "goes_back": "yes", "back_from": "9.0.0",
        "abort": "failed > 5 % of the last 20 from 10",
    },
    judging={
        "accepted": "1", "alpha": "2", "bad_max": "6", "doubt": "10", "ripe_after": "20 min",
        "hours": "watched", "trials": "end", "attempts": "5", "spread": "10 min",
        "lease": "30 min",
    },
)  # fmt: skip


def leaves(schema: Any, at: str = "") -> Iterator[str]:
    """Yield each field of *schema* that holds a value, by its way from the top."""
    for name, one in schema.fields.items():
        inner = one.inner if isinstance(one, fields.List) else one
        if isinstance(inner, fields.Nested):
            yield from leaves(inner.schema, f"{at}{name}.")
        else:
            yield at + name


def said(found: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yield the same of a body."""
    for name, value in found.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from said(one, f"{at}{name}.")
            else:
                yield at + name


def planned(limits_of_all: bool = False) -> RolloutSpec:
    """Return FULL as the planner takes it; with the limits of its first wave in all waves."""
    first, *others = FULL["waves"]
    limits = {name: first[name] for name in cli_plan.LIMITS}
    more = [{**one, **limits} for one in others] if limits_of_all else others
    return spec_from({**FULL, "waves": [dict(one) for one in (first, *more)]})


def test_the_full_plan_says_everything_that_a_request_may() -> None:
    there = set(leaves(RolloutPlan()))

    assert there - set(said(FULL)) - set(ELSEWHERE) == set()
    assert set(said(FULL)) | set(ELSEWHERE) == there, "what is not there needs no reason"


def test_no_field_of_a_plan_is_lost_on_its_way_into_the_planner() -> None:
    usual = spec_from({"hardware_model": "VX-410", "version": "5.8.2",
                       "waves": [{"name": "all", "share_until": 1.0}]})  # fmt: skip
    spec = planned()

    same = {name for name in RolloutSpec.__dataclass_fields__
            if getattr(spec, name) == getattr(usual, name)}  # fmt: skip
    assert same == {"hardware_model", "version", "window"}
    assert spec.evidence is not None
    assert usual.evidence is not None
    names = type(spec.evidence).__dataclass_fields__
    assert not [n for n in names if getattr(spec.evidence, n) == getattr(usual.evidence, n)]


def test_no_field_of_a_plan_is_lost_on_its_way_into_the_rows(empty_app: Flask) -> None:
    with empty_app.app_context():
        db.session.add(HardwareModel(name="VX-410", title="VX-410"))
        db.session.flush()
        a_release("5.8.2")
        groups.create("staff", note="", rule=None, actor=ANA, now=NOW)

        rollout_id = service.create(planned(), actor=ANA, now=NOW)
        db.session.expire_all()

        assert reading.spec_of(service.get(rollout_id)) == planned()


def test_the_command_line_says_everything_that_a_request_may(tmp_path: Any) -> None:
    ours = tmp_path / "ours.txt"
    ours.write_text("VX417Q3K0928\n")
    written: dict[str, Any] = {}

    @click.command()
    @cli_plan.options
    def plan(**given: Any) -> None:
        written.update(cli_plan.body_of(given))

    assert "window" in {param.name for param in plan.params}
    plan.main(["--list", f"ours={ours}", *WORDS], standalone_mode=False)

    assert set(said(FULL)) - set(said(written)) == OF_THE_COMMAND
    written["start_at"] = datetime.fromisoformat(written["start_at"])
    whole = {name: FULL[name] for name in OF_THE_COMMAND} | written
    assert spec_from(whole) == planned(limits_of_all=True)


def test_the_console_says_everything_that_a_request_may(empty_app: Flask) -> None:
    with empty_app.test_request_context("/"):
        spec = plan_form.spec_of(FORM, NOW, "UTC")

    assert replace(spec, salt="given") == planned(limits_of_all=True)
    assert set(FORM.rules) == set(plan_rules.FIELDS)
    assert set(FORM.judging) == set(plan_judging.FIELDS)


def test_the_page_has_a_field_for_each_text_of_the_form(filled_app: Flask, signed_in: Any) -> None:
    client: FlaskClient = signed_in(filled_app)
    page = client.get("/rollouts/new?release=VX-410/5.8.2").text
    there = {name.removeprefix("w0-") for name in plan_fields(page)}

    ticked = {*plan_rules.TICKED, "boxes", "window", "start", "slow"}
    wanted = {*PlanForm.__dataclass_fields__, *plan_rules.FIELDS, *plan_judging.FIELDS,
              *WaveRow.__dataclass_fields__} - {"waves", "rules", "judging", "remark"}  # fmt: skip
    assert wanted - there - ticked == set()
    assert {name for name in ticked if f'name="{name}"' not in page} == set()


DEEDS: Final[dict[str, tuple[str, str]]] = {
    "rollouts.create": ("rollout plan", "plan_pages.change_or_store"),
    "rollouts.preview": ("rollout plan", "plan_pages.preview"),
    "rollouts.start": ("rollout start", "rollout_pages.do"),
    "rollouts.ask": ("rollout ask", "rollout_pages.do"),
    "rollouts.approve": ("rollout approve", "rollout_pages.decide"),
    "rollouts.send_back": ("rollout send-back", "rollout_pages.decide"),
    "rollouts.pause": ("rollout pause", "rollout_pages.do"),
    "rollouts.resume": ("rollout resume", "rollout_pages.do"),
    "rollouts.stop": ("rollout stop", "rollout_pages.do"),
    "rollouts.retry": ("rollout retry", "rollout_pages.retry"),
    "rollouts.force": ("rollout force", "rollout_pages.force"),
    "rollouts.unforce": ("rollout unforce", "rollout_pages.unforce"),
    "rollouts.go_on": ("rollout go-on", "rollout_pages.go_on"),
    "rollouts.open_early": ("rollout open-early", "rollout_pages.open_early"),
    "rollouts.sign": ("rollout authorise", "approvers sign on machines of their own, off the net"),
    "evidence.close": ("rollout evidence close", "rollout_pages.close_incident"),
    "left_alone.note": ("rollout leave-alone", "left_alone_pages.note"),
    "left_alone.lift": ("rollout leave-alone", "left_alone_pages.lift"),
    "groups.create": ("group create", "group_pages.make"),
    "groups.change": ("group change", "group_pages.change"),
    "groups.remove": ("group remove", "group_pages.remove"),
}
"""By the door of REST: the command and the page that do the same; a sentence where none may."""


def test_each_deed_of_a_rollout_has_a_command_and_a_page(empty_app: Flask) -> None:
    mine = ("rollouts.", "evidence.", "left_alone.", "groups.")
    rules = [rule for rule in empty_app.url_map.iter_rules() if rule.endpoint.startswith(mine)]
    doors = {rule.endpoint for rule in rules if "POST" in (rule.methods or ())}
    pages = {rule.endpoint for rule in empty_app.url_map.iter_rules()}

    assert doors == set(DEEDS)
    for command, page in DEEDS.values():
        assert is_command(command), command
        assert page in pages or " " in page, page


@pytest.mark.parametrize("page", ["rollout_pages.do", "rollout_pages.decide"])
def test_a_page_of_several_deeds_takes_each_of_them(empty_app: Flask, page: str) -> None:
    verbs = {door.partition(".")[2].replace("_", "-") for door, (_, at) in DEEDS.items()
             if at == page}  # fmt: skip
    rule = next(one for one in empty_app.url_map.iter_rules() if one.endpoint == page)

    assert {verb for verb in verbs if verb not in rule.rule} == set()


def is_command(words: str) -> bool:
    """Return whether ``oleada`` has this command."""
    found: click.Command | None = main
    for word in words.split():
        assert isinstance(found, click.Group), words
        found = found.get_command(click.Context(found), word)
    return found is not None
