"""The description of the API is made when it is asked for, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask_smorest import Blueprint
from oleada_server.app import create_app
from oleada_server.config import Config


@pytest.fixture
def app(config: Config) -> Flask:
    """An app whose database is never asked."""
    return create_app(config)


def described(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return found


def test_who_asks_at_the_same_time_gets_the_same_whole_description(app: Flask) -> None:
    barrier = Barrier(4)

    def ask(_: int) -> dict[str, Any]:
        barrier.wait(60)
        return described(app)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(ask, range(4)))

    assert {"/api/v1/devices", "/api/v1/rollouts", "/device/v1/enrol"} <= told[0]["paths"].keys()
    assert told == [told[0]] * 4


def test_a_description_that_fails_is_not_half_a_description(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = described(create_app(app.extensions["oleada_config"]))

    def fail(*_: object, **__: object) -> None:
        raise ValueError("one blueprint can not be described")

    with monkeypatch.context() as patch:
        patch.setattr(Blueprint, "register_views_in_doc", fail)
        with pytest.raises(ValueError, match="one blueprint"):
            described(app)

    assert described(app) == whole
