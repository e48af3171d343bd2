"""The audit trail in words: who, and what they did."""

from oleada_server.web.words import gettext


def actor(name: str) -> str:
    """Return who did it: a person's name, or the product for what it does by itself."""
    kind, _, who = name.partition(":")
    return "Oleada" if kind == "system" else who or name


def deed_word(action: str) -> str:
    """Return what was done, as the end of a sentence; an unknown action as it is."""
    spelt = {
        "rollout.create": gettext("made the plan"),
        "rollout.start": gettext("started it"),
        "rollout.pause": gettext("paused it"),
        "rollout.resume": gettext("resumed it"),
        "rollout.stop": gettext("stopped it"),
        "rollout.retry": gettext("let boxes try again"),
        "rollout.halt": gettext("halted it"),
        "rollout.finish": gettext("finished it"),
        "wave.open": gettext("opened a wave"),
        "wave.go_on": gettext("let a wave go on"),
        "wave.soak": gettext("began the soak"),
        "wave.pass": gettext("let a wave pass"),
        "wave.hold": gettext("holds a wave"),
    }
    return spelt.get(action, action)
