"""What a sweep chooses to cut again, and which faults are the same one."""

from oleada_lab.real import faults
from oleada_lab.real.kinds import Choice
from oleada_lab.real.steps import Logged
from oleada_lab.sim.disk import Op

STORE = ("create", "pwrite", "fsync", "rename", "fsync_dir")
LOG = [Logged(Op(number, kind, "data/state"), "") for number, kind in enumerate(STORE, 1)]


def struck(name: str, numbers: list[int]) -> list[int]:
    return [number for trouble, number in faults.tasks(numbers, LOG) if trouble.name == name]


def test_an_error_strikes_every_operation_and_a_slow_disk_is_tried_once() -> None:
    assert struck("eio", [1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert struck("slow", [1, 2, 3, 4, 5]) == [1]


def test_a_trouble_begins_once_before_each_operation_that_it_would_refuse() -> None:
    # Full after the first: the write is refused. After the second nothing more is written.
    assert struck("enospc", [1, 2, 3, 4, 5]) == [1, 2]
    # Read-only after the second or third: the rename is refused. Then nothing is left to refuse.
    assert struck("erofs", [1, 2, 3, 4, 5]) == [1, 2, 4]
    assert struck("erofs", [3, 5]) == [3, 5]


def test_the_recoveries_that_are_cut_again_are_the_same_for_the_same_seed() -> None:
    firsts = list(range(400))
    some, others = Choice((), double=5, seed=1), Choice((), double=5, seed=2)

    assert some.to_cut_again(firsts) == some.to_cut_again(firsts) != others.to_cut_again(firsts)
    assert len(some.to_cut_again(firsts)) == 5
    assert some.in_recovery(100) == sorted({*some.in_recovery(100)})
    assert len(some.in_recovery(2)) == 2


def test_all_pairs_are_all_recoveries_and_all_their_operations() -> None:
    every = Choice((), double=None)

    assert every.to_cut_again([3, 1, 2]) == [3, 1, 2]
    assert every.in_recovery(4) == [0, 1, 2, 3]
    assert Choice((), double=0).to_cut_again([1, 2]) == []
