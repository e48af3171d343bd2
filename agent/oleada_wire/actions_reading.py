"""Actions that read what the box knows: themselves, logs, settings, and the media player."""

from typing import Final

from oleada_wire.actions import Action, Argument, Consent, Field, Needs, Risk
from oleada_wire.words import ResultStatus

SELF_TEST: Final = Action(
    "self_test",
    "Device.SelfTestDiagnostics()",
    "Try disk, memory, clock, network and the media player, and say which are well.",
    "writes and removes one file of 64 KiB in data",
    Risk.READ,
    results=(
        Field("Results", str),
        Field("X_OLEADA_Test.{i}.Name", str),
        Field("X_OLEADA_Test.{i}.Passed", bool),
        Field("X_OLEADA_Test.{i}.Detail", str),
    ),
    timeout_ms=20_000,
    is_safe_while_watching=True,
)
PROCESS_LIST: Final = Action(
    "process_list",
    "Device.DeviceInfo.ProcessStatus.Process.{i}.",
    "List the processes that take most memory or processor, without their arguments.",
    "reads /proc",
    Risk.READ,
    arguments=(Argument("count", int, 1, 100, default=30),),
    results=(
        Field("ProcessStatus.ProcessNumberOfEntries", int),
        Field("ProcessStatus.Process.{i}.PID", int),
        Field("ProcessStatus.Process.{i}.Command", str),
        Field("ProcessStatus.Process.{i}.Size", int, "KiB"),
        Field("ProcessStatus.Process.{i}.Priority", int),
        Field("ProcessStatus.Process.{i}.CPUTime", int, "ms"),
        Field("ProcessStatus.Process.{i}.State", str),
    ),
    is_safe_while_watching=True,
)
LOG_PULL: Final = Action(
    "log_pull",
    "Device.DeviceInfo.VendorLogFile.{i}.Upload()",
    "Bring the newest lines of the box's own logs, without secrets.",
    "reads the files that the box's settings call logs",
    Risk.READ,
    arguments=(
        Argument("file", str, 0, 64, default="", pattern=r"[A-Za-z0-9._-]*"),
        Argument("lines", int, 1, 5_000, default=300),
        Argument("since_s", int, 0, 31 * 86_400, "s", default=0),
        Argument("as_file", bool, default=False),
    ),
    results=(
        Field("VendorLogFile.{i}.Name", str),
        Field("VendorLogFile.{i}.X_OLEADA_SizeBytes", int, "bytes"),
        Field("VendorLogFile.{i}.X_OLEADA_Lines", int),
        Field("VendorLogFile.{i}.X_OLEADA_Truncated", bool),
    ),
    timeout_ms=20_000,
    is_safe_while_watching=True,
    files=("log.txt",),
    errors=(ResultStatus.TRANSFER,),
)
CONFIG_GET: Final = Action(
    "config_get",
    "Device.DeviceInfo.VendorConfigFile.{i}.Backup()",
    "Say the settings of the box that may be said, and which of them were changed from afar.",
    "reads data/config.toml and data/overrides.json",
    Risk.READ,
    results=(
        Field("{name}", str),
        Field("{name}.X_OLEADA_Changed", bool),
    ),
    is_safe_while_watching=True,
)
MEDIA_STATUS: Final = Action(
    "media_status",
    "Device.Services.STBService.1.",
    "Read everything that the media player says of itself, now.",
    "asks the media player's socket",
    Risk.READ,
    results=(Field("Device.Services.STBService.1.{path}", str),),
    is_safe_while_watching=True,
    needs=Needs.MEDIA,
)
HDMI_INFO: Final = Action(
    "hdmi_info",
    "Device.Services.STBService.1.Components.HDMI.1.DisplayDevice.",
    "Read what the television says of itself, with its EDID.",
    "asks the media player's socket",
    Risk.READ,
    results=(
        Field("Components.HDMI.1.Status", str),
        Field("Components.HDMI.1.ResolutionValue", str),
        Field("Components.HDMI.1.DisplayDevice.Status", str),
        Field("Components.HDMI.1.DisplayDevice.Name", str),
        Field("Components.HDMI.1.DisplayDevice.EEDID", str),
        Field("Components.HDMI.1.DisplayDevice.SupportedResolutions", str),
        Field("Components.HDMI.1.DisplayDevice.PreferredResolution", str),
        Field("Components.VideoOutput.1.HDCP", bool),
    ),
    is_safe_while_watching=True,
    needs=Needs.MEDIA,
)
SCREENSHOT: Final = Action(
    "screenshot",
    "",
    "Upload what the box draws on top of the picture; the picture itself stays black.",
    "asks the media player's socket; shows what somebody is doing",
    Risk.READ,
    Consent.VIEWER,
    results=(Field("X_OLEADA_Width", int, "pixels"), Field("X_OLEADA_Height", int, "pixels")),
    is_safe_while_watching=True,
    needs=Needs.MEDIA,
    files=("screenshot.png",),
    errors=(ResultStatus.TRANSFER,),
)
READING: Final = (
    SELF_TEST, PROCESS_LIST, LOG_PULL, CONFIG_GET, MEDIA_STATUS, HDMI_INFO, SCREENSHOT,
)  # fmt: skip
