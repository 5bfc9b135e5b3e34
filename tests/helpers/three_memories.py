"""Runs a guest on all of `MEMORIES`, and says in what it ends differently.

Guests have these macros besides those of `tests.helpers.guest`:

* ``faults`` lets exceptions 0, 6, 11, 12, 13, 14 and 17 be logged, after which the guest goes on where the last ``attempt`` says;
* ``attempt INSTRUCTION`` executes an instruction that may fault; ``attempt_at LABEL`` only says where to go on;
* ``log REGISTER`` appends a register to the log;
* ``reload_cr3``; EAX is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from emulator.errors import EmulatorError
from emulator.machine.address_map import MIB
from emulator.machine.consoles import Console
from emulator.machine.memory import RamWindow
from emulator.native import _core
from tests.helpers.guest import core_of, machine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.machine.core.handle import Mmu
    from emulator.machine.machine import Machine

MEMORIES: Final[tuple[Mmu, ...]] = ("fast", "ordinary", "reference")
OF_THE_CORE: Final[tuple[Mmu, ...]] = ("fast", "ordinary")
RAM: Final = RamWindow(MIB, 8 * MIB)
LOG: Final = 0x0060_0000
_LOG_END = LOG - 4

MACROS: Final = f"""
        .macro  log register
        pushl   %edi
        movl    0x{_LOG_END:x}, %edi
        movl    %\\register, 0x{LOG:x}(%edi)
        addl    $4, 0x{_LOG_END:x}
        popl    %edi
        .endm
        .macro  attempt_at label
        movl    $\\label, go_on
        .endm
        .macro  attempt instruction:vararg
        attempt_at 98f
        \\instruction
98:
        .endm
        .macro  reload_cr3
        movl    %cr3, %eax
        movl    %eax, %cr3
        .endm
        .macro  gate vector, handler
        movl    $\\handler, %eax
        movw    %ax, idt + 8 * \\vector
        movw    $8, idt + 8 * \\vector + 2
        movw    $0x8e00, idt + 8 * \\vector + 4
        shrl    $16, %eax
        movw    %ax, idt + 8 * \\vector + 6
        .endm
        .macro  faults
        gate    0, fault_0
        gate    6, fault_6
        gate    11, fault_11
        gate    12, fault_12
        gate    13, fault_13
        gate    14, fault_14
        gate    17, fault_17
        lidt    idtr
        .endm
        .macro  handler vector, has_code
fault_\\vector:
        .if     !\\has_code
        pushl   $0
        .endif
        pushl   %eax
        movl    $\\vector, %eax
        jmp     fault
        .endm
        jmp     macros_end
        handler 0, 0
        handler 6, 0
        handler 11, 1
        handler 12, 1
        handler 13, 1
        handler 14, 1
        handler 17, 1
fault:  log     eax
        movl    4(%esp), %eax
        log     eax
        movl    8(%esp), %eax
        log     eax
        movl    %cr2, %eax
        log     eax
        popl    %eax
        addl    $4, %esp
        pushl   %eax
        movl    go_on, %eax
        movl    %eax, 4(%esp)
        popl    %eax
        iret
        .data
        .balign 8
idt:    .skip   8 * 32
idtr:   .word   8 * 32 - 1
        .long   idt
        .globl  go_on
go_on:  .long   0
        .text
macros_end:
"""


def prepared(
    source: str,
    mmu: Mmu,
    prepare: Callable[[Machine], object] | None = None,
    **description: Any,  # noqa: ANN401 - the keywords of Machine
) -> Machine:
    """Return a machine with the guest, whose log is empty."""
    machine = machine_of(MACROS + source, mmu=mmu, **{"ram": RAM, **description})
    if prepare:
        prepare(machine)
    return machine


def run(machine: Machine, max_instructions: int | None = 20_000_000) -> tuple[object, ...]:
    """Run to the end of the run, and return how it ended."""
    try:
        outcome = machine.run(max_instructions=max_instructions)
    except EmulatorError as error:
        return type(error).__name__, str(error)
    return outcome


def state_of(machine: Machine) -> dict[str, object]:
    """Return all that has to be the same."""
    return {
        "registers": machine.cpu.registers(),
        "executed": machine.cpu.executed(),
        "output": [bytes(machine.output[console]) for console in Console],
        "log": logged(machine),
        "memory": machine.memory.read(0, len(machine.memory)),
    }


def logged(machine: Machine) -> tuple[int, ...]:
    """Return the words that the guest has logged."""
    return machine.memory.load_words(LOG, machine.memory.load_u32(_LOG_END) // 4)


def differences(ends: dict[Mmu, dict[str, object]]) -> list[str]:
    """Say what differs between the first memory's end and the others'."""
    (first, expected), *others = ends.items()
    found = []
    for mmu, end in others:
        for what, value in end.items():
            if value != expected[what]:
                if what == "memory":
                    a, b = expected[what], value
                    assert isinstance(a, bytes)
                    assert isinstance(b, bytes)
                    at = [i for i in range(0, len(a), 4) if a[i : i + 4] != b[i : i + 4]][:8]
                    found.append(
                        f"{first}/{mmu}: memory at {[(hex(i), a[i : i + 4].hex(), b[i : i + 4].hex()) for i in at]}"
                    )
                else:
                    found.append(f"{first}/{mmu}: {what}: {expected[what]} / {value}")
    return found


def compared(
    source: str,
    prepare: Callable[[Machine], object] | None = None,
    *,
    memories: Sequence[Mmu] = MEMORIES,
    drive: Callable[[Machine], object] = run,
    **description: Any,  # noqa: ANN401 - the keywords of Machine
) -> Machine:
    """Run a guest on several memories and hold that it ends the same.

    Args:
        source: The guest.
        prepare: Called with each machine before it runs.
        memories: Which.
        drive: Runs a machine; what it returns is compared, too.
        description: Of the machines.

    Returns:
        The machine that ran on the first of them.
    """
    ends: dict[Mmu, dict[str, object]] = {}
    machines = []
    for mmu in memories:
        machine = prepared(source, mmu, prepare, **description)
        ending = drive(machine)
        ends[mmu] = {"ending": ending, **state_of(machine)}
        machines.append(machine)
    found = differences(ends)
    assert not found, "\n".join(found)
    return machines[0]


def window_of(machine: Machine) -> tuple[int, int]:
    """Return how many pages the machine's window shows, and how many instructions go the ordinary way."""
    now = _window_now(machine)
    return now.pages, now.slow


def is_window_used(machine: Machine) -> bool:
    """Return whether the machine has a window whose view of supervisors does not rest."""
    return bool(_window_now(machine).is_there)


def _window_now(machine: Machine) -> Any:  # noqa: ANN401 - of cffi
    now = _core.ffi.new("kc_window *")
    _core.lib.kc_window_now(core_of(machine).raw, now)
    return now
