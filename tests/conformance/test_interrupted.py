"""Interrupts at awkward moments: at every single instruction of the allocators, in C as in the model.

A call is stopped after k instructions, the timer's line goes up, the guest's handler runs where interrupts are on, and the
call goes on. Whatever k is, result and structures must be those of the call that nobody disturbed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BudgetUsedUp
from emulator.hle.kernels import find_btron, find_litecore
from emulator.hle.layers import Mode, attach_layers
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

IF = 0x200
TICK_VECTOR = 0x18  # LiteCore's IDT has 32 gates
TIMER_LINE = 0
HANDLER, LOW_STACK = 0x00070000, 0x00060000
MORE_THAN_A_CALL = 2000  # instructions


def boot(kernel: str, mode: Mode, layers: tuple[str, ...]) -> Machine:
    machine = Machine(KernelImage.read(builtin.resolve(f"firmware:{kernel}")))
    attach_layers(machine, dict.fromkeys(layers, mode))
    return machine


def program_pic(machine: Machine) -> None:
    """What a kernel does at boot: the timer's line open, at `TICK_VECTOR`."""
    for port, value in ((0x20, 0x11), (0x21, TICK_VECTOR), (0x21, 4), (0x21, 1), (0x21, 0xFE)):
        machine.interrupts.pic.write_port(port, 1, value)


def allocating_handler(machine: Machine, take: str = "kmalloc", give: str = "kfree") -> bytes:
    """pusha; kfree(kmalloc(24)); end of interrupt; popa; iret. Or with other functions."""

    def call(name: str, at: int) -> bytes:
        return b"\xe8" + (machine.address_of(name) - (HANDLER + at + 5) & 0xFFFFFFFF).to_bytes(4, "little")

    code = b"\x60\x6a\x18" + call(take, 3)
    code += b"\x83\xc4\x04\x50" + call(give, len(code) + 4)
    return code + b"\x83\xc4\x04\xb0\x20\xe6\x20\x61\xcf"


def litecore(mode: Mode) -> Machine:
    """LiteCore with an interrupt handler that uses the heap itself."""
    machine = boot("demo", mode, ("heap", "memmap"))
    machine.run()
    machine.call("memory_init")
    return handled(machine, allocating_handler(machine))


def handled(machine: Machine, handler: bytes) -> Machine:
    """Give LiteCore a tick, and a handler of it."""
    program_pic(machine)
    machine.memory.write(HANDLER, handler)
    gate = machine.cpu.registers().idt_base + 8 * TICK_VECTOR
    machine.memory.store_words(gate, (8 << 16 | HANDLER & 0xFFFF, HANDLER & 0xFFFF0000 | 0x8E00))
    return machine


def litecore_state(machine: Machine) -> object:
    models = find_litecore(machine)
    assert models is not None
    assert not list(models.heap.validate())
    return list(models.heap.blocks()), models.memmap.free_count()


def paged_litecore(mode: Mode) -> Machine:
    """LiteCore with paging on, and an interrupt handler that uses virtual memory itself."""
    machine = boot("paging_demo", mode, ("heap", "memmap", "paging", "vspace"))
    assert machine.run(timeout_s=60).exit_value == 0
    return handled(machine, allocating_handler(machine, "vmalloc", "vfree"))


def paged_state(machine: Machine) -> object:
    models = find_litecore(machine)
    assert models is not None
    assert models.vspace is not None
    assert not models.any_lock_held()
    mapped = [(each.start, each.end) for each in machine.address_space().ranges()]
    return mapped, list(models.vspace.ranges()), models.memmap.free_count(), list(models.heap.blocks())


def btron(mode: Mode) -> Machine:
    """BTRON/386 with its own tick handler."""
    machine = boot("btron_demo", mode, ("pmem", "kmem", "pools"))
    assert machine.run(timeout_s=60).exit_value == 0
    return machine


def btron_state(machine: Machine) -> object:
    models = find_btron(machine)
    assert models is not None
    start = machine.image.physical(machine.image.symbols["mpl_table"].address)
    pools = machine.memory.read(start, machine.image.symbols["mpl_table"].size)
    return machine.call("pmem_free_pages"), machine.call("kmem_free", 8, 8), pools


