"""Which mutants a source has, and what the parts around a run make of them."""

from pathlib import Path
from textwrap import indent

import pytest
from oleada_lab.errors import MutationError
from oleada_lab.mutation import survivors
from oleada_lab.mutation.mutants import mutants
from oleada_lab.mutation.plan import load, portions, sampled


def diffs(source: str) -> set[tuple[str, str]]:
    """Return operator and what comes, of each mutant of the body of a function."""
    code = "def f(a, b, c):\n" + indent(source, "    ")
    return {
        (one.operator, line[2:].strip())
        for one in mutants(code, "f.py")
        for line in one.diff.splitlines()
        if line.startswith("+")
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return a < b", {("comparison", "return a <= b"), ("return None", "return None")}),
        ("return a is b", {("comparison", "return a is not b"), ("return None", "return None")}),
        (
            "a = b and c",
            {
                ("boolean", "a = b or c"),
                ("part of a condition removed", "a = c"),
                ("part of a condition removed", "a = b"),
                ("removed statement", "pass"),
            },
        ),
        ("if not a:\n    c()", {
            ("sign removed", "if a:"), ("negated condition", "if a:"),
            ("removed statement", "pass"),
        }),
        ("b(a, 7)", {
            ("swapped arguments", "b(7, a)"), ("constant", "b(a, 8)"), ("constant", "b(a, 6)"),
            ("removed statement", "pass"),
        }),
        ("b(a=c)", {("argument left out", "b()"), ("removed statement", "pass")}),
        ("raise min(a)", {("opposite function", "raise max(a)"), ("removed statement", "pass")}),
        ("c.x += True", {
            ("arithmetic", "c.x -= True"), ("constant", "c.x += False"),
            ("removed statement", "pass"),
        }),
        ("match a:\n    case A() | B() if b:\n        c()", {
            ("removed case", "case A() | B() if False:"), ("removed guard", "case A() | B():"),
            ("alternative removed", "case A() if b:"), ("alternative removed", "case B() if b:"),
            ("removed statement", "pass"),
        }),
        ("d: int | None = a", set()),
        ("d = a", set()),
        ('"""Says 7 < 8."""', set()),
    ],
)  # fmt: skip
def test_each_fault_that_people_make_is_a_mutant_and_nothing_else_is(
    source: str, expected: set[tuple[str, str]]
) -> None:
    assert diffs(source) == expected


def test_a_mutant_keeps_its_name_when_its_code_moves() -> None:
    source = "def f(a):\n    return a < 3\n"

    before, after = mutants(source, "f.py"), mutants(f'"""More."""\n\n\n{source}', "f.py")

    assert [one.name for one in before] == [one.name for one in after]
    assert {one.line for one in after} == {5}


def test_a_sample_is_the_same_for_a_seed_and_another_for_another() -> None:
    many = mutants("def f(a):\n" + "    a = a + 1\n" * 40, "many.py")

    chosen = sampled(many, 20, 7)

    assert chosen == sampled(many, 20, 7)
    assert chosen != sampled(many, 20, 8)
    assert len(set(chosen)) == 20
    assert chosen == sorted(chosen, key=many.index)


def test_a_sample_is_even_over_the_modules_as_far_as_each_has_mutants() -> None:
    assert portions({"few": 3, "many": 160}, 20) == {"few": 3, "many": 17}
    assert portions({"few": 3, "many": 160}, 999) == {"few": 3, "many": 160}
    assert portions({"few": 3, "many": 160}, None) == {"few": 3, "many": 160}
    assert portions({"one": 9, "two": 9}, 3) == {"one": 2, "two": 1}


PLAN_OF_TWO = """
[[module]]
file = "box.py"
module = "box"
tests = ["test_box.py"]
[[module]]
file = "box_door.py"
module = "box_door"
tests = ["test_box.py"]
"""


@pytest.mark.parametrize(
    ("only", "asked"),
    [([], ["box", "box_door"]), (["box"], ["box"]), (["door"], ["box_door"]),
     (["bo"], ["box", "box_door"])],
)  # fmt: skip
def test_a_whole_name_asks_for_one_module_and_a_part_for_all_that_have_it(
    tmp_path: Path, only: list[str], asked: list[str]
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN_OF_TWO)

    assert [one.module for one in load(tmp_path / "plan.toml", only).targets] == asked


def test_a_module_below_the_floor_is_named_and_a_sample_only_when_chance_can_not_be_why() -> None:
    def of(killed: int) -> dict[str, object]:
        return {
            "mutants": 100, "killed": killed, "share_killed": killed / 100,
            "wilson_95": survivors.wilson(killed, 100),
        }  # fmt: skip

    modules = {"good.py": of(90), "doubtful.py": of(89), "bad.py": of(80)}

    assert survivors.below_floor(modules, is_sample=False) == [
        "doubtful.py: 89 of 100 are killed, fewer than 90%",
        "bad.py: 80 of 100 are killed, fewer than 90%",
    ]
    assert survivors.below_floor(modules, is_sample=True) == [
        "bad.py: 80 of 100 are killed, fewer than 90%"
    ]


def test_shares_have_the_interval_of_wilson() -> None:
    assert survivors.wilson(0, 0) == (0.0, 1.0)
    assert survivors.wilson(90, 100) == (0.8256, 0.9448)  # Newcombe 1998 rounds to .826, .945
    assert survivors.wilson(100, 100)[1] == 1.0


def test_an_explanation_that_is_not_true_any_more_is_named() -> None:
    lives, killed, gone = (("f.py", "f", "constant", diff) for diff in "abc")
    explained = [lives, killed, gone, ("other.py", "f", "constant", "a")]

    wrong = [
        "f.py: f: constant: a test kills it",
        "f.py: f: constant: there is no such mutant",
    ]
    assert survivors.stale(explained, {lives, killed}, {killed}, is_whole=False) == wrong
    assert survivors.stale(explained, {lives, killed}, {killed}, is_whole=True) == [
        *wrong,
        "other.py: f: constant: there is no such mutant",
    ]


@pytest.mark.parametrize("why", ["", " "])
def test_an_explanation_says_why(tmp_path: Path, why: str) -> None:
    path = tmp_path / "survivors.toml"
    row = f'[[survivor]]\nfile = "f"\nfunction = "f"\noperator = "o"\ndiff = "d"\nwhy = "{why}"\n'
    path.write_text(row)

    with pytest.raises(MutationError, match="without saying why"):
        survivors.load(path)


def test_every_explanation_of_the_house_can_be_read() -> None:
    path = Path(__file__).parents[3] / "docs" / "reference" / "mutation-survivors.toml"

    assert all(len(why.split()) >= 3 for why in survivors.load(path).values())
