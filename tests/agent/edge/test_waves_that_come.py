"""A wave is verified when it comes, so that whoever watches the box learns of a false one."""

from collections.abc import Sequence

from oleada_wire import messages
from oleada_wire.envelope import KeySigner
from oleada_wire.messages import Waves

from tests.agent.edge.clocks import NOON_MS, Home


def test_a_wave_that_is_not_to_be_believed_is_named_when_it_comes() -> None:
    home = Home(NOON_MS)
    home.connect()

    def refusal(signers: Sequence[KeySigner]) -> str:
        sealed = messages.seal(home.wave(), list(signers)).decode()
        error = home.authority.accept_waves(Waves(home.header(), (sealed,)))
        return "" if error is None else error.code

    assert refusal([home.repository.director]) == "bad-signature"
    assert refusal(home.repository.approvers[:1]) == "bad-signature"
    assert refusal(home.repository.approvers) == ""
