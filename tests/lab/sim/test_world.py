import io

from oleada_lab.sim.world import Dice, World


def test_events_of_one_moment_keep_the_order_in_which_they_were_asked_for() -> None:
    world, seen = World(1), []
    for name in ("first", "second", "third"):
        world.after(10, lambda name=name: seen.append(name))  # type: ignore[misc]
    world.after(5, lambda: seen.append("earlier"))

    world.run(20, lambda: False)

    assert seen == ["earlier", "first", "second", "third"]
    assert (world.now_ms, world.events) == (10, 4)


def test_a_stream_begins_with_the_same_draws_whoever_else_draws() -> None:
    alone = World(7).stream("network", "box")
    world = World(7)
    world.stream("network", "another").bits()

    beside = world.stream("network", "box")

    assert [alone.bits() for _ in range(3)] == [beside.bits() for _ in range(3)]
    assert World(8).stream("network", "box").bits() != World(7).stream("network", "box").bits()


def test_dice_are_fair_enough_and_stay_within_their_limits() -> None:
    dice = Dice("fair")

    drawn = [dice.below(6) for _ in range(6_000)]
    shares = [dice.share() for _ in range(1_000)]

    assert set(drawn) == {0, 1, 2, 3, 4, 5}
    assert all(850 < drawn.count(face) < 1_150 for face in range(6))
    assert all(0 <= share < 1 for share in shares)
    assert all(3 <= dice.between(3, 5) < 5 for _ in range(50))


def test_the_trace_is_kept_as_it_is_hashed() -> None:
    kept = io.StringIO()
    world = World(1, keep=kept)
    world.note("VX41000001", "boots A 1.0.0")
    world.tell("wave 1 opens")
    other = World(1)
    other.note("VX41000001", "boots A 1.0.1")
    other.tell("wave 1 opens")

    assert world.trace_hash() != other.trace_hash()
    assert kept.getvalue() == "0 VX41000001 boots A 1.0.0\n0 story wave 1 opens\n"
