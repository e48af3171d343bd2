"""What is secret on a box, or what somebody watches, leaves it in no result."""

import json
from pathlib import Path
from typing import Any

import pytest
from oleada_agent.actions import logfiles
from oleada_agent.actions.known import secrets_of
from oleada_agent.actions.order import ActionError
from oleada_agent.actions.redact import GONE, is_secret, redact
from oleada_agent.actions.telling import LineTeller
from oleada_agent.senses.player import Watched, status
from oleada_lab.media.daemon import serve
from oleada_lab.media.player import Player
from oleada_wire.action_table import TABLE
from oleada_wire.actions import Field
from oleada_wire.readings import READINGS

from tests.agent.actions.bench import Bench

SECRETS = {
    "wpa": ('psk="correct horse battery"', "horse"),
    "wpa bare": ("psk=0f1e2d3c4b5a69788796a5b4c3d2e1f0", "0f1e2d3c"),
    "json password": ('{"user": "a", "password": "hunter2 or so", "n": 1}', "hunter2"),
    "camel case": ('"accessToken":"abc.def.ghi"', "abc.def"),
    "header": ("Authorization: Bearer abcdef123456", "abcdef"),
    "cookie": ("Set-Cookie: sid=9f8e7d; Path=/", "9f8e7d"),
    "token in a link": ("GET https://cdn.example/x.m3u8?sig=9f8e7d6c", "9f8e7d"),
    "user in a link": ("ftp://joe:secretpw@host/file", "secretpw"),
    "JWT": ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghij", "eyJ"),
    "key": ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
    "half a key": ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQ", "MHcCAQ"),
    "MAC": ("associated with 02:00:5e:10:00:01 on 36", "5e:10"),
    "MAC with dashes": ("client 02-00-5E-10-00-01", "5E-10"),
    "PIN": ("pin: 4711", "4711"),
    "title": ("now playing title=A Film Nobody Should Know", "Nobody"),
    "programme": ('"programme": "The Late Show", "ok": true', "Late"),
    "network": ("ssid=Casa de Nadie", "Nadie"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_taken_out_of_a_text(name: str) -> None:
    text, secret = SECRETS[name]
    found = redact(f"before {text} \nafter 1 2 3")

    assert secret not in found
    assert GONE in found
    assert found.startswith("before ")
    if name != "half a key":
        assert found.endswith("after 1 2 3")


def test_what_is_no_secret_stays() -> None:
    plain = (
        "2026-07-01T12:00:00Z player: decoder reset after 3 errors at 12:30:45, code E-77 [0x1f]"
    )

    assert redact(plain) == plain


@pytest.mark.parametrize("lines", [2, 3])
def test_the_end_of_a_key_whose_beginning_is_not_asked_for_is_not_told(
    tmp_path: Path, lines: int
) -> None:
    bench = Bench(tmp_path)
    key = ["-----BEGIN EC PRIVATE KEY-----", "MHcCAQ1", "MHcCAQ2", "-----END EC PRIVATE KEY-----"]
    (tmp_path / "run/player.log").write_text("\n".join(["starts", *key, "plays"]))

    bench.send("log_pull", lines=lines)

    result = bench.result_of()
    said = "".join(one.output for one in bench.progress) + result.output
    assert "MHcC" not in said
    assert GONE in said


def test_a_key_that_the_bound_of_what_is_read_cuts_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "a.log"
    log.write_text("-----BEGIN PRIVATE KEY-----\nMIIE1\nMIIE2\n-----END PRIVATE KEY-----\nplays\n")
    monkeypatch.setattr(logfiles, "READ_BYTES_MAX", len(log.read_text()) - 30)

    _, lines = logfiles.tail(log, 50, None)

    assert lines == [GONE, "plays"]


def test_a_secret_that_the_bound_of_a_line_cuts_is_not_told_in_part(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "data/claim-token").write_text("tok-4711-and-more\n")
    (tmp_path / "run/player.log").write_text("x" * 990 + " tok-4711-and-more plays\n")

    bench.send("log_pull", lines=5)

    result = bench.result_of()
    said = "".join(one.output for one in bench.progress) + result.output
    assert "tok-4711" not in said
    assert "x" * 990 in said


def test_what_this_box_knows_to_be_secret_is_known_anywhere() -> None:
    assert redact("tried TOK-4711-x twice", {"tok-4711-x"}) == f"tried {GONE} twice"
    assert redact("a b c", {"b"}) == "a b c"


def test_a_text_made_to_take_long_does_not() -> None:
    for text in ("a" * 200_000, "psk=" * 50_000, "a.b-" * 50_000, '"' * 200_000, "://" * 60_000):
        assert len(redact(text)) <= 600_000


def test_secrets_of_a_box_are_found_where_they_lie(tmp_path: Path) -> None:
    box, machine = tmp_path / "box", tmp_path / "machine"
    (box / "data").mkdir(parents=True)
    (box / "data/claim-token").write_text("tok-4711\n")
    place = machine / "etc/wpa_supplicant"
    place.mkdir(parents=True)
    (place / "wlan0.conf").write_text('network={\n ssid="Casa de Nadie"\n psk="horse horse"\n}\n')
    (machine / "sys/class/net/eth0").mkdir(parents=True)
    (machine / "sys/class/net/eth0/address").write_text("02:00:5e:10:00:01\n")

    assert secrets_of(box, machine) == {
        "tok-4711", "Casa de Nadie", "horse horse", "02:00:5e:10:00:01", "02005e100001",
    }  # fmt: skip


def test_nothing_that_the_tables_name_is_a_secret() -> None:
    every: list[Field] = [*READINGS, *(field for action in TABLE for field in action.results)]

    assert [field.name for field in every if is_secret(field.name)] == []


def test_a_value_called_a_secret_is_never_told() -> None:
    lines: list[dict[str, Any]] = []
    teller = LineTeller(
        lambda line: lines.append(json.loads(line)), frozenset(), lambda: 0, lambda name, data: {}
    )
    teller.say({"Result.1.SSID": "Casa", "Result.1.BSSID": "x", "Result.1.Channel": 6})
    teller.end("Complete")

    assert lines[-1]["values"] == {"Result.1.Channel": 6}


def test_secrets_planted_on_a_box_are_in_no_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "data/claim-token").write_text("tok-4711-secret")
    (tmp_path / "data/config.toml").write_text(
        'serial = "S"\nhardware_model = "VX-410"\nenrol_url = "https://127.0.0.1:1"\n'
        'mac = "02:00:5e:10:00:77"\nclaim_token_file = "claim-token"\n'
    )
    for name in ("run/agent.log", "run/player.log"):
        text = "\n".join(text for text, _ in SECRETS.values() if "PRIVATE" not in text)
        (tmp_path / name).write_text(f"tok-4711-secret\n{text}\n")
    with serve(tmp_path, lie="secrets"):
        for number, verb in enumerate(("log_pull", "config_get", "process_list", "media_status")):
            bench.send(verb, f"C-{number}")
            bench.result_of(f"C-{number}")

    said = repr((bench.results, bench.progress))
    planted = [secret for _, secret in SECRETS.values() if secret not in ("MIIEvQ", "MHcCAQ")]
    for secret in (*planted, "4711-secret", "00:77", "tok-from-player-77", "Film Nobody"):
        assert secret not in said, secret
    assert said.count("Complete") == 4


def test_an_action_never_uploads_more_than_it_may() -> None:
    teller = LineTeller(
        lambda line: None, frozenset(), lambda: 0, lambda name, data: {"name": name}
    )
    with pytest.raises(ActionError, match="files of at most"):
        teller.upload("x", bytes(8 * 1024 * 1024 + 1))
    for _ in range(4):
        teller.upload("x", b"1")
    with pytest.raises(ActionError, match="files of at most"):
        teller.upload("x", b"1")


def test_an_action_tells_its_last_words_however_long_it_talks() -> None:
    lines: list[dict[str, Any]] = []
    now = iter(range(0, 10**9, 1_000))
    teller = LineTeller(
        lambda line: lines.append(json.loads(line)), frozenset(), lambda: next(now),
        lambda name, data: {},
    )  # fmt: skip
    for number in range(2_000):
        teller.say({f"Result.{number}.Channel": number}, done_parts=number)
    teller.end("Complete")

    assert len(lines) <= 64
    values = {name for line in lines for name in line["values"]}
    assert len(values) == 2_000
    assert lines[-1]["is_truncated"] is False


def test_a_bare_title_is_in_no_result_while_it_is_shown_or_was_lately(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.actions.around.private = lambda: ["The Long Goodbye", "Luz"]
    (tmp_path / "run/player.log").write_text(
        "zapped to Canal Ocho\nbegins: the long  GOODBYE at 20:15\nnow Lost, a lost packet\n"
        "Lostness and Luz stay\n"
    )
    player = Player(watching=("Canal Ocho", "Lost"))
    with serve(tmp_path, player):
        bench.send("log_pull", lines=50)
        result = bench.result_of()

    said = "".join(one.output for one in bench.progress) + result.output
    assert f"zapped to {GONE}\nbegins: {GONE} at 20:15\nnow {GONE}, a {GONE} packet\n" in said
    assert "Lostness and Luz stay" in said, "a short title is any word, and part of another is none"
    assert "private" not in repr((bench.results, bench.progress))


@pytest.mark.parametrize("lie", ["hangs", "not-json", "secrets"])
def test_a_player_that_lies_holds_no_log_back(tmp_path: Path, lie: str) -> None:
    bench = Bench(tmp_path)
    bench.actions.around.private = lambda: ["The Long Goodbye"]
    (tmp_path / "run/player.log").write_text("begins: The Long Goodbye at 20:15\n")
    with serve(tmp_path, lie=lie):
        bench.send("log_pull", lines=50)
        result = bench.result_of()

    said = "".join(one.output for one in bench.progress) + result.output
    assert f"begins: {GONE} at 20:15" in said


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (["A", " B "], ["A", "B"]), (None, []), ("A", []), ([1, None, {}, "  "], []),
        (["x" * 500], ["x" * 200]), (["A", "B", "A"], ["B", "A"]),
        ([str(n) for n in range(100)], [str(n) for n in range(8)]),
    ],
)  # fmt: skip
def test_what_a_player_calls_private_is_bounded(said: object, kept: list[str]) -> None:
    watched = Watched()
    watched.take(said)
    assert watched.recent() == kept

    for number in range(200):
        watched.take([f"title {number}"])
    assert len(watched.recent()) == 32
    assert watched.recent()[-1] == "title 199"


def test_a_player_with_long_foreign_titles_stops_no_action(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    watched = Watched()
    for number in range(32):
        watched.take(["\U0001d11e" * 197 + f"{number:03}"])  # twelve bytes of JSON each
    bench.actions.around.private = watched.recent

    bench.send("self_test")

    assert bench.result_of().status == "Complete"
    assert watched.recent()[-1].endswith("031")


def test_what_is_watched_is_in_no_reading_and_is_kept_for_the_logs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    watched = Watched()
    with serve(tmp_path, Player(watching=("A Film Nobody Should Know",))):
        found = status(tmp_path, watched)

    assert "Film" not in str(found)
    assert watched.recent() == ["A Film Nobody Should Know"]
