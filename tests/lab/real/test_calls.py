"""What strace writes is read as operations of a disk; what changes nothing is left out."""

from oleada_lab.real import calls
from oleada_lab.real.traced import BOOT, Point, points

BOX = "/lab/box"
LINES = """\
10  mkdir("/lab/box/boot", 0777) = -1 EEXIST (File exists)
10  openat(AT_FDCWD, "/lab/box/boot/power.lock", O_WRONLY|O_TRUNC) = 3</lab/box/boot/power.lock>
10  mkdir("/tmp/oleada-image-x", 0700)    = 0
10  rmdir("/lab/box/run")                 = 0
10  openat(AT_FDCWD, "/lab/box/slots/a.img", O_RDONLY|O_CLOEXEC) = 4</lab/box/slots/a.img>
11  openat(AT_FDCWD, "/lab/box/run/agent.alive", O_WRONLY|O_TRUNC) = 3</lab/box/run/agent.alive>
11  mkdir("/lab/box/data/trust", 0777)    = 0
11  fsync(3</lab/box/data>)               = 0
11  openat(AT_FDCWD, "/lab/box/data/trust/x.tmp", O_WRONLY|O_TRUNC, 0600 <unfinished ...>
12  write(9<socket:[1]>, ""..., 517)      = 517
11  <... openat resumed>)                 = 7</lab/box/data/trust/x.tmp>
11  pwrite64(7</lab/box/data/trust/x.tmp>, ""..., 23, 4096) = 23
11  fsync(7</lab/box/data/trust/x.tmp>)   = 0
11  rename("/lab/box/data/trust/x.tmp", "/lab/box/data/trust/x") = 0
11  fsync(7</lab/box/data/trust>)         = 0
11  unlink("/lab/box/data/gone")          = -1 ENOENT (No such file or directory)
11  unlink("/lab/box/data/trust/x")       = 0
11  ftruncate(7</lab/box/slots/b.img>, 512) = 0
11  pwrite64(7</lab/box/slots/b.img>, ""..., 5, 0) = ?
11  +++ killed by SIGKILL +++
""".splitlines()  # fmt: skip


def test_calls_that_changed_the_disk_are_its_operations_in_order() -> None:
    found = calls.changes(calls.read(LINES), BOX)

    assert [(op.kind, op.path, op.offset, op.size_bytes, op.to) for op in found] == [
        ("create", "boot/power.lock", 0, 0, ""),
        ("mkdir", "data/trust", 0, 0, ""),
        ("fsync_dir", "data", 0, 0, ""),
        ("create", "data/trust/x.tmp", 0, 0, ""),
        ("pwrite", "data/trust/x.tmp", 4096, 23, ""),
        ("fsync", "data/trust/x.tmp", 0, 0, ""),
        ("rename", "data/trust/x.tmp", 0, 0, "data/trust/x"),
        ("fsync_dir", "data/trust", 0, 0, ""),
        ("unlink", "data/trust/x", 0, 0, ""),
        ("truncate", "slots/b.img", 0, 0, ""),
    ]
    assert [op.number for op in found] == list(range(1, 11))


def test_a_call_that_another_thread_interrupted_is_one_call() -> None:
    found = [call for call in calls.read(LINES) if call.name == "openat" and call.pid == 11]

    assert [call.paths for call in found] == [
        ["/lab/box/run/agent.alive"],
        ["/lab/box/data/trust/x.tmp"],
    ]


def test_a_cut_comes_before_each_call_that_finds_another_disk_and_names_its_process() -> None:
    found = points(list(calls.read(LINES)), BOX)

    # The fsync of data/trust/x.tmp is the second of process 11, the agent's first start.
    assert Point(1, "fsync", 2, done=5) in found
    assert Point(1, "rename", 1, done=6) in found
    assert found[0] == Point(BOOT, "mkdir", 1, done=0)
    assert [point.done for point in found] == sorted({point.done for point in found})


def test_nothing_outside_the_box_and_nothing_in_its_memory_is_an_operation() -> None:
    lines = [
        'openat(AT_FDCWD</>, "/lab/boxes/data/x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3</x>',
        'openat(AT_FDCWD</>, "/lab/box/run/x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3</x>',
        'openat(AT_FDCWD</>, "/lab/box/data/x", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3</x>',
    ]

    found = calls.changes(calls.read(f"7 {line}" for line in lines), BOX)

    assert [op.path for op in found] == ["data/x"]
