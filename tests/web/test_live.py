"""Streams: what they send, when they end, and that a page survives a restart."""

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask
from oleada_server.accounts import service as accounts
from oleada_server.app import create_app
from oleada_server.clock import monotonic_s, now_utc
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.live import service as live
from oleada_server.up import web_command
from oleada_server.web import live as live_pages
from playwright.sync_api import Browser, expect

from tests.support.postgres import free_port
from tests.web.conftest import Console
from tests.web.console import served
from tests.web.sample import Sample, add_people, fill, move_one
from tests.web.streams import Reader


def secret_of(console: Console, name: str = "a.torres") -> str:
    with console.app.app_context():
        secret, _ = accounts.sign_in_by_link(console.tokens[name], now=now_utc())
        db.session.remove()
    return secret


def change(console: Console) -> int:
    with console.app.app_context():
        move_one(console.sample, now_utc())
        found = live.latest_id()
        db.session.remove()
    return found


def latest(console: Console) -> int:
    with console.app.app_context():
        found = live.latest_id()
        db.session.remove()
    return found


def waited_for(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Return whether *condition* came true in time."""
    ends_at, pause = monotonic_s() + seconds, threading.Event()
    while not condition():
        if monotonic_s() > ends_at:
            return False
        pause.wait(0.1)
    return True


def parts_of(html: str) -> list[str]:
    return re.findall(r'hx-target="#p-(\w+)"', html)


def test_a_stream_begins_with_a_sign_of_life(console: Console) -> None:
    with Reader(console.address, "/live/rollouts/R-2?after=0", secret_of(console)) as reader:
        assert (reader.status, reader.content_type) == (200, "text/event-stream")
        assert reader.next().name == "beat"


def test_only_what_looks_different_is_sent_after_the_first_time(console: Console) -> None:
    path = f"/live/rollouts/R-2?after={latest(console)}"
    with Reader(console.address, path, secret_of(console)) as reader:
        assert reader.next().name == "beat"

        first_id = change(console)
        first = reader.next_news()
        second_id = change(console)
        second = reader.next_news()

    assert parts_of(first.text) == [
        "head",
        "decide",
        "waves",
        "now",
        "curve",
        "evidence",
        "failed",
        "gate",
        "activity",
    ]
    assert parts_of(second.text) == ["head", "waves", "now", "curve", "gate"]
    assert [int(first.id), int(second.id)] == [first_id, second_id]


def test_a_change_of_another_rollout_sends_nothing(console: Console) -> None:
    path = f"/live/rollouts/R-1?after={latest(console)}"
    with Reader(console.address, path, secret_of(console)) as reader:
        assert reader.next().name == "beat"

        change(console)

        assert reader.next().name == "beat"


def test_who_comes_back_gets_everything_once(console: Console) -> None:
    known = latest(console)
    change(console)
    path = f"/live/rollouts/R-2?after={known}"
    with Reader(console.address, path, secret_of(console), last_id=str(known)) as reader:
        first, second = reader.next(), reader.next()

    assert len(parts_of(first.text)) == 9
    assert second.name == "beat"


def test_a_stranger_gets_no_stream_and_no_page(console: Console) -> None:
    with Reader(console.address, "/live/rollouts/R-2", "wrong") as reader:
        assert (reader.status, reader.content_type) == (401, "text/plain; charset=utf-8")


def test_a_stream_ends_when_the_session_does(console: Console) -> None:
    secret = secret_of(console)
    path = f"/live/rollouts/R-2?after={latest(console)}"
    with Reader(console.address, path, secret) as reader:
        assert reader.next().name == "beat"

        with console.app.app_context():
            accounts.sign_out(secret, actor="user:a.torres", now=now_utc())
            db.session.remove()

        assert reader.next_news().name == "ended"


def test_live_pages_leave_threads_for_the_others_and_a_seat_is_freed_by_leaving(
    sqlite_config: Config,
) -> None:
    app = create_app(replace(sqlite_config, web_threads=2))
    with app.app_context():
        tokens = add_people(now_utc())
        fill(now_utc())
        secret, _ = accounts.sign_in_by_link(tokens["a.torres"], now=now_utc())
        db.session.remove()

    def status(address: str) -> int:
        with Reader(address, "/live/rollouts/R-2", secret) as reader:
            return reader.status

    with served(app) as address:
        with Reader(address, "/live/rollouts/R-2", secret) as first:
            assert first.next().name == "beat"
            assert status(address) == 503

        assert waited_for(lambda: status(address) == 200)


@contextmanager
def a_web_process(config: Config) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "OLEADA_DATA_DIR": str(config.data_dir)}
    environment["OLEADA_WEB_PORT"] = str(config.web_port)
    log = (config.data_dir / "web.log").open("ab")
    process = subprocess.Popen(
        web_command(config), env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        log.close()


@pytest.mark.real
@pytest.mark.browser
def test_a_page_survives_a_restart_of_the_server_without_reload_or_doubles(
    sqlite_config: Config, browser: Browser
) -> None:
    config = replace(sqlite_config, web_port=free_port())
    app = create_app(config)
    with app.app_context():
        tokens = add_people(now_utc())
        sample: Sample = fill(now_utc())
        db.session.remove()
    page = browser.new_page()
    link = f"{config.console_url}/sign-in/link/{tokens['a.torres']}"

    with a_web_process(config):
        assert waited_for(lambda: answers(config)), shown(config)
        page.goto(link)
        page.locator("main button").click()
        page.wait_for_url("**/password")
        page.goto(f"{config.console_url}/rollouts/R-{sample.rollout_id}")
        page.evaluate("window.sameDocument = true")
        updated = page.locator("#p-now .split li").first.locator("b")
        before = int(updated.inner_text())
        move(app, sample)
        expect(updated).to_have_text(str(before + 1), timeout=60_000)

    move(app, sample)
    with a_web_process(config):
        assert waited_for(lambda: answers(config)), shown(config)
        expect(updated).to_have_text(str(before + 2), timeout=60_000)
        move(app, sample)
        expect(updated).to_have_text(str(before + 3), timeout=60_000)
        assert page.evaluate("window.sameDocument") is True
        assert page.locator("#p-now").count() == 1
        assert page.locator("#p-now .split li").count() == 7
        page.close()


def move(app: Flask, sample: Sample) -> None:
    with app.app_context():
        move_one(sample, now_utc())
        db.session.remove()
        db.engine.dispose()


def answers(config: Config) -> bool:
    with socket.socket() as found:
        return found.connect_ex((config.web_host, config.web_port)) == 0


def shown(config: Config) -> str:
    return (config.data_dir / "web.log").read_text()


def test_what_changes_all_the_time_is_looked_at_every_ten_seconds(
    filled_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(live_pages, "monotonic_s", lambda: clock[0])
    with filled_app.app_context():
        watched = live_pages.Watched(("device:A",), "", (), dict, slow_refs=("devices",))
        reader = live_pages._Stream(watched, live.latest_id())

        live.touch("devices", now_utc())
        db.session.commit()
        at_once = reader.has_changed()
        clock[0] = live_pages.SLOW_S
        later = reader.has_changed()
        list(reader.news())
        again = reader.has_changed()
        live.touch("devices", now_utc())
        live.touch("device:A", now_utc())
        db.session.commit()
        own = reader.has_changed()
        db.session.remove()

    assert (at_once, later, again, own) == (False, True, False, True)
