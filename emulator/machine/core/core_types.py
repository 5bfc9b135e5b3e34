"""What the native core says of the CPU, as types of Python: how a run ended, exceptions, registers."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from emulator.native import _core
from emulator.x86 import WORD_MAX

ffi, lib = _core.ffi, _core.lib


class Reason(IntEnum):
    """How a run ended; see `enum kc_reason` in core.h."""

    HALTED = lib.KC_HALTED
    SPINS = lib.KC_SPINS
    ASKED = lib.KC_ASKED
    INSTRUCTIONS = lib.KC_INSTRUCTIONS
    TIME = lib.KC_TIME
    INTERRUPTED = lib.KC_INTERRUPTED
    EXCEPTION = lib.KC_EXCEPTION
    UNMAPPED = lib.KC_UNMAPPED
    SLICE = lib.KC_SLICE
    EVENT = lib.KC_EVENT
    STOP = lib.KC_STOP
    BAD_ACCESS = lib.KC_BAD_ACCESS
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


class UsedDirectory(NamedTuple):
    """A page directory that the guest has used.

    Attributes:
        address: Physical, as CR3 had it.
        linear: Address of the page that was used first, most likely that of the code which loaded CR3.
        physical: Where the directory mapped it.
    """

    address: int
    linear: int
    physical: int


class PortMode(IntEnum):
    """How a port answers; see `enum kc_port` in core.h."""

    OPEN = lib.KC_OPEN
    DEVICE = lib.KC_DEVICE
    SINK = lib.KC_SINK
    CONSTANT = lib.KC_CONSTANT
    PIC = lib.KC_PIC
    PIT = lib.KC_PIT


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


class FpuRegisters(NamedTuple):
    """The registers of the FPU and of SSE, all unsigned.

    Attributes:
        control: As `fnstcw` stores it; so with the others (Intel SDM vol. 1, 8.1).
        status: Bits 11 to 13 are the number of the register that is ST(0).
        tags: Two bits for each register, by their own numbers: 3 is an empty one.
        code_segment: Of the last instruction, as the next four.
        code: Its offset.
        data_segment: Of its operand.
        data: The operand's offset.
        opcode: 11 bits.
        mxcsr: Of SSE.
        stack: ST(0) to ST(7), 80 bits each.
        xmm: XMM0 to XMM7, 128 bits each.
    """

    control: int
    status: int
    tags: int
    code_segment: int
    code: int
    data_segment: int
    data: int
    opcode: int
    mxcsr: int
    stack: tuple[int, ...]
    xmm: tuple[int, ...]

    def is_empty(self, number: int) -> bool:
        """Return whether ST(*number*) is empty."""
        top = self.status >> 11 & 7
        return self.tags >> 2 * ((top + number) % 8) & 3 == 3  # noqa: PLR2004 - as the tags say it
