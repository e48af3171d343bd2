"""What the address of a box's page asks: complaint, channel, answers, language of the sentence.

Everything that the page does comes back to the same address, so it can be sent to a colleague
and survives a sign-in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from oleada_server.diagnosis import reading, service
from oleada_server.web import words


@dataclass(frozen=True, slots=True)
class Asked:
    """A complaint as an address says it.

    Attributes:
        symptom: Name of a playbook.
        channel: What the subscriber calls the channel; empty when it is not about one.
        answers: What the subscriber and the desk answered, by question.
        say: Language of the subscriber; empty for the reader's own.
    """

    symptom: str
    channel: str
    answers: Mapping[str, bool]
    say: str = ""

    def args(self, **more: bool) -> dict[str, Any]:
        """Return it as the arguments of an address, with *more* answers."""
        said = {**self.answers, **{name.replace("_", "-"): value for name, value in more.items()}}
        words_of = [f"{name}:{'yes' if value else 'no'}" for name, value in said.items()]
        return {
            "symptom": self.symptom if self.symptom != service.UNSAID else None,
            "channel": self.channel or None,
            "asked": words_of or None,
            "say": self.say or None,
        }

    def said_in(self, language: str) -> dict[str, Any]:
        """Return the arguments of the address that says the sentence in *language*."""
        return Asked(self.symptom, self.channel, self.answers, language).args()

    def without(self, name: str) -> dict[str, Any]:
        """Return the arguments of the address without the answer to *name*."""
        rest = {other: said for other, said in self.answers.items() if other != name}
        return Asked(self.symptom, self.channel, rest, self.say).args()

    @property
    def language(self) -> str:
        """Return the language of the sentence."""
        return self.say or words.choose_language()


NOTHING = Asked(service.UNSAID, "", {})


def read(args: MultiDict[str, str]) -> Asked:
    """Return what *args* ask; what there is no playbook or language for counts as not said."""
    symptom = args.get("symptom", service.UNSAID)
    if symptom not in reading.library().playbooks:
        symptom = service.UNSAID
    pairs = [one.partition(":") for one in args.getlist("asked")]
    answers = {name: word == "yes" for name, _, word in pairs if word in {"yes", "no"}}
    channel = args.get("channel", "").strip()[: service.CHANNEL_CHARS_MAX]
    say = args.get("say", "")
    return Asked(symptom, channel, answers, say if say in words.LANGUAGE_NAMES else "")
