"""One short story, in virtual time and with real processes; all others are a command."""

import json
from pathlib import Path

import psutil
import pytest
from oleada_lab import cli, stories
from oleada_lab.check.watch import NAMES
from oleada_lab.real.tools import missing
from oleada_lab.scenario import load

from tests.support.not_run import MARK

STORY = Path(__file__).with_name("short.toml")

pytestmark = pytest.mark.timeout(1200)


def test_the_story_ends_as_it_says_in_virtual_time() -> None:
    assert stories.play(load(STORY)).wrong == ()


@pytest.mark.real
def test_the_same_story_ends_as_it_says_with_real_processes_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if why := missing("mountns"):
        pytest.skip(f"{MARK}{why}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    code = cli.main(["run", str(STORY), "--level", "proc", "--json"])

    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["wrong"] == []
    assert code == 0
    assert run["states"] == {"updated": 2}
    assert run["strikes"] >= 5
    assert tuple(run["judged"]) == NAMES
    assert list(tmp_path.glob("oleada-proc-*")) == []
    assert _processes_in(tmp_path) == []


def _processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that name *folder*."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found
