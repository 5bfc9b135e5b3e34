"""Who wrote a word last, and journeys over checkpoints in both directions."""

from __future__ import annotations

from random import Random

import pytest

from emulator import boot, debug
from emulator.debug import Debugger, Moment
from emulator.machine.core.stops import Instant
from emulator.replay import travel
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


def state(d: Debugger) -> tuple[object, ...]:
    machine = d.machine
    return (
        d.moment,
        d.event,
        machine.calls.open_calls,
        machine.memory.read(0, len(machine.memory)),
        machine.registers(),
        machine.interrupts.now_ns(),
        [bytes(each) for each in machine.output.values()],
    )


@pytest.mark.parametrize("kernel", ["demo", "btron_demo", "btron_pools_wait", "vm_fault"])
def test_the_last_write_is_the_one_that_a_run_under_watch_finds(kernel: str) -> None:
    random = Random(kernel)
    with debug.debugger(f"firmware:{kernel}") as d:
        end = d.run().moment
        here = state(d)
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
            assert state(d) == here
            assert (write is None) == (expected is None)
            if write is not None and expected is not None:
                assert (write.eip, write.pc, write.before, write.after) == (
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
        assert (write.before, write.after) == (2, 3)
        d.go_to(Moment(150_000))
        write = d.who(word)
        assert write is not None
        assert (write.before, write.after) == (1, 2)
        assert d.moment == Moment(150_000)
        assert d.who(word + 4) is None
        last = d.who(word + 8)
        assert last is not None
        assert last.before == last.after + (last.before != last.after)


def test_a_models_write_is_found_after_the_event_of_its_call() -> None:
    with debug.debugger("firmware:overflow", layers={"heap": "model"}) as d:
        d.run()
        write = d.who(d.image.symbols["heap_free_list"].address)
        assert write is not None
        found = d.image.function_at(write.pc)
        assert found is not None
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
            states[each] = state(straight)
        for _ in range(25):
            each = random.choice(places)
            d.go_to(each)
            assert state(d) == states[each]
        calls = d.trace().calls
        assert (
            len(calls.entered) == sum(1 for _ in straight.trace().calls.entered)
            or d.moment != straight.moment
        )
        for event in random.sample(range(1, d.event + 1), min(10, d.event)):
            d.go_to_event(event)
            assert d.event >= event


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
