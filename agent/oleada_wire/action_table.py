"""Every remote action, in one table (docs/reference/actions.md is made of it).

A box loads it when a command comes and not before. ``ping`` and ``report_health`` are
older than actions and are done by the agent itself; a new release is no action: staging,
activating and rolling back go through assignments.
"""

from typing import Final

from oleada_wire.actions import CANCEL, Action, Argument, Risk
from oleada_wire.actions_acting import ACTING
from oleada_wire.actions_measuring import MEASURING
from oleada_wire.actions_reading import READING

AGENT: Final = (
    Action(
        "ping",
        "",
        "Answer, so that it is known that the agent hears and obeys.",
        "nothing",
        Risk.READ,
        is_safe_while_watching=True,
    ),
    Action(
        "report_health",
        "Device.LocalAgent.Periodic!",
        "Send a health message now.",
        "nothing",
        Risk.READ,
        is_safe_while_watching=True,
    ),
    Action(
        CANCEL,
        "",
        "End an action that waits or runs; its own result then says Canceled.",
        "the action named",
        Risk.READ,
        arguments=(Argument("cmd_id", str, 1, 64),),
        is_safe_while_watching=True,
    ),
)
"""What the agent does itself, at once."""

TABLE: Final = (*AGENT, *READING, *MEASURING, *ACTING)
BY_ASSIGNMENT: Final = {
    "stage": "Device.DeviceInfo.FirmwareImage.{i}.Download()",
    "activate": "Device.DeviceInfo.FirmwareImage.{i}.Activate()",
    "roll_back": "Device.DeviceInfo.BootFirmwareImage",
}
"""What is done by assigning a release, and never by a command."""
