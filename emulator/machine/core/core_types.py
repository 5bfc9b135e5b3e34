"""What the native core says, as types of Python: how a run ended, registers, probes, recorded calls, steps."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from emulator.native import _core
from emulator.x86 import WORD_MAX

ffi, lib = _core.ffi, _core.lib


class Reason(IntEnum):
    """How a run ended; see `enum kc_reason` in core.h."""

    HALTED = lib.KC_HALTED
    ASKED = lib.KC_ASKED
    INSTRUCTIONS = lib.KC_INSTRUCTIONS
    TIME = lib.KC_TIME
    INTERRUPTED = lib.KC_INTERRUPTED
    EXCEPTION = lib.KC_EXCEPTION
    UNMAPPED = lib.KC_UNMAPPED
    SLICE = lib.KC_SLICE
    EVENT = lib.KC_EVENT
    FAILED = lib.KC_FAILED
    NO_MEMORY = lib.KC_NO_MEMORY


class Access(IntEnum):
    """What kind of memory access."""

    READ = lib.KC_READ
    WRITE = lib.KC_WRITE
    FETCH = lib.KC_FETCH


class DeliveryKind(IntEnum):
    """Where an interrupt comes from; see `enum kc_kind` in core.h."""

    FAULT = lib.KC_FAULT
    SOFTWARE = lib.KC_SOFTWARE
    EXTERNAL = lib.KC_EXTERNAL


class Attempt(NamedTuple):
    """An exception or interrupt that did not reach a handler.

    Attributes:
        vector: 0 to 255.
        kind: Where it comes from.
        error_code: 0 where there is none.
    """

    vector: int
    kind: DeliveryKind
    error_code: int


class Fault(NamedTuple):
    """An exception that the guest's own handler was entered for.

    Attributes:
        vector: 0 to 31.
        eip: The instruction that failed.
        frame: Where EIP lies in what the CPU pushed, in the stack segment.
    """

    vector: int
    eip: int
    frame: int


class PortMode(IntEnum):
    """How a port answers; see `enum kc_port` in core.h."""

    OPEN = lib.KC_OPEN
    DEVICE = lib.KC_DEVICE
    SINK = lib.KC_SINK
    CONSTANT = lib.KC_CONSTANT
    PIC = lib.KC_PIC
    PIT = lib.KC_PIT


class ProbeKind(IntEnum):
    """Where a probe sits: at a function's entry or exit, at a jump to an entry, or where that jump is not taken."""

    ENTRY = lib.KC_ENTRY
    EXIT = lib.KC_EXIT
    JUMP = lib.KC_JUMP
    NO_JUMP = lib.KC_NO_JUMP


class ProbeAction(IntEnum):
    """What a probe does: record the call, call Python, or take EAX from Python."""

    RECORD = lib.KC_RECORD
    NOTIFY = lib.KC_NOTIFY
    REPLACE = lib.KC_REPLACE


class Stop(NamedTuple):
    """Why and where the CPU stopped.

    Attributes:
        eip: For a fault the faulting instruction, after `hlt` and `int n` the next one.
        pc: The linear address that EIP stands for: another one in a code segment with a base.
        vector: Of the exception.
        error_code: Of an exception that has one; else 0.
        address: What was accessed: linear for a page fault, physical for unmapped memory; only the page is known.
        linear: The linear page in both cases.
        problem: Unicorn's own words when it gave up.
        instructions: Executed by this run, the last block counted whole.
        block: Address of that block.
        block_size: Bytes of its code.
        block_instructions: How many instructions it has; 0 where all were counted one by one.
    """

    reason: Reason
    eip: int
    pc: int
    vector: int
    error_code: int
    address: int
    linear: int
    access: Access
    problem: str
    instructions: int
    block: int
    block_size: int
    block_instructions: int


