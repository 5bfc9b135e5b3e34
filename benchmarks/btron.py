"""BTRON/386: its models, its pools while recorded, interrupts, and the time that an idle kernel takes."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from in_process import machine_of, recording_of
from measure import Row, at_least, at_most, medians, seconds_of

from emulator.errors import BudgetUsedUp, GuestStopped
from emulator.hle.kernels import find_btron

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

POOL_CALLS = (
    "mpl_get",
    "mpl_release",
    "mpf_get",
    "mpf_release",
    "kmem_alloc",
    "kmem_free",
    "pmem_alloc",
    "pmem_free",
)
PAIRS = 5000
TICKS = 20_000
TICK_NS = 1_000_000
CODE, HANDLER = 0x00400000, 0x00401000
TIMER = (
    (0x20, 0x11),
    (0x21, 0x18),
    (0x21, 4),
    (0x21, 1),
    (0x21, 0xFE),
    (0x43, 0x34),
    (0x40, 0xA9),
    (0x40, 0x04),
)
END_OF_INTERRUPT = b"\x50\xb0\x20\xe6\x20\x58\xcf"  # push eax; mov al, 0x20; out 0x20, al; pop eax; iret
PIC_MASK, ALL_LINES = 0x21, 0xFF
STANDING = ((0x43, 0x30), (PIC_MASK, ALL_LINES))  # a timer that waits for its count
IF = 0x200
RINGS = 300_000
GDT_AT, TASK, INNER_STACK, USER_OFFSET = 0x00402000, 0x00402100, 0x00404000, 0x80
GDT = bytes.fromhex(
    "0000000000000000 ffff0000009acf00 ffff00000092cf00 ffff000000facf00 ffff000000f2cf00 6700002140890000"
    "2f0000204000"  # its register
)
TO_RING_3 = bytes.fromhex("0f011530204000 66b82800 0f00d8 6a23 6800304000 6a02 6a1b 6880004000 cf")
"""lgdt; ltr 0x28; push SS, ESP, EFLAGS, CS, EIP of ring 3; iret."""
LOOPED = 300_000_000  # instructions


def kmem_pairs() -> Row:
    """The model's kmem_alloc and kmem_free on guest RAM, against the guest's own called from Python."""
    machine = machine_of("btron_demo")
    machine.run()
    models = find_btron(machine)
    if models is None:
        raise RuntimeError("the kernel has no BTRON")
    alloc, free = models.functions["kmem_alloc"].call, models.functions["kmem_free"].call

    def modelled() -> None:
        for _ in range(PAIRS):
            free(alloc(64), 64)

    def native() -> None:
        for _ in range(PAIRS // 10):
            machine.call("kmem_free", machine.call("kmem_alloc", 64), 64)

    modelled_s, native_s = medians(9, lambda: seconds_of(modelled), lambda: seconds_of(native) * 10)
    rate = PAIRS / modelled_s
    return Row(
        name="kmem-pairs",
        what="kmem_alloc+kmem_free pairs of the model",
        measured=f"{rate / 1e3:.0f} k/s",
        peer=f"machine.call of the guest's own {PAIRS / native_s / 1e3:.0f} k/s",
        ratio=modelled_s / native_s,
        target=at_least(rate, 60_000, ">= 60 k/s"),
    )


def pools_recorded() -> Row:
    """All pool, byte and page calls of btron_stress in the ring, against none."""
    return recording_of("pools-recorded", "btron_stress", POOL_CALLS, 5)


def ticking(code: bytes, timer: tuple[tuple[int, int], ...] = TIMER) -> Machine:
    """Return a machine that runs *code* with a timer of 1000 Hz, whose handler does nothing."""
    machine = machine_of("demo")
    machine.run()
    machine.memory.write(CODE, code)
    machine.memory.write(HANDLER, END_OF_INTERRUPT)
    gate = machine.cpu.registers().idt_base + 8 * 0x18
    machine.memory.store_words(gate, (8 << 16 | HANDLER & 0xFFFF, HANDLER & 0xFFFF0000 | 0x8E00))
    for port, value in timer:
        pic = machine.interrupts.pic
        (pic.write_port if port in pic.ports else machine.ports.write)(port, 1, value)
    registers = machine.cpu.registers()
    machine.cpu.set_registers(registers._replace(eip=CODE, ecx=TICKS, eflags=registers.eflags | IF))
    return machine


def interrupts() -> Row:
    """Interrupts delivered to a waiting guest and returned from, against the virtual time that passed."""
    waiting = b"\xf4\x49\x75\xfc\xfa\xf4"  # 1: hlt; dec ecx; jnz 1b; cli; hlt
    (elapsed_s,) = medians(5, lambda: seconds_of(ticking(waiting).run))
    each_s = elapsed_s / TICKS
    virtual_s = TICKS * TICK_NS / 1e9
    return Row(
        name="interrupts",
        what=f"{TICKS} ticks: hlt, idle time skipped, interrupt, handler, iret",
        measured=f"{each_s * 1e6:.1f} us each",
        peer=f"{virtual_s:.0f} s of virtual time",
        ratio=elapsed_s / virtual_s,
        target=at_most(each_s, 2e-6, "<= 2 us"),
    )


def ring_changes() -> Row:
    """`int n` in ring 3, a handler in ring 0 that does nothing, and back by iret, against a call and a return in ring 3."""

    def entering(code: bytes) -> Machine:
        machine = machine_of("demo")
        machine.run()
        registers = machine.cpu.registers()
        machine.memory.write(HANDLER, b"\xcf")  # iret
        machine.memory.write(CODE, TO_RING_3)
        machine.memory.write(CODE + USER_OFFSET, code)
        machine.memory.write(GDT_AT, GDT)
        machine.memory.store_words(TASK + 4, (INNER_STACK, 0x10))
        machine.memory.store_words(
            registers.idt_base + 8 * 0x18, (8 << 16 | HANDLER & 0xFFFF, HANDLER & 0xFFFF0000 | 0xEE00)
        )
        machine.cpu.set_registers(registers._replace(eip=CODE, ecx=RINGS, esp=INNER_STACK))
        return machine

    def passed(code: bytes) -> None:
        with suppress(GuestStopped):
            entering(code).run()

    looped = b"\x49\x75%c\xf4"  # dec ecx; jnz; hlt, which ring 3 may not
    rings_s, calls_s = medians(
        5,
        lambda: seconds_of(partial(passed, b"\xcd\x18" + looped % 0xFB)),  # int 0x18
        lambda: seconds_of(partial(passed, b"\xe8\x05\0\0\0" + looped % 0xF8 + b"\x90\xc3")),  # call, ret
    )
    each_s = rings_s / RINGS
    return Row(
        name="ring-changes",
        what=f"{RINGS} times ring 3, int n, ring 0, iret, ring 3",
        measured=f"{each_s * 1e6:.2f} us each",
        peer=f"a call and its return {calls_s / RINGS * 1e6:.2f} us",
        ratio=rings_s / calls_s,
        target=at_most(each_s, 2e-6, "<= 2 us"),
    )


def waiting_interrupt() -> Row:
    """A guest that computes while a tick waits, with interrupts off or the line masked, against one whose timer stands."""

    def looping(code: bytes, timer: tuple[tuple[int, int], ...]) -> float:
        machine = ticking(code, timer)
        started = time.process_time()
        with suppress(BudgetUsedUp):
            machine.run(max_instructions=LOOPED)
        return time.process_time() - started

    loop, cli = b"\xeb\xfe", b"\xfa"  # jmp .
    plain_s, off_s, masked_s = medians(
        5,
        lambda: looping(loop, STANDING),
        lambda: looping(cli + loop, TIMER),
        lambda: looping(loop, (*TIMER, (PIC_MASK, ALL_LINES))),
    )
    slowest_s = max(off_s, masked_s)
    return Row(
        name="waiting-interrupt",
        what=f"{LOOPED / 1e6:.0f} M instructions while a tick waits: interrupts off, line masked",
        measured=f"{off_s:.3f} s, {masked_s:.3f} s",
        peer=f"the timer stands {plain_s:.3f} s",
        ratio=slowest_s / plain_s,
        target=at_most(slowest_s / plain_s, 1.05, "ratio <= 1.05"),
    )
