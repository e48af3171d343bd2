"""A month of a profile is so many starts, pings and messages as its intervals make."""

from oleada_agent import config
from oleada_lab.bench.traffic import Costs, Watched, month

from tests.agent.edge.test_config import LEAST

COSTS = Costs(start=15_000, ping=200, message=1_000)


def a_month(**settings: int | str) -> dict[str, int]:
    found: dict[str, int] = month(config.parse({**LEAST, **settings}, "config.toml"), COSTS)[
        "counts"
    ]
    return found


def test_a_box_pings_only_where_it_says_nothing_else() -> None:
    assert a_month(health_s=300, keepalive_s=60) == {
        "messages": 8_640, "pings": 4 * 8_640, "starts": 30,
    }  # fmt: skip
    assert a_month(health_s=60, keepalive_s=60)["pings"] == 0
    assert a_month(health_s=300, keepalive_s=299)["pings"] == 8_640


def test_looks_that_are_told_together_are_one_message() -> None:
    frugal = a_month(profile="frugal")

    assert frugal == {"messages": 30, "pings": 30 * 71, "starts": 30}


def test_the_bytes_are_those_of_each_kind_and_their_sum() -> None:
    found = month(config.parse({**LEAST, "profile": "frugal"}, "config.toml"), COSTS)

    assert found["of_which"] == {"messages": 30_000, "pings": 426_000, "starts": 450_000}
    assert found["bytes_a_month"] == 906_000


def test_a_player_that_is_watched_says_something_else_each_time() -> None:
    player = Watched(step_s=300)
    first, second = player.status(), player.status()

    assert len({name for name in first if first[name] != second[name]}) >= 5
