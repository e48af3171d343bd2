"""Actions that do something to the box; one of them at a time."""

from typing import Final

from oleada_wire.actions import Action, Argument, Consent, Field, Needs, Risk

STB: Final = "Device.Services.STBService.1."
KEY_NAMES: Final = (
    "UP", "DOWN", "LEFT", "RIGHT", "OK", "BACK", "HOME", "MENU", "INFO", "GUIDE", "EXIT",
    "CHANNEL_UP", "CHANNEL_DOWN", "VOLUME_UP", "VOLUME_DOWN", "MUTE", "PLAY", "PAUSE", "STOP",
    "POWER", "RED", "GREEN", "YELLOW", "BLUE", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
)  # fmt: skip
_KEY: Final = rf"({'|'.join(KEY_NAMES)})"
PLAYING: Final = (
    Field("VideoDecoderStats.DecodedFrames", int, "frames"),
    Field("VideoDecoderStats.LostFrames", int, "frames"),
    Field("AudioDecoderStats.DecodedFrames", int, "frames"),
    Field("AudioDecoderStats.DecodingErrors", int, "frames"),
    Field("RTPStats.PacketsReceived", int, "packets"),
    Field("RTPStats.PacketsLost", int, "packets"),
    Field("MPEG2TSStats.PacketDiscontinuityCounter", int),
    Field("DejitteringStats.Underruns", int),
    Field("VideoResponseStats.MaximumVideoSystemResponse", int, "ms"),
    Field("X_OLEADA_Picture", bool),
    Field("X_OLEADA_Sound", bool),
)

