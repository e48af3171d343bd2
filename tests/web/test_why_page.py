"""Why a box gets a release, or why not, as people read it."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from oleada_server.rollouts.explain import CHANGES, Rule, RuleName
from oleada_server.web import why_page, why_values

SignIn = Callable[..., FlaskClient]


@pytest.mark.parametrize("language", ["en", "es", "cs"])
def test_every_rule_has_a_name_and_a_way_out_in_every_language(
    filled_app: Flask, language: str
) -> None:
    with filled_app.test_request_context("/", headers={"Accept-Language": language}):
        names = [why_page._name(name) for name in RuleName]
        changes = [why_page._change(Rule(name, False, "seen", "wanted")) for name in RuleName]

    assert len(set(names)) == len(CHANGES)
    assert all(changes)


@pytest.mark.parametrize("language", ["es", "cs"])
def test_every_value_that_is_a_word_is_said_in_the_readers_language(
    filled_app: Flask, language: str
) -> None:
    said = (
        "no", "none", "any", "nothing", "never", "never heard", "revoked", "published",
        "withdrawn", "signed", "not signed", "running", "open", "wave 3",
        "downloading, attempt 1 of 3", "recording until 2026-11-21T13:00:00+00:00",
        "wave 1: place 7 of 10000, under 5 wanted; wave 2: not on its list; wave 3: other region",
        "wave 1: place 7 is under 9, but it was not there when the boxes were fixed",
        "no day to come", "2026-11-21T13:00:00+00:00",
    )  # fmt: skip
    with filled_app.test_request_context("/", headers={"Accept-Language": language}):
        shown = {text: why_values.spelt(text) for text in said}

    same = {text for text, word in shown.items() if text == word}
    assert same <= {"no"}, "Spanish says no as well"
    assert not any(" wanted" in word or "attempt" in word for word in shown.values())


def test_names_numbers_and_versions_are_shown_as_they_are(filled_app: Flask) -> None:
    with filled_app.test_request_context("/"):
        for text in ("5.8.2", "R-7", "12", "codec:h264, hdr", "Sat 2026-11-21 12:00 Europe/Prague"):
            assert why_values.spelt(text) == text.removeprefix("Sat ")


def test_a_box_and_a_rollout_are_explained_rule_by_rule(
    filled_app: Flask, signed_in: SignIn
) -> None:
    client, sample = signed_in(filled_app), filled_app.extensions["test_sample"]
    box = next(one for one in sample.device_ids if one.startswith("VX410"))
    ref = f"R-{sample.rollout_id}"

    page = client.get(f"/devices/{box}/why?rollout={ref}").text
    typed = client.get(f"/devices/why?box={box.lower()}&rollout={sample.rollout_id}").text

    for html in (page, typed):
        assert f"get {ref}, or why not?" in html
        assert "The release is published" in html
    assert f'href="/devices/{box}/why' in client.get(f"/devices/{box}").text
    assert "Why does a box get it, or why not?" in client.get(f"/rollouts/{ref}").text


@pytest.mark.parametrize(
    "query", ["box=", "box=AAAA00000000", "box=x&rollout=R-1", "box={box}&rollout=soon"]
)
def test_a_question_that_can_not_be_answered_says_so_and_keeps_the_id(
    filled_app: Flask, signed_in: SignIn, query: str
) -> None:
    box = filled_app.extensions["test_sample"].device_ids[0]

    answer = signed_in(filled_app).get(f"/devices/why?{query.format(box=box)}")

    assert answer.status_code in {400, 404}
    assert "Explain" in answer.text
