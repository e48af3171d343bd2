"""A plan as people write it: the options of the command, and the words of its rules."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.rollouts import cli_groups, cli_plan, rules_text
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.rules import rules_from

from tests.server.rollouts.fleet import a_fleet, a_release
from tests.web.console import served


def written(*words: str) -> Result:
    """Return what the command would send, as JSON."""

    @click.command()
    @cli_plan.options
    def plan(**given: Any) -> None:
        click.echo(json.dumps(cli_plan.body_of(given)))

    return CliRunner().invoke(plan, words)


def body(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(*words).stdout)
    return found


def test_a_wave_is_written_as_a_share_a_number_or_an_attribute() -> None:
    waves = body(
        "--wave", "canary=0.05", "--wave", "first=count=200",
        "--wave", "south=region=Brno, Praha; count=50; version_min=1.2", "--wave", "all=1",
    )["waves"]  # fmt: skip

    assert waves == [
        {"name": "canary", "share_until": 0.05},
        {"name": "first", "count": 200},
        {"name": "south", "count": 50,
         "where": {"region": ["Brno", "Praha"], "version_min": "1.2"}},
        {"name": "all", "share_until": 1.0},
    ]  # fmt: skip


def test_every_rule_has_an_option() -> None:
    found = body(
        "--windows", "mon-fri 23:00-05:00", "--blackouts", "2026-12-24/2026-12-26",
        "--rate", "50 x2 every 1000 succeeded up to 1000", "--in-flight-max-per-region", "40",
        "--bandwidth", "20 MB/s", "--bandwidth-per-region", "2.5 MB/s", "--box-bandwidth",
        "500000", "--retry-for", "download", "--retry-for", "storage", "--newcomers",
        "--goes-back", "--back-from", "1.2.0",
        "--abort", "failed > 5 % from 100; any > 50 % of the last 20 from 10",
    )["rules"]  # fmt: skip

    assert set(found) == set(cli_plan.RULES)
    assert found["bandwidth_max_per_region_bytes_s"] == 2_500_000
    assert rules_from(found).abort[1].last == 20


def test_options_stand_over_the_rules_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('[rules]\nnewcomers = true\nrate = {kind = "constant", per_minute = 9}\n')

    found = body("--file", str(file), "--rate", "7")["rules"]

    assert found == {"newcomers": True, "rate": {"kind": "constant", "per_minute": 7}}


@pytest.mark.parametrize(
    "words",
    [("--wave", "a=much"), ("--wave", "a=colour=red"), ("--windows", "always"),
     ("--blackouts", "never"), ("--rate", "fast"), ("--rate", "50 x2"), ("--abort", "failed"),
     ("--abort", "failed > 5 from 10"), ("--bandwidth", "wide"), ("--bandwidth", "1 TB/s")],
)  # fmt: skip
def test_what_can_not_be_read_is_refused_in_a_sentence(words: tuple[str, str]) -> None:
    found = written(*words)

    assert found.exit_code == 1
    assert found.stderr.startswith("Error: ")
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("text", ["50", "50 x2 every 1000 succeeded up to 1000",
                                  "1 x1.5 every 7 notified up to 9"])  # fmt: skip
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    rate = rules_from({"rate": rules_text.parse_rate(text)}).rate

    assert rate is not None
    assert rules_text.rate_text(rate) == text


def test_abort_criteria_are_written_as_they_are_read() -> None:
    text = "failed > 2.5 % from 100; timed-out > 0 % of the last 20 from 10"

    assert (
        rules_text.aborts_text(rules_from({"abort": rules_text.parse_aborts(text)}).abort) == text
    )


@pytest.mark.parametrize("bytes_s", [1, 999, 1000, 1500, 2_500_000, 10**9, 1_234_567, 1_001_000])
def test_a_bandwidth_is_written_as_it_is_read(bytes_s: int) -> None:
    assert rules_text.parse_bytes_s(rules_text.bytes_s_text(bytes_s), "x") == bytes_s
    with pytest.raises(BadPlanError):
        rules_text.parse_bytes_s(f"-{bytes_s}", "x")


Run = Callable[..., Result]


@pytest.fixture
def run(sqlite_app: Flask) -> Run:
    """Run ``oleada group`` against a server that runs."""
    now = now_utc()
    accounts.add_user("ana", full_name="Ana", role=Role.OPERATOR, actor="system:test", now=now)
    token = tokens.create_token(
        "ana", "test", ("devices:read", "rollouts:read", "rollouts:write"),
        actor="system:test", now=now,
    )  # fmt: skip

    def run_words(*words: str) -> Result:
        with served(sqlite_app) as address:
            environ = {"OLEADA_URL": address, "OLEADA_TOKEN": token}
            return CliRunner(env=environ).invoke(cli_groups.group_group, words)

    return run_words


def test_groups_are_made_changed_shown_and_removed_from_the_command_line(run: Run) -> None:
    ids = a_fleet(3)
    a_release()

    assert run("create", "staff", "--note", "ours").exit_code == 0
    assert "2 boxes" in run("change", "staff", "--add", ids[0], "--add", ids[1]).stdout
    assert "1 boxes" in run("change", "staff", "--remove", ids[0]).stdout
    assert ids[1] in run("show", "staff").stdout
    assert "region=Brno" in run("create", "south", "--where", "region=Brno").stdout
    assert "south" in run("list").stdout
    assert run("remove", "south").exit_code == 0
    assert "south" not in run("list").stdout


def test_a_group_that_is_refused_says_why(run: Run) -> None:
    assert "no attribute" in run("create", "south", "--where", "colour=red").stderr
    assert "40 small letters" in str(run("create", "South").exception)
    assert "There is no group" in str(run("show", "nobody").exception)
    run("create", "staff")
    assert "There is no box" in str(run("change", "staff", "--add", "AAAA00000000").exception)
