"""Who wrote a word last, and journeys over checkpoints in both directions."""

from __future__ import annotations

from random import Random

import pytest

from emulator import boot, debug
from emulator.debug import Debugger, Moment
from emulator.machine.core.stops import Instant
from emulator.replay import travel
from tests.helpers.debuggers import calls_of, checked_state_of, state_of
from tests.helpers.guest import FUNCTION, machine_of

PAGING = (
    FUNCTION
    + """
        movl    $0x83, directory
        movl    $0x83, directory + 0x800        # the same memory at 0x80000000
        movl    $1, word                        # physical is linear
        paging  directory
        movl    $2, word
        movl    $100000, %ecx
1:      movl    %ecx, word + 8                  # the same page
        movl    %ecx, word + 0x80000008
        loop    1b
        cmpl    $0, %edi
        movl    $3, word + 0x80000000           # by another address
        movl    $100000, %ecx
2:      movl    %ecx, word + 8
        loop    2b
        exit    0
        .data
        .balign 4096
        .globl  word
word:   .skip   4096
        .bss
        .balign 4096
directory:
        .skip   4096
        .text
"""
)


@pytest.fixture(autouse=True)
def _many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "_FIRST", 20_000)


@pytest.mark.parametrize("sanitize", [False, True, "uninitialised"])
@pytest.mark.parametrize("kernel", ["demo", "btron_demo", "btron_pools_wait", "vm_fault"])
def test_the_last_write_is_the_one_that_a_run_under_watch_finds(kernel: str, sanitize: bool | str) -> None:
    random = Random(kernel)
    with debug.debugger(f"firmware:{kernel}", sanitize=sanitize) as d:
        end = d.run().moment
        here = checked_state_of(d) if sanitize else state_of(d)
        written = [at for at in range(0x100000, 0x140000, 4096) if any(d.machine.memory.read(at, 4096))]
        for page in random.sample(written, 6):
            word = page + 4 * random.randrange(1024)
            other = boot(f"firmware:{kernel}")
            with other.observers.watch(word, 4) as watchpoint:
                other.stops.stop_at(Instant(end.instructions))
                other.run()
                expected = watchpoint.last_write()
            found = d._travel  # noqa: SLF001 - by physical address
            from emulator.replay.newest_write import newest_write

            write = newest_write(found, [range(word, word + 4)])
            assert (checked_state_of(d) if sanitize else state_of(d)) == here
            assert (write is None) == (expected is None)
            if write is not None and expected is not None:
                before, after = (int.from_bytes(each, "little") for each in (write.before, write.after))
                assert (write.eip, write.pc, before, after) == (
                    expected.eip,
                    expected.pc,
                    expected.before,
                    expected.after,
                )


def test_a_word_is_found_by_each_of_its_addresses() -> None:
    with Debugger(machine_of(PAGING)) as d:
        d.run()
        word = d.image.symbols["word"].address
        write = d.who(word)
        assert write is not None
        assert (write.before, write.after) == (b"\2\0\0\0", b"\3\0\0\0")
        d.go_to(Moment(150_000))
        write = d.who(word)
        assert write is not None
        assert (write.before, write.after) == (b"\1\0\0\0", b"\2\0\0\0")
        assert d.moment == Moment(150_000)
        assert d.who(word + 4) is None
        last = d.who(word + 8)
        assert last is not None
        before, after = (int.from_bytes(each, "little") for each in (last.before, last.after))
        assert before == after + (before != after)


def test_a_models_write_is_found_after_the_event_of_its_call() -> None:
    with debug.debugger("firmware:overflow", layers={"heap": "model"}) as d:
        d.run()
        write = d.who(d.image.symbols["heap_free_list"].address)
        assert write is not None
        found = d.image.function_at(write.pc)
        assert found is not None
        assert not write.text
        calls = d.trace().calls
        call = calls.call(calls.number_at(write.event))
        assert (call.function, call.entered) == (found[0].name, write.event)
        assert write.before != write.after


@pytest.mark.parametrize("kernel", ["demo", "btron_pools_wait", "vm_fault", "btron_demo"])
def test_checkpoints_ahead_are_gone_to_exactly(kernel: str) -> None:
    random = Random(kernel)
    with debug.debugger(f"firmware:{kernel}") as d, debug.debugger(f"firmware:{kernel}") as straight:
        end = d.run().moment.instructions
        places = sorted(random.randrange(end) for _ in range(8))
        states = {}
        for each in places:
            straight.go_to(each)
            states[each] = state_of(straight)
        for _ in range(25):
            each = random.choice(places)
            d.go_to(each)
            assert state_of(d) == states[each]
        calls = d.trace().calls
        assert (
            len(calls.entered) == sum(1 for _ in straight.trace().calls.entered)
            or d.moment != straight.moment
        )
        for event in random.sample(range(1, d.event + 1), min(10, d.event)):
            d.go_to_event(event)
            assert d.event >= event