CONFIG_SET: Final = Action(
    "config_set",
    "Device.DeviceInfo.VendorConfigFile.{i}.Restore()",
    "Change one setting that may be changed from afar; it counts at once.",
    "writes data/overrides.json, which keeps what was before",
    Risk.CHANGES,
    arguments=(
        Argument("name", str, 1, 40, pattern=r"[a-z_]+"),
        Argument("value", str, 0, 200),
    ),
    results=(Field("X_OLEADA_Before", str), Field("X_OLEADA_After", str)),
    is_safe_while_watching=True,
)
CONFIG_UNDO: Final = Action(
    "config_undo",
    "",
    "Take back the last change of a setting.",
    "writes data/overrides.json",
    Risk.CHANGES,
    results=(
        Field("X_OLEADA_Name", str),
        Field("X_OLEADA_Before", str),
        Field("X_OLEADA_After", str),
    ),
    is_safe_while_watching=True,
)
KEYS: Final = Action(
    "keys",
    "",
    "Press keys of the remote control, one after another.",
    "asks the media player's socket; whoever watches sees it",
    Risk.DISTURBS,
    Consent.VIEWER,
    arguments=(
        Argument("keys", str, 1, 400, pattern=rf"{_KEY}( {_KEY}){{0,31}}"),
        Argument("pause_ms", int, 50, 2_000, "ms", default=200),
    ),
    results=(Field("X_OLEADA_Pressed", int),),
    timeout_ms=30_000,
    timeout_ms_max=90_000,
    needs=Needs.MEDIA,
)
TUNE: Final = Action(
    "tune",
    f"{STB}Components.FrontEnd.1.IP.ServiceConnect.URI",
    "Show another channel.",
    "asks the media player's socket; whoever watches sees it",
    Risk.DISTURBS,
    Consent.VIEWER,
    arguments=(Argument("channel", str, 1, 40, pattern=r"[A-Za-z0-9._-]+"),),
    results=(Field("VideoResponseStats.MaximumVideoSystemResponse", int, "ms"),),
    needs=Needs.MEDIA,
)
CHANNEL_TEST: Final = Action(
    "channel_test",
    f"{STB}ServiceMonitoring.ForceSample",
    "Watch a channel for some seconds and say how well picture and sound came.",
    "asks the media player's socket; tunes, unless the channel is the one that is on",
    Risk.DISTURBS,
    Consent.VIEWER,
    arguments=(
        Argument("channel", str, 0, 40, default="", pattern=r"[A-Za-z0-9._-]*"),
        Argument("duration_s", int, 1, 30, "s", default=5),
    ),
    results=PLAYING,
    timeout_ms=45_000,
    needs=Needs.MEDIA,
)
COLOUR_BARS: Final = Action(
    "colour_bars",
    f"{STB}Components.VideoOutput.1.ColorbarEnable",
    "Show colour bars for some seconds, so that somebody can say whether the cable works.",
    "asks the media player's socket; whoever watches sees it; ends by itself",
    Risk.DISTURBS,
    Consent.VIEWER,
    arguments=(Argument("duration_s", int, 1, 60, "s", default=10),),
    results=(Field("VideoOutput.1.Status", str),),
    timeout_ms=70_000,
    timeout_ms_max=70_000,
    needs=Needs.MEDIA,
)
HDMI_MODE: Final = Action(
    "hdmi_mode",
    f"{STB}Components.HDMI.1.ResolutionValue",
    "Set the resolution; it goes back by itself after back_after_s, 0 for never.",
    "asks the media player's socket; the picture may go black for some seconds",
    Risk.CHANGES,
    Consent.VIEWER,
    arguments=(
        Argument(
            "mode", str,
            words=("auto", "480p60", "576p50", "720p50", "720p60", "1080i50", "1080p50",
                   "1080p60", "2160p50", "2160p60"),
        ),
        Argument("back_after_s", int, 0, 120, "s", default=15),
    ),
    results=(Field("HDMI.1.ResolutionValue", str), Field("X_OLEADA_Before", str)),
    needs=Needs.MEDIA,
)  # fmt: skip
AUDIO_MODE: Final = Action(
    "audio_mode",
    f"{STB}Components.SPDIF.1.ForcePCM",
    "Send sound as PCM, or as it comes; and end a mute.",
    "asks the media player's socket",
    Risk.CHANGES,
    Consent.VIEWER,
    arguments=(
        Argument("mode", str, words=("pcm", "passthrough")),
        Argument("cancel_mute", bool, default=False),
    ),
    results=(Field("AudioOutput.1.Status", str), Field("SPDIF.1.ForcePCM", bool)),
    needs=Needs.MEDIA,
)
MESSAGE: Final = Action(
    "message",
    "",
    "Show a sentence on the screen for some seconds.",
    "asks the media player's socket; whoever watches sees it",
    Risk.DISTURBS,
    arguments=(
        Argument("text", str, 1, 200),
        Argument("duration_s", int, 3, 120, "s", default=15),
    ),
    results=(Field("X_OLEADA_Shown", bool),),
    needs=Needs.MEDIA,
)
CLEAR_CACHE: Final = Action(
    "clear_cache",
    "",
    "Throw away what the application has kept for speed.",
    "asks the media player's socket; no account, no recording, no setting is lost",
    Risk.CHANGES,
    results=(Field("X_OLEADA_FreedBytes", int, "bytes"),),
    timeout_ms=30_000,
    needs=Needs.MEDIA,
)
DRM_REAUTHORISE: Final = Action(
    "drm_reauthorise",
    f"{STB}Components.DRM.1.Status",
    "Ask for the rights to what is subscribed to anew.",
    "asks the media player's socket; the picture may stop for some seconds",
    Risk.DISTURBS,
    results=(Field("DRM.1.Status", str), Field("CA.1.Status", str)),
    timeout_ms=30_000,
    needs=Needs.MEDIA,
)
RESTART_APP: Final = Action(
    "restart_app",
    "",
    "Start the television application anew.",
    "asks the media player's socket; the picture is gone for some seconds",
    Risk.DISTURBS,
    Consent.VIEWER,
    results=(Field("X_OLEADA_ReadyAfter", int, "ms"),),
    timeout_ms=45_000,
    needs=Needs.MEDIA,
)
REBOOT: Final = Action(
    "reboot",
    "Device.Reboot()",
    "Restart the box; when_idle refuses while somebody watches.",
    "ends everything on the box; never during the trial of a release or an installation",
    Risk.DISTURBS,
    Consent.VIEWER,
    arguments=(Argument("when_idle", bool, default=True),),
)
FACTORY_RESET: Final = Action(
    "factory_reset",
    "Device.FactoryReset()",
    "Forget accounts, settings and recordings, then restart; identity and release stay.",
    "asks the media player's socket; removes changed settings and the PIN; can not be undone",
    Risk.DESTROYS,
    Consent.TWO_PEOPLE_OR_PIN,
    arguments=(Argument("pin", str, 0, 8, default="", pattern=r"[0-9]*"),),
    timeout_ms=45_000,
    needs=Needs.MEDIA,
)
ACTING: Final = (
    CONFIG_SET, CONFIG_UNDO, KEYS, TUNE, CHANNEL_TEST, COLOUR_BARS, HDMI_MODE, AUDIO_MODE, MESSAGE,
    CLEAR_CACHE, DRM_REAUTHORISE, RESTART_APP, REBOOT, FACTORY_RESET,
)  # fmt: skip
