"""The playbooks that are shipped, and what is refused of one that can not be meant."""

import pytest
from oleada_server.diagnosis.errors import PlaybookError, SymptomNotKnownError
from oleada_server.diagnosis.reading import HOME, library, playbook, read
from oleada_server.diagnosis.scope import Count, by_chance, is_concentrated
from oleada_server.diagnosis.shapes import Stage
from oleada_wire.action_table import TABLE

SYMPTOMS = {
    "no-picture", "buffering", "no-sound", "does-not-start", "application-closes",
    "remote-control", "channel-missing", "drm-error", "wifi-weak", "after-an-update",
}  # fmt: skip
FILES = {path.name: path.read_text("utf-8") for path in HOME.glob("*.toml")}
SIGN = '[sign.hot]\nfact = "t"\nabove = 85\ntitle = "hot"\nsource = "s"\nfresh_s = 60\n'
CAUSE = '[cause.fan]\nstage = "home"\ntitle = "t"\nnext = "n"\nsay = "s"\nmakes = ["hot"]\n'
BOOK = 'symptom = "heat"\nversion = 1\ntitle = "t"\n[priors]\nfan = 0.1\n'
HEAD = "schema = 1\nversion = 1\n"
GOOD = {
    "signs.toml": HEAD + SIGN,
    "causes.toml": HEAD + CAUSE,
    "likelihoods.toml": HEAD + "[background]\nhot = 0.01\n[fan]\nhot = 0.9\n",
    "heat.toml": "schema = 1\n" + BOOK,
}


def test_there_is_a_playbook_for_every_complaint_of_the_desk_and_one_for_none() -> None:
    assert set(library().playbooks) == SYMPTOMS | {"unsaid"}


def test_every_cause_is_behind_some_complaint_and_every_sign_speaks_for_some_cause() -> None:
    found = library()

    assert {name for book in found.playbooks.values() for name in book.priors} == set(found.causes)
    assert {name for cause in found.causes.values() for name in cause.makes} == set(found.signs)


def test_every_sign_was_measured_for_at_least_one_cause() -> None:
    found = library()

    told = {name for cause in found.causes.values() for name, share in cause.makes.items() if share}
    assert set(found.signs) == told


def test_every_check_and_every_action_is_one_that_a_box_knows() -> None:
    known = {action.name: action for action in TABLE}
    found = library()

    checks = {sign.check for sign in found.signs.values()} - {""}
    assert checks <= set(known)
    assert {cause.action for cause in found.causes.values()} - {""} <= set(known)


def test_every_threshold_says_where_it_comes_from() -> None:
    assert all(len(sign.source) > 8 for sign in library().signs.values())


def test_scope_and_entitlement_come_before_the_home_in_most_playbooks() -> None:
    found = library()

    for symptom in SYMPTOMS - {"remote-control"}:
        stages = {found.causes[name].stage for name in found.playbooks[symptom].priors}
        assert Stage.SCOPE in stages, symptom


def test_a_playbook_reads_as_it_was_written() -> None:
    found = read(GOOD)

    assert found.playbooks["heat"].priors == {"fan": 0.1}
    assert found.causes["fan"].makes == {"hot": 0.9}
    assert found.background == {"hot": 0.01}


def test_an_unknown_symptom_is_told_with_those_that_are_known() -> None:
    with pytest.raises(SymptomNotKnownError, match=r"'fire'; there are: heat\."):
        playbook(read(GOOD), "fire")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("signs.toml", "above = 85", 'above = "hot"', r"signs.toml, sign.hot: above must be a num"),
        ("signs.toml", "above = 85", "above = true", "above must be a number"),
        ("signs.toml", "above = 85", "is = 85", "is must be a list"),
        ("signs.toml", "above = 85", "", "needs one of"),
        ("signs.toml", "above = 85", "above = 85\nbelow = 3", "needs one of"),
        ("signs.toml", "fresh_s = 60", "fresh_s = 0", "fresh_s must be"),
        ("signs.toml", "fresh_s = 60", "fresh_s = 60\ncolour = 1", "does not know 'colour'"),
        ("signs.toml", 'source = "s"', 'source = ""', "source must be a text"),
        ("signs.toml", "schema = 1", "schema = 2", "schema: must be 1"),
        ("signs.toml", "schema = 1", "schema 1", "is not TOML"),
        ("signs.toml", "\nversion = 1", "\nversion = 0", "whole number from 1"),
        ("causes.toml", '"home"', '"garden"', "stage must be one of"),
        ("causes.toml", '["hot"]', '["cold"]', "makes 'cold', which signs.toml has not"),
        ("causes.toml", '["hot"]', "[]", "at least one sign"),
        ("likelihoods.toml", "hot = 0.9", "hot = 1.0", "share between 0 and 1"),
        ("likelihoods.toml", "hot = 0.9", "cold = 0.9", "has no such sign"),
        ("heat.toml", "fan = 0.1", "fan = 0", "priors.fan: must be a share"),
        ("heat.toml", "fan = 0.1", "man = 0.1", "has no such cause"),
        ("heat.toml", "fan = 0.1", "", "must name at least one cause"),
        ("heat.toml", '"heat"', '"cold"', "the file's name was expected"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_with_its_place(
    file: str, old: str, new: str, says: str
) -> None:
    assert old in GOOD[file]

    with pytest.raises(PlaybookError, match=says):
        read({**GOOD, file: GOOD[file].replace(old, new, 1)})


def test_a_package_without_its_likelihoods_is_refused() -> None:
    with pytest.raises(PlaybookError, match=r"likelihoods\.toml, file: is missing"):
        read({name: text for name, text in FILES.items() if name != "likelihoods.toml"})


def test_three_of_ten_in_one_region_and_none_elsewhere_is_the_region() -> None:
    assert is_concentrated(Count(3, 10, 0, 1000)) is True


def test_six_who_complain_and_run_what_two_thirds_of_the_fleet_run_say_nothing_about_it() -> None:
    assert is_concentrated(Count(6, 60, 0, 32)) is False
    assert is_concentrated(Count(12, 60, 0, 32)) is True
    assert by_chance(Count(6, 60, 0, 32)) == pytest.approx((60 / 92) ** 6)
    assert by_chance(Count(90_000, 100_000, 900, 900_000)) < 1e-100


@pytest.mark.parametrize(
    ("count", "found"),
    [
        (Count(2, 10, 0, 1000), False),
        (Count(3, 10, 200, 1000), False),
        (Count(300, 1000, 300, 1000), False),
        (Count(1, 2, 0, 1000), None),
        (Count(5, 9, 0, 2), None),
    ],
)
def test_one_unlucky_home_is_no_outage_and_too_few_boxes_tell_nothing(
    count: Count, found: bool | None
) -> None:
    assert is_concentrated(count) is found


def test_more_boxes_that_show_a_sign_than_boxes_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="more boxes that show it"):
        Count(11, 10, 0, 10)
