"""A process that is a copy of another one lives like a program of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

PARENT = """
import json, os, signal, subprocess, sys
from oleada_server.copies import Copy

signal.signal(signal.SIGTERM, lambda *_: print("of the parent", flush=True))
secret = open(sys.argv[1] + "/secret", "w")
print("what nobody has flushed", end="")
with open(sys.argv[1] + "/log", "wb") as log:
    command = [sys.executable, "-m", "lives", *sys.argv[2:]]
    prepare = lambda: os.mkdir(sys.argv[1] + "/prepared")
    copy = Copy(command, {"A": "1"}, log.fileno(), "worker", prepare)
    if sys.argv[2] == "wait":
        try:
            copy.wait(0.01)
        except subprocess.TimeoutExpired:
            os.kill(copy.pid, signal.SIGTERM)
    code = copy.wait(60)
print(json.dumps([code, copy.poll(), copy.returncode]))
"""
BARE = """
import os, signal, sys
from oleada_server.copies import Copy

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
log = os.open(sys.argv[1] + "/log", os.O_WRONLY | os.O_CREAT)
copy = Copy([sys.executable, "-m", "lives", *sys.argv[2:]], {}, log, "worker", lambda: None)
code = copy.wait(60)
with open(sys.argv[1] + "/code", "w") as file:
    file.write(f"{log} {code}")
"""
LIVES = """
import json, os, signal, sys

match sys.argv[1]:
    case "tell":
        files = sorted(os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
                       if os.path.exists(f"/proc/self/fd/{one}"))
        shown = open("/proc/self/cmdline", "rb").read().decode().rstrip("\\0").split("\\0")
        leads = os.getsid(0) == os.getpid()
        print(json.dumps([files, shown, sys.argv[1:], dict(os.environ), leads, __name__]))
    case "wait":
        signal.pause()
    case "raise":
        raise ValueError("of the copy")
    case "sentence":
        sys.exit("Error: a sentence")
    case "code":
        sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lives.py").write_text(LIVES)
    return tmp_path


def copied(folder: Path, *words: str) -> tuple[int, str]:
    """Return how a copy that does *words* has ended, and its log; its parent saw no more."""
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(folder), *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        check=True,
    )
    said, _, last = done.stdout.rpartition("[")
    codes = json.loads("[" + last)
    assert (said, done.stderr) == ("what nobody has flushed", "")
    assert codes == [codes[0]] * 3
    return codes[0], (folder / "log").read_text()


def test_it_has_its_own_files_words_environment_and_session(folder: Path) -> None:
    code, log = copied(folder, "tell", "a word")

    files, shown, words, environ, leads_its_session, name = json.loads(log)
    assert code == 0
    assert (folder / "prepared").exists()
    assert files == ["/dev/null", str(folder / "log"), str(folder / "log")]
    assert shown == ["oleada", "worker"]
    assert words == ["tell", "a word"]
    assert environ == {"A": "1"}
    assert leads_its_session
    assert name == "__main__"


@pytest.mark.parametrize(
    ("words", "ended", "said"),
    [
        (["code", "0"], 0, ""),
        (["code", "3"], 3, ""),
        (["sentence"], 1, "Error: a sentence\n"),
        (["raise"], 1, "ValueError: of the copy\n"),
        (["wait"], -15, ""),
    ],
)
def test_it_ends_as_a_program_does(folder: Path, words: list[str], ended: int, said: str) -> None:
    """By a signal too, of which its parent has a handler of its own."""
    code, log = copied(folder, *words)

    assert code == ended
    assert log.endswith(said)


@pytest.mark.parametrize(
    ("words", "code", "said"), [(["tell"], 0, '"/dev/null"'), (["raise"], 1, "of the copy")]
)
def test_its_parent_may_have_no_standard_files_and_be_told_of_no_child(
    folder: Path, words: list[str], code: int, said: str
) -> None:
    """As some start what runs in the background; then the log is file 0."""
    shell = 'exec "$@" <&- >&- 2>&-'
    command = [sys.executable, "-c", BARE, str(folder), *words]

    subprocess.run(["/bin/sh", "-c", shell, "sh", *command], cwd=folder, check=True)

    assert (folder / "code").read_text() == f"0 {code}"
    assert said in (folder / "log").read_text()
