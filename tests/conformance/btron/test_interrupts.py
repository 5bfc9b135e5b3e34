"""What BTRON/386 writes to the interrupt controllers and the timer, and what it does at a tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.machine.core.handle import lib
from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import KERNEL, PIC_MASK
from tests.helpers.guest import core_of

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)

TIMER, CASCADE = 0, 2
SECOND_PIC_MASK: Final = 0xA1
TICK_NS: Final = 999_847
USER_CALL: Final = 64
RING_3_TRAP: Final = 0xEF00


@pytest.fixture
def guest(bare: Guest) -> Guest:
    bare.call("interrupts_init")
    return bare


def masked(kernel: Kernel) -> list[int]:
    return [line for line in range(16) if kernel.machine.interrupts.pic.is_masked(line)]


def is_pending(kernel: Kernel) -> bool:
    return kernel.machine.interrupts.pic.pending


def test_every_line_is_masked_until_the_timer_starts(guest: Guest, kernel: Kernel) -> None:
    assert masked(kernel) == list(range(16))
    guest.call("timer_start")
    assert masked(kernel) == list(range(1, 16))


def test_lines_are_vectors_after_those_of_the_cpu(guest: Guest, kernel: Kernel) -> None:
    pic = kernel.machine.interrupts.pic
    assert guest.get("sys_tick") == 0
    for port in (PIC_MASK, SECOND_PIC_MASK):
        pic.write_port(port, 1, 0)
    pic.request(9)
    assert pic.acknowledge() == 41
    pic.request(TIMER)
    assert pic.acknowledge() == 32


def test_the_tick_acknowledges_its_own_interrupt_only(guest: Guest, kernel: Kernel) -> None:
    pic = kernel.machine.interrupts.pic
    pic.write_port(PIC_MASK, 1, 0xFC)
    pic.request(1)
    assert pic.acknowledge() == 33
    pic.request(TIMER)
    assert pic.acknowledge() == 32
    guest.call("timer_interrupt")
    pic.request(TIMER)
    assert is_pending(kernel)  # it is more urgent than line 1, which is still served
    assert pic.acknowledge() == 32
    guest.call("timer_interrupt")
    pic.request(1)
    assert not is_pending(kernel)
    assert guest.get("sys_tick") == 2


def test_a_tick_is_a_millisecond(guest: Guest, kernel: Kernel) -> None:
    interrupts = kernel.machine.interrupts
    core = core_of(kernel.machine)
    guest.call("timer_start")
    kernel.machine.interrupts.pic.write_port(PIC_MASK, 1, 0xFE)
    first = lib.kc_clock_next_wake(core.raw)
    assert TICK_NS - 2000 < first - interrupts.now_ns() <= TICK_NS + 1
    lib.kc_clock_skip_to(core.raw, first)
    assert interrupts.pic.pending
    second = lib.kc_clock_next_wake(core.raw)
    assert abs(second - first - TICK_NS) <= 1


def test_gates_lead_to_the_entries(guest: Guest, kernel: Kernel) -> None:
    registers = kernel.machine.cpu.registers()
    idt = guest.symbols["idt"] | KERNEL
    assert (registers.idt_base, registers.idt_limit) == (idt, 65 * 8 - 1)
    handlers = list(guest.words(guest.symbols["exception_entries"], 32))
    handlers += [0] * 33
    for vector, name in ((32, "timer_entry"), (39, "spurious_entry"), (USER_CALL, "user_call_entry")):
        handlers[vector] = guest.symbols[name] | KERNEL
    gates = guest.words(idt, 2 * 65)
    for vector, handler in enumerate(handlers):
        kind = RING_3_TRAP if vector == USER_CALL else 0x8E00
        gate = (8 << 16 | handler & 0xFFFF, handler & 0xFFFF0000 | kind) if handler else (0, 0)
        assert gates[2 * vector : 2 * vector + 2] == gate
