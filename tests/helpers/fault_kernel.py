"""A made-up kernel with a model, whose page fault handler maps pages on demand, and may switch tasks or end them.

The first 4 MiB are mapped to themselves, the next 4 MiB by `window_table`, in which nothing is at first. The handler takes a frame by
`take_frame`, which is modelled, too. `work` is what a test writes; its model is `FaultModels.work`. `count` and `other` lie in one
page. A task has a stack of its own; `switch_to` goes on with the task in EAX, `task_new` makes one that starts at EDX.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from emulator.hle import kernels
from emulator.hle.kernels import KERNELS, Kernel
from emulator.hle.layers import Mode, attach_layers
from kernel_model.abi import Function
from kernel_model.audit import Location, variable
from kernel_model.cpu import NO_CPU
from tests.helpers.guest import FUNCTION, machine_of
from tests.unit.machine.board.test_interrupts import IDT, ON_TICK, TIMER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pytest

    from emulator.machine.machine import Machine
    from kernel_model.audit import Audit
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

STACKS: Final = 256
_VARIABLES: Final = ("count", "other", "taken", "frames", "window_table")
LAYER_SYMBOLS: Final = MappingProxyType({"work": _VARIABLES})
ENTRY: Final = Kernel("Faults", ("work",), "work", "tests.helpers.fault_kernel", "FaultModels")
TOUCH: Final = """
        movl    4(%esp), %eax
        movl    %eax, %edx
        shrl    $10, %edx
        andl    $4, %edx
        incl    count(%edx)
        addl    $0, (%eax)
        incl    count(%edx)
        movl    count(%edx), %eax
        ret
"""
"""`work` as its model has it: it touches the word at its argument, and counts before and after that; in `other` for odd pages."""
MAP: Final = """
        pushal
        call    take_frame
        movl    %cr2, %ecx
        subl    $0x400000, %ecx
        shrl    $12, %ecx
        orl     $7, %eax
        movl    %eax, window_table(, %ecx, 4)
        incl    faults
        popal
        {then}
        addl    $4, %esp
        iret
"""
"""What the handler does: the page is mapped."""
_SOURCE: Final = (
    FUNCTION
    + IDT
    + """
        .globl  count, other, taken, frames, window_table
        movl    $0x83, directory
        movl    $window_table + 7, directory + 4
        paging  directory
        lidt    idtr
        gate    14, on_fault
        {timer}
        {body}
        exit    0
on_fault:
        {handler}
        function take_frame             # the next frame
        movl    taken, %eax
        shll    $12, %eax
        addl    $frames, %eax
        incl    taken
        ret
        ends    take_frame
        function work
        {work}
        ends    work
task_new:                               # EAX: its number
        movl    %eax, %ecx
        incl    %ecx
        shll    $12, %ecx
        addl    $stacks - 8, %ecx
        movl    %edx, 4(%ecx)
        movl    %ecx, saved(, %eax, 4)
        ret
switch_to:
        pushl   %ebp
        movl    current, %ecx
        movl    %esp, saved(, %ecx, 4)
        movl    %eax, current
        movl    saved(, %eax, 4), %esp
        popl    %ebp
        ret
"""
    + ON_TICK
    + """
        {more}
        .bss
        .balign 4096
directory:
        .skip   4096
window_table:
        .skip   4096
count:  .skip   4
other:  .skip   4
        .balign 4096
taken:  .skip   4
faults: .skip   4
current:
        .skip   4
saved:  .skip   4 * STACKS
        .balign 4096
stacks: .skip   4096 * STACKS
frames: .skip   4096 * 64
""".replace("STACKS", str(STACKS))
)


class FaultModels:
    """See `emulator.hle.kernels.Models`."""

    def __init__(
        self, memory: Memory, symbols: Mapping[str, int], _console: Callable[[str], None], _cpu: Cpu = NO_CPU
    ) -> None:
        self.memory = memory
        self.at = {name: symbols[name] for name in _VARIABLES}
        self.functions = {
            "take_frame": Function("take_frame", "work", "u32 take_frame(void)", 0, "u32", self.take_frame),
            "work": Function("work", "work", "u32 work(u32 linear)", 1, "u32", self.work),
        }

    def take_frame(self) -> int:
        taken = self.memory.load_u32(self.at["taken"])
        self.memory.store_u32(self.at["taken"], taken + 1)
        return self.at["frames"] + (taken << 12)

    def work(self, linear: int) -> int:
        at = self.at["other" if linear & 0x1000 else "count"]
        count = self.memory.load_u32(at) + 2
        self.memory.store_u32(at, count)
        return count

    def locate(self, address: int, size: int = 1) -> Location | None:  # noqa: ARG002 - as the protocol has it
        return next((variable(name, at) for name, at in self.at.items() if 0 <= address - at < 4), None)

    def linear(self, address: int) -> int:
        return address

    def audits(self, memory_size: int) -> Sequence[Audit]:  # noqa: ARG002 - as the protocol has it
        return ()


def fault_machine(
    body: str, *, work: str = TOUCH, handler: str = MAP.format(then=""), more: str = "", timer: bool = False
) -> Machine:
    """Return a machine with the kernel loaded, in lockstep.

    Args:
        body: What it does once paging is on.
        work: Assembly of `work`, with its `ret`.
        handler: What the page fault handler does, with its `iret`.
        more: Further code.
        timer: Whether the timer ticks, once interrupts are on.
    """
    source = _SOURCE.format(body=body, work=work, handler=handler, more=more, timer=TIMER if timer else "")
    machine = machine_of(source)
    attach_layers(machine, {"work": Mode.LOCKSTEP})
    return machine


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registry know the kernel."""
    monkeypatch.setattr(kernels, "KERNELS", (*KERNELS, ENTRY))
