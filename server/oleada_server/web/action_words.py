"""What each action does, in the reader's language; in English nearly as the table says it."""

from oleada_wire.actions import Action

from oleada_server.web.words import gettext


def summary_of(action: Action) -> str:
    """Return in a sentence what *action* does."""
    return (_looks() | _changes()).get(action.name) or action.summary


def _looks() -> dict[str, str]:
    """Return what actions do that only look, by name."""
    return {
        "ping": gettext("Answer, so that it is known that the agent hears and obeys."),
        "report_health": gettext("Send a health message now."),
        "self_test": gettext(
            "Try disk, memory, clock, network and the media player, and say which are well."
        ),
        "process_list": gettext(
            "List the processes that take most memory or processor, without their arguments."
        ),
        "log_pull": gettext("Bring the newest lines of the box's own logs, without secrets."),
        "config_get": gettext(
            "Say the settings of the box that may be said, and which were changed from afar."
        ),
        "media_status": gettext("Read everything that the media player says of itself, now."),
        "hdmi_info": gettext("Read what the television says of itself, with its EDID."),
        "screenshot": gettext(
            "Upload what the box draws on top of the picture; the picture itself stays black."
        ),
        "ip_ping": gettext("Ping a host and say how many answers came and how fast."),
        "traceroute": gettext("Say which routers are on the way to a host."),
        "dns_lookup": gettext(
            "Ask for the addresses of a name, of the box's own resolver or of another one."
        ),
        "download_test": gettext(
            "Load from a host that the box's settings allow, and say how fast that went."
        ),
        "upload_test": gettext(
            "Send zeros to a host that the box's settings allow, and say how fast that went."
        ),
        "udp_echo": gettext(
            "Send packets to an echo server that the box's settings allow; say loss and jitter."
        ),
        "wifi_scan": gettext(
            "Say how strong the box's own Wi-Fi is and who else is on the air, without their names."
        ),
        "packet_capture": gettext(
            "Upload the headers, and never the contents, of packets that come and go."
        ),
    }


def _changes() -> dict[str, str]:
    """Return what actions do that change something, by name."""
    return {
        "config_set": gettext(
            "Change one setting that may be changed from afar; it can be taken back."
        ),
        "config_undo": gettext("Take back the last change of a setting."),
        "keys": gettext("Press keys of the remote control, one after another."),
        "tune": gettext("Show another channel."),
        "channel_test": gettext(
            "Watch a channel for some seconds and say how well picture and sound came."
        ),
        "colour_bars": gettext(
            "Show colour bars for some seconds, so that somebody can say whether the cable works."
        ),
        "hdmi_mode": gettext(
            "Set the resolution; it goes back by itself after the time that is given, 0 for never."
        ),
        "audio_mode": gettext("Send sound as PCM, or as it comes; and end a mute."),
        "message": gettext("Show a sentence on the screen for some seconds."),
        "clear_cache": gettext("Throw away what the application has kept for speed."),
        "drm_reauthorise": gettext("Ask for the rights to what is subscribed to anew."),
        "restart_app": gettext("Start the television application anew."),
        "reboot": gettext("Restart the box; if that is asked, not while somebody watches."),
        "factory_reset": gettext(
            "Forget accounts, settings and recordings, then restart; identity and release stay."
        ),
    }