class Registers(NamedTuple):
    """The CPU's registers, all unsigned.

    `es_base` to `gs_base` are the linear addresses at which the segments begin, as the CPU holds them: what the descriptors in
    memory say counts when a segment register is loaded.
    """

    eax: int
    ecx: int
    edx: int
    ebx: int
    esp: int
    ebp: int
    esi: int
    edi: int
    eip: int
    eflags: int
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    es: int
    cs: int
    ss: int
    ds: int
    fs: int
    gs: int
    gdt_base: int
    gdt_limit: int
    idt_base: int
    idt_limit: int
    es_base: int
    cs_base: int
    ss_base: int
    ds_base: int
    fs_base: int
    gs_base: int
    ldtr: int
    ldt_base: int
    ldt_limit: int
    tr: int
    tr_base: int
    tr_limit: int

    @property
    def pc(self) -> int:
        """The linear address that EIP stands for."""
        return self.cs_base + self.eip & WORD_MAX

    def on_stack(self, offset: int) -> int:
        """The linear address of what lies at *offset* in the stack segment, where ESP points to."""
        return self.ss_base + offset & WORD_MAX

    def operand_address(self, instruction: Any, memory: Any) -> int:
        """The linear address of a memory operand.

        Args:
            instruction: At which the registers stand, from capstone.
            memory: Its operand (`capstone.x86.X86OpMem`).
        """
        base, index, segment = (
            instruction.reg_name(each) or "" for each in (memory.base, memory.index, memory.segment)
        )
        offset = getattr(self, base, 0) + getattr(self, index, 0) * memory.scale + memory.disp
        segment = segment or ("ss" if base in {"esp", "ebp"} else "ds")
        return int(getattr(self, f"{segment}_base") + (offset & WORD_MAX)) & WORD_MAX


class LateReturn(NamedTuple):
    """A return of a call whose row was handed over before; see `kc_late` in core.h."""

    call: int
    left: int
    left_time_ns: int
    result: int
    out: int


class CallRows:
    """The rows of recorded calls that the core holds, `kc_calls` in core.h, read in place.

    Attributes:
        first_call: Number of the first row's call.
        count: How many rows there are.
    """

    __slots__ = ("_raw", "count", "first_call")

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.first_call: int = raw.first_call
        self.count: int = raw.rows

    def buffer(self, name: str) -> memoryview:
        """Return the bytes of a column: a field of `kc_calls`, or ``arg0`` to ``arg5``."""
        column = self._raw.arguments[int(name[3:])] if name.startswith("arg") else getattr(self._raw, name)
        return memoryview(ffi.buffer(column, self.count * ffi.sizeof(ffi.typeof(column).item)))


class Callers(NamedTuple):
    """The calls around an instruction, innermost first.

    Attributes:
        return_addresses: Where they go on; of an interrupt, the address of the interrupted instruction + 1.
        slots: Where the return addresses lie, as offsets in the stack segment.
        end: Where the outermost frame ends, as an offset in the stack segment; None: not known.
    """

    return_addresses: tuple[int, ...]
    slots: tuple[int, ...]
    end: int | None


class LastWrite(NamedTuple):
    """A write to a watched word, the last as a rule; see `kc_write` in core.h.

    Attributes:
        eip: The instruction.
        pc: Its linear address.
        event: The last event before it.
        before: The watched bytes, as a little-endian number.
        after: The same after the write.
        callers: Return addresses of the calls around it, innermost first; () if there was no memory to keep them.
        writes: How many there were by then, itself among them.
    """

    eip: int
    pc: int
    event: int
    before: int
    after: int
    callers: tuple[int, ...]
    writes: int


class Written(NamedTuple):
    """What a watch has recorded.

    Attributes:
        pages: Physical address of each written page -> its bytes before the first write.
        marked: Physical address of a page -> the bits in it that the CPU has set by itself (A and D of page tables).
    """

    pages: dict[int, bytes]
    marked: dict[int, bytes]


class StepKind(IntEnum):
    """What a step is; see `enum kc_step_kind` in core.h."""

    INSTRUCTION = lib.KC_INSTRUCTION
    LOAD = lib.KC_LOAD
    STORE = lib.KC_STORE


class Step(NamedTuple):
    """An instruction, or an access of the instruction before.

    Attributes:
        address: Of an instruction linear, of an access physical.
        size: Bytes.
        value: What was loaded, or is stored; of accesses up to 8 bytes.
    """

    kind: StepKind
    address: int
    size: int
    value: int
