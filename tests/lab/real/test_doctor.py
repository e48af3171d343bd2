"""``oleada-lab doctor`` says what this machine has, what each thing is for, what to type."""

import json
from pathlib import Path

import pytest
from oleada_lab import cli
from oleada_lab.cli_doctor import lines
from oleada_lab.real.tools import BY_NAME, TOOLS, Tool, examine, missing

ROOT = Path(__file__).resolve().parents[3]


def a_tool(works: bool, *, is_promised: bool = False) -> Tool:
    return Tool(
        "sonar",
        "hears what is under water",
        "every dive",
        "apt-get install sonar",
        is_promised,
        lambda: "" if works else "there is no program sonar",
    )


def test_a_tool_that_works_is_one_line() -> None:
    (found,) = examine([a_tool(works=True)])

    assert lines(found) == ["yes  sonar       hears what is under water"]


def test_a_tool_that_is_missing_says_why_what_to_type_and_what_can_not_be_run() -> None:
    (found,) = examine([a_tool(works=False, is_promised=True)])

    said = "\n".join(lines(found))

    assert said.startswith("NO   sonar")
    assert "there is no program sonar; type: apt-get install sonar" in said
    assert "can not be run without it: every dive" in said
    assert "'make test' needs it" in said


def test_what_is_promised_by_make_test_is_here_or_the_sentence_says_what_to_type() -> None:
    promised = [tool.name for tool in TOOLS if tool.is_promised]

    assert missing(*promised) == ""


def test_every_tool_is_told_once_and_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor", "--json"])

    tools = json.loads(capsys.readouterr().out)["tools"]
    assert [tool["name"] for tool in tools] == [tool.name for tool in TOOLS]
    assert code == (0 if all(tool["works"] for tool in tools) else 1)
    assert all(tool["install"] and tool["without"] and tool["used_for"] for tool in tools)
    assert set(BY_NAME) >= {
        *("fuse", "strace", "netns", "tun", "cgroup", "chromium", "mosquitto", "postgresql"),
        *("debugfs", "mkfs.ext4"),
    }


def test_the_exit_code_is_1_as_soon_as_one_thing_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("oleada_lab.cli_doctor.TOOLS", (a_tool(works=False),))

    assert cli.main(["doctor"]) == 1
    assert "NO   sonar" in capsys.readouterr().out


def test_the_debian_script_installs_what_the_doctor_names_for_fuse() -> None:
    packages = BY_NAME["fuse"].install.split()[2:]
    script = (ROOT / "tools" / "debian").read_text()

    assert [name for name in packages if name not in script] == []