def interrupts_on(machine: Machine) -> None:
    registers = machine.cpu.registers()
    machine.cpu.set_registers(registers._replace(eflags=registers.eflags | IF))


def interrupted_everywhere(
    machine: Machine, function: str, arguments: tuple[int, ...], state: Callable[[Machine], object]
) -> int:
    """Interrupt a call after each number of instructions. Returns how many times."""
    interrupts_on(machine)
    start = machine.snapshot()
    before = machine.cpu.registers()
    result = machine.call(function, *arguments)
    expected = state(machine)
    for k in range(1, MORE_THAN_A_CALL):
        start.reset()
        with suppress(BudgetUsedUp):
            machine.call(function, *arguments, max_instructions=k)
            return k - 1
        machine.interrupts.pic.request(TIMER_LINE)
        assert machine.run(timeout_s=10).ending is Returned.HALTED
        assert not machine.interrupts.pic.pending
        assert machine.cpu.registers().eax == result, f"after {k} instructions"
        machine.cpu.set_registers(before)
        assert state(machine) == expected, f"after {k} instructions"
    pytest.fail("the call does not end")


@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.MODEL])
class TestEveryInstruction:
    def test_of_kmalloc(self, mode: Mode) -> None:
        times = interrupted_everywhere(litecore(mode), "kmalloc", (100,), litecore_state)
        assert times > (20 if mode is Mode.NATIVE else 0)

    def test_of_kfree(self, mode: Mode) -> None:
        machine = litecore(mode)
        blocks = [machine.call("kmalloc", size) for size in (24, 100, 8)]
        machine.call("kfree", blocks[0])
        times = interrupted_everywhere(machine, "kfree", (blocks[1],), litecore_state)
        assert times > (20 if mode is Mode.NATIVE else 0)

    def test_of_vmalloc(self, mode: Mode) -> None:
        times = interrupted_everywhere(paged_litecore(mode), "vmalloc", (4096,), paged_state)
        assert times > (200 if mode is Mode.NATIVE else 0)

    def test_of_map_page(self, mode: Mode) -> None:
        machine = paged_litecore(mode)
        arguments = (0x0040_0000, 0xC040_0000, 7)
        times = interrupted_everywhere(machine, "map_page", arguments, paged_state)
        assert times > (40 if mode is Mode.NATIVE else 0)

    def test_of_kmem_alloc(self, mode: Mode) -> None:
        times = interrupted_everywhere(btron(mode), "kmem_alloc", (100,), btron_state)
        assert times > (20 if mode is Mode.NATIVE else 0)

    def test_of_rel_blk(self, mode: Mode) -> None:
        machine = btron(mode)
        packet, result = 0x80060000, 0x80060100
        machine.memory.store_words(packet & 0x7FFFFFFF, (0, 0, 4096))
        assert machine.call("cre_mpl", 7, packet) == 0
        for _ in range(3):
            assert machine.call("pget_blk", result, 7, 64) == 0
        block = machine.memory.load_u32(result & 0x7FFFFFFF)
        times = interrupted_everywhere(machine, "rel_blk", (7, block), btron_state)
        assert times > 20


@pytest.mark.parametrize("instructions", [400, 613, 997, 2500, 10_000])
@pytest.mark.parametrize("mode", [Mode.NATIVE, Mode.MODEL])
def test_a_tick_every_n_instructions_breaks_no_kernel(mode: Mode, instructions: int) -> None:
    plain = Machine(KernelImage.read(builtin.resolve("firmware:btron_stress")), command_line="calls=300")
    plain.run(timeout_s=60)
    machine = Machine(KernelImage.read(builtin.resolve("firmware:btron_stress")), command_line="calls=300")
    attach_layers(machine, dict.fromkeys(("pmem", "kmem", "pools"), mode))
    machine.interrupts.instruction_ns = 1_000_000 // instructions
    assert machine.run(timeout_s=60).exit_value == 0
    assert machine.output == plain.output