@pytest.mark.parametrize("sanitize", [False, True, "uninitialised"])
def test_checkpoints_make_way_and_take_no_more_memory_than_they_may(
    monkeypatch: pytest.MonkeyPatch, sanitize: bool | str
) -> None:
    limit = (260 if sanitize else 40) * 4096  # what checks know is kept, too
    for name, value in (("_FIRST", 1000), ("CHECKPOINTS_MAX", 9), ("CHECKPOINT_BYTES_MAX", limit)):
        monkeypatch.setattr(travel, name, value)
    random = Random(1)
    with debug.debugger("firmware:demo", sanitize=sanitize) as d, debug.debugger("firmware:demo") as straight:
        end = d.run().moment.instructions
        journey = d._travel  # noqa: SLF001 - what the debugger hides
        places = sorted(random.randrange(end) for _ in range(8))
        states = {}
        for each in places:
            straight.go_to(each)
            states[each] = state_of(straight)
        assert 2 < len(journey.checkpoints) <= 9
        for _ in range(60):
            each = random.choice(places)
            d.go_to(each)
            assert state_of(d) == states[each]
            ahead = [kept.moment for kept in journey.checkpoints if kept.moment > d.moment]
            journey.keep()
            assert d.moment in [kept.moment for kept in journey.checkpoints]
            still = [kept.moment for kept in journey.checkpoints if kept.moment > d.moment]
            assert set(still) <= set(ahead)
            assert len(still) >= len(ahead) - 2
            assert len(journey.checkpoints) <= 9
            assert journey.checkpoint_bytes <= limit or len(journey.checkpoints) <= 4
        assert journey.checkpoints[0].moment == journey.start
        assert d.checkpoints == (len(journey.checkpoints), journey.checkpoint_bytes)


def test_what_checks_know_counts_as_memory_of_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_FIRST", 1000), ("CHECKPOINTS_MAX", 9), ("CHECKPOINT_BYTES_MAX", 172 * 4096)):
        monkeypatch.setattr(travel, name, value)
    kept = []
    for sanitize in (False, True):
        with debug.debugger("firmware:demo", sanitize=sanitize) as d:
            d.run()
            kept.append(d.checkpoints)
    assert kept[0].kept == 9 > kept[1].kept > 2
    assert kept[0].size < 40 * 4096 < kept[1].size <= 180 * 4096


@pytest.mark.parametrize("sanitize", [False, True])
def test_calls_are_known_wherever_the_machine_has_gone(sanitize: bool) -> None:
    random = Random(3)
    with (
        debug.debugger("firmware:btron_demo", sanitize=sanitize) as d,
        debug.debugger("firmware:btron_demo") as straight,
    ):
        end = d.run().moment
        places = sorted(random.sample(range(1, straight.go_to(end).moment.instructions), 6))
        straight.go_to(0)
        expected = {}
        for each in places:
            straight.go_to(each)
            expected[each] = calls_of(straight)
        assert len({len(each) for each in expected.values()}) > 1
        for number in range(30):
            each = random.choice(places)
            d.go_to(each)
            if number % 3 == 0:
                d.who(d.image.symbols["idt"].address)
            elif number % 3 == 1:
                d.step(3)
                d.go_to(each)
            kept = d.checkpoints
            assert calls_of(d) == expected[each]
            assert d.checkpoints == kept  # nothing was gone through again for that


