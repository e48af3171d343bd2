"""What a release may say of itself; the signer, the server and the box read it alike."""

import pytest
from oleada_wire.errors import MalformedMessageError
from oleada_wire.release import SECURITY_VERSION_MAX, ReleaseInfo


@pytest.mark.parametrize("security_version", [1, SECURITY_VERSION_MAX])
def test_a_security_version_within_its_limits_is_read_back(security_version: int) -> None:
    info = ReleaseInfo(("VX-410",), "5.8.2", security_version, {"en": "x"})

    assert ReleaseInfo.from_custom(info.to_custom()) == info


@pytest.mark.parametrize("security_version", [-1, 0, SECURITY_VERSION_MAX + 1])
def test_a_security_version_that_no_database_holds_is_refused(security_version: int) -> None:
    custom = ReleaseInfo(("VX-410",), "5.8.2", 1, {"en": "x"}).to_custom()

    with pytest.raises(MalformedMessageError, match="security_version is not 1 to 2147483647"):
        ReleaseInfo.from_custom(custom | {"security_version": security_version})
