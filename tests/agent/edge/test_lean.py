"""What a box's agent never uses at rest is not in its memory, and is there when it is used."""

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from oleada_agent import lean

NAME = "xml.dom.minicompat"
"""A module of the standard library that nobody here needs."""
AT_REST = """
import sys
sys.argv = ["oleada-agent", "run"]
from oleada_agent import lean
lean.defer()
import oleada_agent.service
kept = [name for name in lean.DEFERRED if type(sys.modules[name]) is not lean.Deferred]
print(kept, "argparse" in sys.modules, "email.message" in sys.modules)
print("oleada_wire.action_table" in sys.modules, "oleada_agent.acting" in sys.modules)
import http.client
print(http.client.HTTPSConnection("127.0.0.1", 1).port, type(sys.modules["http.client"]).__name__)
"""


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(lean, "DEFERRED", (NAME,))
    lean.defer()
    yield sys.modules[NAME]
    sys.modules.pop(NAME, None)


def test_a_deferred_module_becomes_itself_when_it_is_touched(deferred: ModuleType) -> None:
    assert type(deferred) is lean.Deferred
    assert not hasattr(deferred, "__path__")
    assert sys.modules[NAME] is deferred

    assert deferred.NodeList([1]) == [1]
    assert sys.modules[NAME] is not deferred
    assert deferred.NodeList is sys.modules[NAME].NodeList


def test_what_a_deferred_module_has_not_is_an_error_as_ever(deferred: ModuleType) -> None:
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = deferred.nothing_of_that_name


def test_a_module_that_is_loaded_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.modules["json"]
    monkeypatch.setattr(lean, "DEFERRED", ("json",))
    lean.defer()

    assert sys.modules["json"] is before


def test_an_agent_at_rest_has_not_loaded_what_it_does_not_use() -> None:
    said = subprocess.run(
        [sys.executable, "-c", AT_REST], check=True, capture_output=True, text=True
    ).stdout.splitlines()

    assert said[0] in ("['tempfile'] False False", "[] False False")
    assert said[1] == "False False"
    assert said[2] == "1 module"
