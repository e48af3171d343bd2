"""Actions run in processes of their own: in turn, bounded, told of, ended."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from oleada_wire.messages import Cmd
from oleada_wire.words import ResultStatus

from tests.agent.actions.bench import HEADER, WAIT_S, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.actions.stop()


def test_a_box_tries_itself(bench: Bench) -> None:
    assert bench.send("self_test")
    result = bench.result_of()

    values = bench.values(result)
    assert result.status is ResultStatus.COMPLETE, result
    tests = {values[f"X_OLEADA_Test.{n}.Name"]: values[f"X_OLEADA_Test.{n}.Passed"] for n in (1, 7)}
    assert tests == {"disk": True, "player": False}
    assert "player: the media player is not ready" in values["Results"]
    assert not list(bench.box.glob("data/self-test*"))
    assert not list((bench.box / "data/acting").iterdir())


def test_a_log_comes_without_what_is_secret(bench: Bench) -> None:
    (bench.box / "data/claim-token").write_text("tok-4711-secret\n")
    (bench.box / "run/agent.log").write_text(
        "2026-07-01T12:00:00Z oleada-agent: claimed with TOK-4711-secret\n"
        'wlan0: associated with 02:00:5e:10:00:01 psk="correct horse"\n'
        "loading https://cdn.example/a.ts?token=eyJhbGciOiJ.eyJzdWIiOiIx\n"
        "title=A Film Nobody Should Know, channel 7\n"
    )
    bench.send("log_pull", lines=10)
    result = bench.result_of()

    text = "".join(one.output for one in bench.progress) + result.output
    assert result.status is ResultStatus.COMPLETE
    assert "oleada-agent: claimed with [removed]" in text
    assert "channel 7" in text
    for secret in ("4711", "5e:10", "horse", "eyJ", "Film"):
        assert secret not in text


def test_the_loopback_answers_a_ping(bench: Bench) -> None:
    bench.send("ip_ping", host="127.0.0.1", repetitions=2, interval_ms=20)
    values = bench.values(bench.result_of())

    assert (values["SuccessCount"], values["FailureCount"]) == (2, 0)
    assert 0 < values["MinimumResponseTimeDetailed"] <= values["MaximumResponseTimeDetailed"]
    assert values["IPAddressUsed"] == "127.0.0.1"


def test_an_action_that_takes_too_long_is_ended_with_all_it_has_started(bench: Bench) -> None:
    now_ms = 0
    bench.steady_ms = lambda: now_ms
    bench.send("packet_capture", interface="lo", duration_s=60)
    assert bench.actions.next_due_ms() == 70_000
    [job] = bench.actions._running
    assert job.child is not None
    now_ms = 70_000
    bench.actions.look()

    [result] = bench.results
    assert (result.status, result.error) == (ResultStatus.TIMEOUT, "timed-out")
    while not job.child.is_gone:
        bench.actions.take(bench.said.get(timeout=WAIT_S))
    assert bench.results == [result]


def test_an_action_is_ended_when_somebody_asks(bench: Bench) -> None:
    bench.send("packet_capture", interface="lo", duration_s=60)
    bench.send("cancel", "C-2", cmd_id_of="C-1")
    assert bench.results[0].error == "bad-argument"
    cancel = Cmd(HEADER, "VX417Q3K0928", "C-3", 3, "cancel", 2_000, {"cmd_id": "C-1"})
    for _ in range(2):
        bench.actions.begin(cancel)

    said = [(one.cmd_id, one.status, one.error) for one in bench.results[1:]]
    assert said == [
        ("C-1", ResultStatus.CANCELED, None),
        ("C-3", ResultStatus.COMPLETE, None),
        ("C-3", ResultStatus.REFUSED, "not-running"),
    ]
    assert bench.actions.is_idle


def test_one_disturbs_at_a_time_and_two_read_beside_it(bench: Bench) -> None:
    for number in range(1, 4):
        bench.send("packet_capture", f"C-{number}", interface="lo", duration_s=60)
    for number in (4, 5):
        bench.send("message", f"C-{number}", text="hello")
    running = [job.turn.cmd_id for job in bench.actions._running]
    assert running == ["C-1", "C-2", "C-4"]

    assert bench.result_of("C-4").error == "not-on-this-model"
    assert [job.turn.cmd_id for job in bench.actions._running] == ["C-1", "C-2", "C-5"]


def test_what_waits_too_long_is_not_begun(bench: Bench) -> None:
    for number in range(1, 4):
        bench.send("packet_capture", f"C-{number}", interface="lo", duration_s=60)
    bench.now_ms = 2_000
    bench.actions.look()

    [result] = bench.results
    assert (result.cmd_id, result.error) == ("C-3", "too-late")


def test_only_so_much_waits(bench: Bench) -> None:
    for number in range(12):
        bench.send("packet_capture", f"C-{number}", interface="lo", duration_s=60)

    assert [(one.cmd_id, one.error) for one in bench.results] == [
        ("C-10", "busy"),
        ("C-11", "busy"),
    ]


@pytest.mark.parametrize("denied", ["self_test", "*"])
def test_no_server_opens_what_the_box_s_own_settings_close(tmp_path: Path, denied: str) -> None:
    bench = Bench(tmp_path, frozenset({denied}))
    bench.send("self_test")

    assert (bench.results[0].status, bench.results[0].error) == (ResultStatus.REFUSED, "denied")


def test_a_verb_that_is_no_action_is_left_to_others(bench: Bench) -> None:
    assert not bench.send("shell")
    assert not bench.send("self_test", cmd_id="../../etc")
    assert bench.results == []


def test_a_killed_process_is_told_of(bench: Bench) -> None:
    bench.send("packet_capture", interface="lo", duration_s=60)
    [job] = bench.actions._running
    assert job.child is not None
    os.kill(job.child._pid, 9)

    assert (bench.result_of().status, bench.result_of().error) == (ResultStatus.INTERNAL, "died")


def test_a_start_of_the_agent_tells_of_what_it_has_ended(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    first.send("packet_capture", interface="lo", duration_s=60)
    first.actions.stop()
    again = Bench(tmp_path)
    again.actions.tell_interrupted()

    assert [(one.cmd_id, one.error) for one in again.results] == [("C-1", "died")]
    assert not list((tmp_path / "data/acting").iterdir())


def test_a_restart_waits_for_an_update(bench: Bench) -> None:
    bench.may_restart = False
    bench.send("reboot")
    assert bench.result_of().error == "busy"

    bench.may_restart = True
    bench.send("reboot", "C-2")
    assert bench.result_of("C-2").status is ResultStatus.COMPLETE
    assert bench.deeds == ["reboot"]


def test_a_restart_when_idle_leaves_a_viewer_in_peace(bench: Bench) -> None:
    (bench.box / "run/viewer.present").touch()
    bench.send("reboot")
    assert bench.result_of().error == "viewer"
    bench.send("reboot", "C-2", when_idle=False)

    assert bench.result_of("C-2").status is ResultStatus.COMPLETE
