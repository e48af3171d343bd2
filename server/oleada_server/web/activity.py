"""The audit trail in words: who, and what they did."""

import re
from collections.abc import Mapping
from typing import Any, Final

from flask import url_for

from oleada_server.accounts.models import Role
from oleada_server.rollouts.states import RolloutState
from oleada_server.web import status
from oleada_server.web.words import gettext

_ROLLOUT: Final = re.compile(r"R-([0-9]{1,9})")
_RELEASE: Final = re.compile(r"([A-Z0-9][A-Z0-9-]*)/([0-9.]+)\.img")
VALUE_CHARS_MAX: Final = 60


def actor(name: str) -> str:
    """Return who did it: a person's name, or the product for what it does by itself."""
    kind, _, who = name.partition(":")
    return "Oleada" if kind == "system" else who or name


def deed_word(action: str) -> str:
    """Return what was done, as the end of a sentence; an unknown action as it is."""
    spelt = {
        "rollout.create": gettext("made the plan"),
        "rollout.start": gettext("started it"),
        "rollout.ask": gettext("asked for approval"),
        "rollout.approve": gettext("approved it"),
        "rollout.send_back": gettext("sent it back"),
        "wave.accept": gettext("let a held wave go on"),
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
        "release.publish": gettext("published it"),
        "release.withdraw": gettext("withdrew it"),
        "trust.install": gettext("installed signing keys"),
        "user.add": gettext("added the user"),
        "user.link": gettext("made a one-time link"),
        "user.role": gettext("changed the role"),
        "user.disable": gettext("shut the user out"),
        "user.enable": gettext("let the user in again"),
        "user.password": gettext("set a password"),
        "factor.add": gettext("enrolled a second factor"),
        "factor.remove": gettext("removed a second factor"),
        "factor.reset": gettext("reset the second factors"),
        "factor.codes": gettext("made new recovery codes"),
        "factor.recovery": gettext("used a recovery code"),
        "factor.prove": gettext("proved a second factor"),
        "factor.refused": gettext("gave a wrong second factor"),
        "sign-in.factor": gettext("signed in with a second factor"),
        "session.end": gettext("signed out other browsers"),
        "key.owner": gettext("named the owner of a signing key"),
        "key.owner-ask": gettext("asked for another owner of a signing key"),
        "key.owner-decline": gettext("declined another owner of a signing key"),
        "token.create": gettext("made an API token"),
        "token.revoke": gettext("revoked API tokens"),
        "sign-in.link": gettext("signed in by a link"),
        "sign-in.password": gettext("signed in"),
        "sign-in.refused": gettext("gave a wrong password"),
        "sign-out": gettext("signed out"),
        "device.claim": gettext("made a claim token"),
        "device.enrol": gettext("enrolled"),
        "device.enrol-refused": gettext("was refused to enrol"),
        "device.renew": gettext("got its next certificate late"),
        "device.renew-alarm": gettext("asked for a certificate in an odd way"),
        "device.revoke": gettext("revoked it"),
        "device.adopt": gettext("took the box in again"),
        "server.restore": gettext("restored the server from a backup"),
        "device.over-quota": gettext("began to keep less than this box sends"),
    }
    return spelt.get(action) or _asked_word(action)


def _asked_word(action: str) -> str:
    """Return what was done with a deed that takes two persons; any other action as it is."""
    late = gettext("closed a request that waited too long")
    spelt = {
        "user.role-ask": gettext("asked that the role be changed"),
        "user.role-decline": gettext("declined the change of the role"),
        "user.role-expire": late,
        "factor.reset-ask": gettext("asked that the second factors be reset"),
        "factor.reset-decline": gettext("declined the reset of the second factors"),
        "factor.reset-expire": late,
        "key.owner-expire": late,
        "device.act": gettext("let the box do something"),
        "device.act-ask": gettext("asked that the box do something that takes two persons"),
        "device.act-cancel": gettext("cancelled what the box was doing"),
        "device.act-decline": gettext("declined what the box was to do"),
        "device.act-expire": late,
        "device.complaint": gettext("noted a complaint"),
        "device.file-read": gettext("read a file of the box"),
        "device.revoke-many-ask": gettext("asked that many boxes be revoked"),
        "device.revoke-many-decline": gettext("declined that many boxes be revoked"),
        "device.revoke-many-expire": late,
    }
    return spelt.get(action) or _halt_word(action)


def _halt_word(action: str) -> str:
    """Return what evidence or boxes as witnesses have done, and of groups; others as they are."""
    spelt = {
        "rollout.halt_stratum": gettext("halted it for boxes of one version"),
        "incident.close": gettext("closed an incident"),
        "rollout.force": gettext("forced it"),
        "rollout.unforce": gettext("lets it leave boxes alone again"),
        "rollout.go_back": gettext("sent boxes back to what they ran"),
        "wave.open_early": gettext("opened a wave early"),
        "wave.sign": gettext("signed a wave"),
        "wave.join": gettext("let newcomers join a wave"),
        "device.leave_alone": gettext("asked that the box be left alone"),
        "device.leave_alone_no_more": gettext("asked that the box be left alone no more"),
        "group.create": gettext("made the group"),
        "group.change": gettext("changed the group"),
        "group.remove": gettext("removed the group"),
        "audit.split-view": gettext("was shown another audit trail"),
        "audit.lost-head": gettext("was shown a head that a restore has lost"),
        "audit.settle": gettext("settled a foreign head"),
    }
    return spelt.get(action, action)


def object_href(object_ref: str) -> str:
    """Return the address of the page about *object_ref*; empty when it has none."""
    if rollout := _ROLLOUT.fullmatch(object_ref):
        return url_for("rollout_pages.show", rollout_id=int(rollout[1]))
    if release := _RELEASE.fullmatch(object_ref):
        return url_for("firmware_pages.show", hardware_model=release[1], version=release[2])
    kind, _, name = object_ref.partition(":")
    if kind == "head":
        return url_for("sighting_pages.index")
    if kind == "group" and name:
        return url_for("group_pages.show", name=name)
    if kind == "device" and name:
        return url_for("device_page.show", device_id=name)
    return ""


def changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[tuple[str, str, str]]:
    """Return (field, before, after) of what an entry changed; empty where it did not stand."""
    old, new = before or {}, after or {}
    names = sorted({*old, *new})
    return [(name, _spelt(name, old.get(name)), _spelt(name, new.get(name))) for name in names]


def _spelt(name: str, value: object) -> str:
    """Return *value* as people read it: lists with commas, states and roles by their words."""
    if isinstance(value, list | tuple):
        text = ", ".join(str(one) for one in value)
    elif name == "state" and isinstance(value, str) and value in set(RolloutState):
        text = status.rollout(value).word
    elif name == "role" and isinstance(value, str) and value in set(Role):
        text = status.role(value)
    else:
        text = "" if value is None else str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"
