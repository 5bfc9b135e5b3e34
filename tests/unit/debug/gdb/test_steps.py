"""Steps of one thread, over what lets others run."""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

import pytest

from emulator.debug import StopKind
from emulator.debug import debugger as debugging
from emulator.debug.threads import thread_of
from emulator.guest.tasks import task_reader
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.gdb import ask, gdb_transcript
from tests.helpers.task_kernel import KERNEL, PROFILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from emulator.debug import Debugger
    from emulator.guest.tasks import TaskReader

SWITCH = 14
"""Bytes of `switch_to` in front of the instruction that switches."""
IN_FRONT_OF_SWITCH = ("break switch_to", *("continue",) * 4, "delete", "next")
"""Task 1 is to switch for the second time, to task 2."""
IN_FRONT_OF_CALL = ("break 13 if self == 0 && i == 1", "continue", "delete")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tasks")
    (directory / "profile.toml").write_text(PROFILE)
    return compile_kernel(directory, KERNEL, ["-g", "-O0"])


def session(kernel: Path, *commands: str, begin: Sequence[str] = IN_FRONT_OF_SWITCH) -> str:
    profile = str(kernel.with_name("profile.toml"))
    return gdb_transcript(str(kernel), [*begin, *commands], "--profile", profile, "--timeout", "60")


def threads(text: str) -> list[str]:
    """Return the thread that was the present one at each `info threads`."""
    return re.findall(r'^\* [0-9]+ +Thread [0-9]+ "(.+?)"', text, re.MULTILINE)


