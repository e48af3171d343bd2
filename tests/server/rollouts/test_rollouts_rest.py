import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.accounts import service as accounts
from oleada_server.accounts import tokens
from oleada_server.accounts.models import Role
from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.rollouts import api, service
from oleada_server.rollouts.cli import rollout_group
from oleada_wire.words import Phase, Reason
from werkzeug.serving import make_server

from tests.server.rollouts.fleet import a_fleet, a_release, say

BOTH = ("rollouts:read", "rollouts:write")
PLAN: dict[str, Any] = {
    "hardware_model": "VX-410",
    "version": "1.1.0",
    "salt": "salt",
    "window": {"start": "22:00", "end": "05:30"},
    "waves": [
        {"name": "few", "share_until": 0.5, "failed_share_max": 1.0, "sample_min": 1},
        {"name": "everybody", "share_until": 1.0},
    ],
}


def a_token(*scopes: str) -> str:
    """Return a token of an operator with *scopes*."""
    now = now_utc()
    accounts.add_user("ana", full_name="Ana", role=Role.OPERATOR, actor="system:test", now=now)
    return tokens.create_token("ana", "test", scopes or BOTH, actor="system:test", now=now)


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(app: Flask) -> Ask:
    """Ask the REST API as an operator; returns status and JSON."""
    client: FlaskClient = app.test_client()
    bearer = {"Authorization": f"Bearer {a_token()}"}

    def send(method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        headers = bearer | ({"Idempotency-Key": key} if key else {})
        answer = client.open(f"/api/v1/rollouts{path}", method=method, json=body, headers=headers)
        return answer.status_code, answer.get_json()

    return send


def test_a_rollout_is_planned_started_and_watched(ask: Ask) -> None:
    boxes = a_fleet(20)
    a_release()

    status, shown = ask("POST", "/preview", PLAN)
    assert status == 200
    status, made = ask("POST", "", PLAN)
    assert (status, made["id"], made["state"]) == (201, "R-1", "draft")
    assert made["window"] == {"start": "22:00", "end": "05:30"}
    status, found = ask("POST", "/R-1/start", {})
    assert (status, found["state"]) == (200, "running")
    assert [wave["boxes"] for wave in found["waves"]] == [w["boxes"] for w in shown["waves"]]
    first = next(box for box in boxes if service.boxes(1)[boxes.index(box)].wave_position == 1)
    say(first, Phase.ROLLED_BACK, Reason.HEALTH_CHECK, detail="no picture")

    _, found = ask("GET", "/r-1")
    assert found["why_failed"] == [
        {
            "reason": "health-check",
            "state": "rolled_back",
            "outcome": "bad",
            "boxes": 1,
            "example": "no picture",
            "runs_now": {"1.0.0": 1},
        }
    ]
    _, page = ask("GET", "/1/boxes?state=rolled_back")
    assert [box["device_id"] for box in page["boxes"]] == [first]
    _, page = ask("GET", "")
    assert [(r["id"], r["state"]) for r in page["rollouts"]] == [("R-1", "running")]


def test_boxes_are_paged_by_device_id(ask: Ask) -> None:
    boxes = a_fleet(5)
    a_release()
    ask("POST", "", PLAN)
    ask("POST", "/R-1/start", {})

    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        _, page = ask("GET", f"/R-1/boxes?limit=2&after={after}")
        seen += [box["device_id"] for box in page["boxes"]]
        after = page["next"]

    assert seen == boxes


def test_a_request_that_is_sent_again_is_done_once(ask: Ask) -> None:
    a_fleet(4)
    a_release()

    assert ask("POST", "", PLAN, key="k1")[1]["id"] == "R-1"
    assert ask("POST", "", PLAN, key="k1")[1]["id"] == "R-1"
    assert ask("POST", "", PLAN, key="k2")[1]["id"] == "R-2"
    status, problem = ask("POST", "", {**PLAN, "name": "another"}, key="k1")
    assert (status, problem["code"]) == (409, "idempotency-key-reused")

    assert ask("POST", "/R-1/start", {}, key="k3")[0] == 200
    assert ask("POST", "/R-1/start", {}, key="k3")[0] == 200
    assert ask("POST", "/R-1/start", {}, key="k4")[0] == 409
    assert ask("POST", "/R-9/start", {}, key="k5")[0] == 404


def test_a_request_that_is_sent_twice_at_once_is_done_once(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second looked before the first had written: it must not be sent away for a new key."""
    a_fleet(4)
    a_release()
    ask("POST", "", PLAN, key="k1")
    ask("POST", "/R-1/start", {}, key="k2")
    for looks_early in (api, service):
        monkeypatch.setattr(looks_early, "done_before", lambda *_: None)

    planned, started = ask("POST", "", PLAN, key="k1"), ask("POST", "/R-1/start", {}, key="k2")
    other, problem = ask("POST", "", {**PLAN, "name": "another"}, key="k1")

    assert (planned[0], planned[1]["id"]) == (201, "R-1")
    assert (started[0], started[1]["state"]) == (200, "running")
    assert (other, problem["code"]) == (409, "idempotency-key-reused")
    assert len(ask("GET", "")[1]["rollouts"]) == 1


def test_a_deed_that_failed_may_be_sent_again_under_its_key(ask: Ask) -> None:
    a_fleet(4)
    a_release()
    ask("POST", "", PLAN)

    assert ask("POST", "/R-1/pause", {"reason": "early"}, key="k")[0] == 409
    ask("POST", "/R-1/start", {})
    status, found = ask("POST", "/R-1/pause", {"reason": "early"}, key="k")

    assert (status, found["state"], found["state_reason"]) == (200, "paused", "early")


def test_pause_resume_retry_and_stop_say_the_state_they_lead_to(ask: Ask) -> None:
    boxes = a_fleet(4)
    a_release()
    everybody = {"name": "all", "share_until": 1, "failed_share_max": 1}
    ask("POST", "", {**PLAN, "waves": [everybody]})
    ask("POST", "/R-1/start", {"reason": "Tuesday"})
    say(boxes[0], Phase.FAILED, Reason.WRONG_CONTENT)

    assert ask("POST", "/R-1/pause", {"reason": "a storm"})[1]["state"] == "paused"
    assert ask("POST", "/R-1/resume", {})[1]["state"] == "running"
    _, found = ask("POST", "/R-1/retry", {"ended_for": "wrong-content"})
    assert found["waves"][0]["states"] == {"assigned": 4}
    assert ask("POST", "/R-1/stop", {"reason": "enough"})[1]["state"] == "stopped"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("", {**PLAN, "wavez": []}, 422, "Unknown field"),
        ("", {**PLAN, "waves": []}, 400, "1 to 20 waves"),
        ("", {**PLAN, "version": "9"}, 404, "no release 9"),
        ("", {**PLAN, "window": {"start": "5", "end": "6"}}, 422, "HH:MM"),
        ("", {**PLAN, "window": {"start": "05:00", "end": "05:00"}}, 400, "never or always"),
        ("", {**PLAN, "waves": [{"name": "x", "share_until": "a lot"}]}, 422, "number"),
        ("", {**PLAN, "start_at": "2026-11-21T02:00:00"}, 422, "aware"),
        ("/R-1/pause", {}, 422, "reason"),
        ("/R-x/start", {}, 400, "not the id of a rollout"),
        ("/R-1/retry", {"device_ids": []}, 422, "device_ids"),
    ],
)
def test_a_bad_request_is_refused_with_what_was_expected(
    ask: Ask, path: str, body: Any, status: int, said: str
) -> None:
    a_fleet(1)
    a_release()

    found, problem = ask("POST", path, body)

    assert found == status
    assert said in json.dumps(problem)


@pytest.mark.parametrize("scopes", [(), ("devices:read",), ("rollouts:read",)])
def test_nobody_writes_without_the_scope(sqlite_app: Flask, scopes: tuple[str, ...]) -> None:
    bearer = {"Authorization": f"Bearer {a_token(*scopes)}"} if scopes else {}
    client = sqlite_app.test_client()

    assert client.post("/api/v1/rollouts", json=PLAN, headers=bearer).status_code in (401, 403)
    may_read = client.get("/api/v1/rollouts", headers=bearer).status_code == 200
    assert may_read == ("rollouts:read" in scopes)


Type = Callable[..., Result]


@pytest.fixture
def type_(sqlite_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Type]:
    """Type ``oleada rollout …`` against a server on a free loopback port."""
    server = make_server("127.0.0.1", 0, sqlite_app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OLEADA_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OLEADA_TOKEN", a_token())

    def run(*words: str) -> Result:
        db.session.rollback()
        return CliRunner().invoke(rollout_group, words)

    yield run
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.real
def test_the_command_line_does_the_same(type_: Type, tmp_path: Path) -> None:
    boxes = a_fleet(6)
    a_release()
    (tmp_path / "list").write_text(f"{boxes[0]}\n\n{boxes[1]}\n")
    words = ("plan", "VX-410", "1.1.0", "--list", f"lab={tmp_path / 'list'}", "--wave", "all=1")

    dry = type_(*words, "--dry-run")
    assert "VX-410 1.1.0 would go to 6 boxes" in dry.output
    assert "wave 1 lab: 2 boxes (2 on 1.0.0)" in dry.output
    made = type_(*words, "--window", "22:00-05:00", "--soak", "5", "--json")
    assert json.loads(made.output)["waves"][1]["soak_s"] == 5
    assert "R-1 VX-410 1.1.0 is running" in type_("start", "R-1").output
    assert "wave 1 lab: open; 2 boxes: 2 assigned" in type_("show", "1").output
    assert "is paused: a storm" in type_("pause", "R-1", "--reason", "a storm").output
    assert "is running" in type_("resume", "R-1").output
    assert "is stopped: enough" in type_("stop", "R-1", "--reason", "enough").output
    assert "R-1      stopped    VX-410 1.1.0" in type_("list").output
    watched = type_("watch", "R-1")
    assert watched.exit_code == 1
    assert watched.output.startswith("R-1 stopped: enough")


@pytest.mark.real
def test_a_plan_is_read_from_a_file_and_options_win(type_: Type, tmp_path: Path) -> None:
    a_fleet(2)
    a_release()
    (tmp_path / "plan.toml").write_text('name = "file"\nlease_s = 60\nattempts_max = 2\n')
    (tmp_path / "plan.json").write_text("[]")

    made = type_(
        "plan", "VX-410", "1.1.0", "--file", str(tmp_path / "plan.toml"), "--lease", "90", "--json"
    )
    found = json.loads(made.output)
    assert (found["name"], found["lease_s"], found["attempts_max"]) == ("file", 90, 2)
    wrong = type_("plan", "VX-410", "1.1.0", "--file", str(tmp_path / "plan.json"))
    assert "holds no object" in wrong.output
    assert "is neither NAME=SHARE" in type_("plan", "VX-410", "1.1.0", "--wave", "all").output


def test_who_says_nothing_of_evidence_gets_it_and_limits_alone_must_be_said(ask: Ask) -> None:
    a_fleet(4)
    a_release()

    usual = ask("POST", "", PLAN)[1]
    assert usual["evidence"]["terms"] == {
        "accepted_share": 0.005, "alpha": 0.01, "bad_share_max": 0.05, "doubt": 0.05,
        "start_boxes": 20, "ripe_after_s": 900, "rolls_back_trials": True,
        "watches_hours": None,
    }  # fmt: skip
    assert [wave["failed_share_max"] for wave in usual["waves"]] == [1.0, 0.1]
    alone = ask("POST", "", {**PLAN, "evidence": None})[1]
    assert alone["evidence"] is None
    assert [wave["failed_share_max"] for wave in alone["waves"]] == [1.0, 0.02]


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"accepted_share": 0}, {"accepted_share": 0.05}, {"alpha": 1.5}, {"doubt": -1},
        {"bad_share_max": 0.004}, {"start_boxes": 0}, {"start_boxes": 2**31},
        {"ripe_after_s": 0}, {"ripe_after_s": 10**6}, {"start_boxes": "many"},
    ],
)  # fmt: skip
def test_a_figure_of_evidence_that_can_not_be_is_refused(ask: Ask, wrong: dict[str, Any]) -> None:
    a_fleet(1)
    a_release()

    status, problem = ask("POST", "", {**PLAN, "evidence": wrong})

    assert status in (400, 422), problem


@pytest.mark.real
def test_the_command_line_forces_leaves_alone_and_shows_the_evidence(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box,) = a_fleet(1)
    a_release()
    now = now_utc()
    accounts.add_user("eva", full_name="Eva", role=Role.APPROVER, actor="system:test", now=now)
    token = tokens.create_token(
        "eva", "test", (*BOTH, "rollouts:approve", "devices:read"), actor="system:test", now=now
    )
    type_("plan", "VX-410", "1.1.0", "--start-boxes", "3", "--goes-back")
    type_("start", "R-1")
    until = (now + timedelta(hours=1)).isoformat()

    noted = type_("leave-alone", box, "--for", "recording", "--until", until, "--ref", "the final")
    assert "recording the final" in noted.output
    assert "FAIL not-left-alone" in type_("why", box, "--rollout", "R-1").output
    assert type_("force", "R-1", "--boxes", "1", "--reason", "a fire").exit_code == 1
    monkeypatch.setenv("OLEADA_TOKEN", token)
    assert "R-1 is forced." in type_("force", "R-1", "--boxes", "1", "--reason", "a fire").output
    assert "pass not-left-alone" in type_("why", box, "--rollout", "R-1").output
    assert "R-1 is not forced." in type_("unforce", "R-1").output
    lifted = type_("leave-alone", box, "--for", "recording")
    assert f"{box} is not left alone." in lifted.output

    shown = type_("evidence", "show", "R-1").output
    assert "E is 1 and halts at 100; 0 began" in shown
    assert "3 boxes may be at work; a gate wants 59 good ones" in shown
    assert type_("evidence", "incidents").output == ""
    closed = type_("evidence", "close", "I-1", "--finding", "a cable")
    assert "no incident" in str(closed.exception)
    rules = json.loads(type_("show", "R-1", "--json").output)["rules"]
    assert rules == {"goes_back": True}
