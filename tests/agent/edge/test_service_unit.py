"""The systemd unit agrees with what agent and boot program promise each other."""

from configparser import ConfigParser
from pathlib import Path

import oleada_agent
from oleada_agent import service
from oleada_agent.boot import system

UNIT = Path(oleada_agent.__file__).parents[1] / "oleada-agent.service"


def the_service() -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_exit_code_that_asks_for_a_restart_restarts_the_box_and_not_the_agent() -> None:
    unit = the_service()

    assert system.REBOOT_CODE == service.REBOOT_CODE
    assert unit["RestartPreventExitStatus"] == str(service.REBOOT_CODE)
    assert f'"$EXIT_STATUS" != {service.REBOOT_CODE} ]' in unit["ExecStopPost"]


def test_what_is_known_of_a_boot_outlives_the_agent_but_not_the_power() -> None:
    unit = the_service()
    box = unit["ExecStart"].rpartition("--box ")[2]

    assert unit["BindPaths"] == f"/run/{unit['RuntimeDirectory']}:{box}/run"
    assert unit["RuntimeDirectoryPreserve"] == "yes"
    assert box == f"/var/lib/{unit['StateDirectory']}"