def test_calls_of_a_run_that_was_recorded_and_changed_then_are_known() -> None:
    with debug.debugger("firmware:btron_demo") as d, debug.debugger("firmware:btron_demo") as straight:
        end = d.record().moment
        for each in (d, straight):
            each.go_to(end.instructions // 2)
            each.write_memory(len(d.machine.memory) - 4, b"\1", physical=True)
            each.go_to(end.instructions * 3 // 4)
        assert calls_of(d) == calls_of(straight) != []


def test_the_end_of_a_run_is_come_back_to_as_it_was() -> None:
    with debug.debugger("firmware:btron_demo") as d:
        stop = d.run()
        here = state_of(d)
        assert stop.ending is not None
        d.who(d.image.symbols["idt"].address)
        assert state_of(d) == here
        d.go_to(stop.moment.instructions // 2)
        assert d.go_to(stop.moment) == stop
        assert state_of(d) == here
        d.step_back()
        again = d.run()
        assert (again, state_of(d)) == (stop, here)


def test_a_change_forgets_what_is_ahead() -> None:
    with debug.debugger("firmware:demo") as d:
        end = d.run().moment
        d.go_to(50_000)
        d.write_memory(0x100000, b"\0")
        d.go_to(90_000)
        assert d.machine.memory.read(0x100000, 1) == b"\0"
        assert d.run().moment == end
        d.go_to(49_000)
        assert d.machine.memory.read(0x100000, 1) != b"\0"


def test_what_nobody_can_have_written_is_refused() -> None:
    with Debugger(machine_of(PAGING)) as d:
        with pytest.raises(ValueError, match=r"^there is nothing to look for: 0 bytes$"):
            d.who(0, 0)
        with pytest.raises(ValueError, match=r"^there is no RAM at 0xf0000000$"):
            d.who(0xF0000000)


WRITES = """
        movl    $7, word
        .globl  same
same:   movl    $7, word
        nop
        movb    $1, word + 2
        nop
        exit    0
        .data
        .balign 16
        .globl  word
word:   .long   0
"""


def test_the_write_is_told_with_its_moment_and_its_instruction() -> None:
    with Debugger(machine_of(WRITES)) as d:
        word = d.image.symbols["word"].address
        d.break_at("same")
        points = [(each, each.enabled) for each in d.points]
        d.go_to(6)
        write = d.who(word)
        assert write is not None
        assert (write.moment, write.before, write.after) == (Moment(4), b"\7\0\0\0", b"\7\0\1\0")
        assert write.text == f"mov byte ptr [0x{word + 2:x}], 1"
        write = d.who(word, 2)
        assert write is not None
        assert (write.moment, write.before, write.after) == (Moment(2), b"\7\0", b"\7\0")
        assert write.pc == d.image.symbols["same"].address
        assert d.moment == Moment(6)
        assert [(each, each.enabled) for each in d.points] == points
        assert d.who(word + 4) is None
        d.go_to(3)  # the very instruction before counts, and one that changes nothing
        write = d.who(word)
        assert write is not None
        assert write.moment == Moment(2)
        d.go_to(0)
        assert d.who(word) is None
        assert d.moment == Moment(0)


TWO_PAGES = """
        movl    $0x11223344, edge - 2
        movw    $0x5566, edge
        movb    $0x77, edge - 1
        nop
        exit    0
        .data
        .balign 4096
        .skip   4096
        .globl  edge
edge:   .long   0
"""


def test_bytes_of_two_pages_are_told_as_a_whole() -> None:
    with Debugger(machine_of(TWO_PAGES)) as d:
        edge = d.image.symbols["edge"].address
        found = []
        for instructions in (2, 3, 4):
            d.go_to(instructions)
            write = d.who(edge - 2)
            assert write is not None
            found.append((write.moment.instructions, write.before.hex(), write.after.hex()))
        assert found == [
            (1, "00000000", "44332211"),
            (2, "44332211", "44336655"),
            (3, "44336655", "44776655"),
        ]


FAULT = """
        movl    $gate, idt + 6 * 8
        movw    $0x0010, idt + 6 * 8 + 2
        movl    $gate, %eax
        movw    %ax, idt + 6 * 8
        movw    $0x8e00, idt + 6 * 8 + 4
        shrl    $16, %eax
        movw    %ax, idt + 6 * 8 + 6
        movw    %cs, idt + 6 * 8 + 2
        lidt    pointer
        .globl  bad
bad:    ud2
        .globl  gate
gate:   nop
        exit    0
        .data
        .balign 8
idt:    .skip   256
pointer:
        .word   255
        .long   idt
        .text
"""


def test_what_the_cpu_pushes_at_an_exception_is_no_instructions() -> None:
    with Debugger(machine_of(FAULT)) as d:
        d.run_to(d.image.symbols["gate"].address)
        esp = d.machine.registers().esp
        write = d.who(esp)
        assert write is not None
        assert (write.text, write.after) == ("", d.image.symbols["bad"].address.to_bytes(4, "little"))
        assert (d.moment.faults, write.moment) == (1, d.moment._replace(faults=0))
        assert write.pc == d.image.symbols["bad"].address