def values(text: str) -> list[str]:
    return re.findall(r"^\$[0-9]+ = (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("command", ["next", "step", "stepi 2"])
def test_a_step_over_the_switch_ends_in_the_same_task(kernel: Path, command: str) -> None:
    text = session(kernel, "info threads", "p count", command, "info threads", "p count", "next", "p $esp")
    assert threads(text) == ["task 1", "task 1"]
    before, after, _ = values(text)
    assert (before, after) == ("{102, 1}", "{102, 102}"), "the other one has run meanwhile"


def test_so_does_one_over_the_call_and_back(kernel: Path) -> None:
    text = session(
        *(kernel, "next", "p count", "next", "info threads", "p count", "reverse-next", "reverse-next"),
        *("info threads", "p count"),
        begin=IN_FRONT_OF_CALL,
    )
    assert threads(text) == ["task 1", "task 1"]
    assert values(text) == ["{102, 102}", "{202, 102}", "{102, 1}"]


def test_a_step_back_over_the_switch_ends_in_the_same_task(kernel: Path) -> None:
    text = session(
        *(kernel, "next", "reverse-next", "info threads", "p count", "next", "p count"),
        *("reverse-stepi", "reverse-stepi", "info threads", "p count"),
    )
    assert threads(text) == ["task 1", "task 1"]
    assert values(text) == ["{102, 1}", "{102, 102}", "{102, 1}"]


def test_a_step_back_to_before_the_task_has_run_ends_where_the_cpu_was(kernel: Path) -> None:
    first = ("break one", "continue", "delete")
    text = session(kernel, *("reverse-stepi",) * 12, "info threads", begin=first)
    assert threads(text) == ["kernel"]
    assert "No more reverse-execution history" not in text


def test_a_task_comes_back_where_it_will_go_on(tmp_path: Path) -> None:
    begin, end = KERNEL.index("__attribute__((naked)) void switch_to"), KERNEL.index("void work")
    other = KERNEL[begin:end].replace("switch_to", "other_switch")
    source = (
        KERNEL[:end]
        + other
        + KERNEL[end:].replace("    switch_to(", "    (self ? switch_to : other_switch)(")
    )
    (tmp_path / "profile.toml").write_text(PROFILE)
    kernel = compile_kernel(tmp_path, source, ["-g", "-O0"])
    begin_of = ("break other_switch", "continue", "continue", "delete", "next")
    text = session(kernel, "p count", "stepi 2", "info threads", "p count", "bt", begin=begin_of)
    assert threads(text) == ["task 1"]
    assert values(text) == ["{102, 1}", "{102, 102}"]
    assert re.search(r"^#0 +work \(self=0\)", text, re.MULTILINE)


def test_a_breakpoint_in_another_task_stops_on_the_way(kernel: Path) -> None:
    stopped = session(kernel, "break 14 if self == 1", "next", "info threads", "delete", "next", "p count")
    assert threads(stopped) == ["task 2"]
    passed = session(kernel, "break 14 thread 2", "next", "info threads", "next", "next", "info threads")
    assert threads(passed) == ["task 1", "task 1"]


def test_a_task_that_waits_is_stepped_where_it_runs(kernel: Path) -> None:
    text = session(kernel, "thread 3", "p count", "next", "info threads", "p count")
    assert threads(text) == ["task 2"]
    assert values(text) == ["{102, 1}", "{102, 101}"]


def test_with_scheduler_locking_the_cpu_is_stepped(kernel: Path) -> None:
    text = session(
        *(kernel, "set scheduler-locking on", "next", "info threads", "next", "next"),
        *("info threads", "reverse-stepi", "info threads", "thread 2", "stepi"),
    )
    assert threads(text) == ["task 2", "task 2", "task 2"]
    assert re.search("^0x[0-9a-f]+ in switch_to ", text, re.MULTILINE), (
        "it stops as soon as another task runs"
    )
    assert re.search(
        "^kmemu: thread 1 does not run: alone only what runs can be stepped$", text, re.MULTILINE
    )


@pytest.fixture
def in_task_1(kernel: Path) -> Iterator[tuple[Debugger, TaskReader]]:
    """The kernel in front of the instruction with which task 1 switches to task 2 for the second time."""
    with debugging(str(kernel), profile=str(kernel.with_name("profile.toml"))) as d:
        switch = d.image.symbols["switch_to"].address + SWITCH
        place = d.break_at(switch)
        for _ in range(4):
            d.run()
        place.remove()
        reader = task_reader(d.machine, d.profile.tasks)
        assert reader is not None
        yield d, reader


def test_lldb_steps_one_thread_and_the_others_run_meanwhile(in_task_1: tuple[Debugger, TaskReader]) -> None:
    d, tasks = in_task_1
    for packet in (b"vCont;s:1", b"vCont;s:2", b"vCont;s:1"):
        (answer,) = ask(d, packet, tasks=tasks)
        assert answer.endswith(b"thread:%b;" % packet[-1:])
    assert ask(d, b"vCont;c:2", tasks=tasks)[0].startswith(b"T05"), "the other one runs, and it goes on"


def test_for_gdb_one_thread_alone_is_what_the_cpu_does(in_task_1: tuple[Debugger, TaskReader]) -> None:
    d, tasks = in_task_1
    answers = ask(
        *(d, b"qSupported:vContSupported+", b"vCont;s:1", b"vCont;s:1", b"vCont;c:1", b"vCont;s:2;c"),
        tasks=tasks,
    )[1:]
    assert [each[-9:] for each in answers] == [b"thread:2;", b"E01", b"E01", b"thread:2;"]


def test_lldb_learns_why_each_thread_stands(in_task_1: tuple[Debugger, TaskReader]) -> None:
    d, tasks = in_task_1
    names = [f"hexname:{name.encode().hex()};".encode() for name in ("task 1", "task 2")]
    answers = ask(d, b"s", b"qThreadStopInfo1", b"qThreadStopInfo2", b"qThreadStopInfo9", tasks=tasks)
    assert answers[1:] == [b"T00thread:1;" + names[0], answers[0] + names[1], b"E03"]


class Walk:
    """Where each instruction of a run is, and in which thread."""

    def __init__(self, kernel: Path) -> None:
        self.threads: list[int] = []
        self.pcs: list[int] = []
        with debugging(str(kernel), profile=str(kernel.with_name("profile.toml"))) as d:
            reader = task_reader(d.machine, d.profile.tasks)
            assert reader is not None
            while True:
                self.threads.append(thread_of(reader.running()))
                self.pcs.append(d.machine.registers().pc)
                if d.step().kind is not StopKind.STEP:
                    break

    def after(self, at: int, thread: int, broken: set[int]) -> int | None:
        """Return where a step of a thread ends; None: at the end of the run."""
        at += 1 if self.threads[at] == thread else 0
        for each in range(at, len(self.pcs)):
            if self.threads[each] == thread or (self.pcs[each] in broken and each > at - 1):
                return each
        return None

    def before(self, at: int, broken: set[int]) -> int:
        """Return where a step back of the thread that runs ends."""
        for each in range(at - 1, 0, -1):
            if self.threads[each] == self.threads[at] or (self.pcs[each] in broken and each < at - 1):
                return each
        return at - 1


@pytest.mark.parametrize("seed", range(6))
def test_any_steps_of_threads_end_where_these_run(kernel: Path, seed: int) -> None:
    walk, random = Walk(kernel), Random(seed)
    broken = {walk.pcs[random.randrange(len(walk.pcs))] for _ in range(seed % 3)}
    packets, expected, at = [b"Z0,%x,1" % each for each in broken], [], 0
    for _ in range(60):
        if at and random.random() < 0.4:
            packets.append(b"bs")
            at = walk.before(at, broken)
        else:
            thread = walk.threads[at]
            after = walk.after(at, thread, broken)
            if after is None:
                continue
            packets.append(b"vCont;s:%x;c" % thread)
            at = after
        expected.append((walk.pcs[at], walk.threads[at]))
        if random.random() < 0.3:
            at = random.randrange(1, len(walk.pcs))
            packets.append(b"qRcmd," + f"goto @{at}".encode().hex().encode())
    with debugging(str(kernel), profile=str(kernel.with_name("profile.toml"))) as d:
        answers = ask(
            d, b"qSupported:vContSupported+", *packets, tasks=task_reader(d.machine, d.profile.tasks)
        )
    stops = re.findall(rb"^T.*?08:(\w+);.*thread:(\w+);", b"\n".join(answers), re.MULTILINE)
    found = [
        (int.from_bytes(bytes.fromhex(eip.decode()), "little"), int(thread, 16)) for eip, thread in stops
    ]
    assert found == expected
