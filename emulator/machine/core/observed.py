"""What observers of the guest see, as types of Python: probes, writes, steps."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Literal, NamedTuple

from emulator.native import _core

if TYPE_CHECKING:
    from emulator.machine.core.core_types import Access, Registers

lib = _core.lib


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


class Rights(IntFlag):
    """What page tables say of a page; 0: it is not mapped."""

    PRESENT = lib.KC_PRESENT
    WRITABLE = lib.KC_WRITABLE
    FOR_USERS = lib.KC_FOR_USERS


class StaleUse(NamedTuple):
    """An access by a translation that the TLB holds, and page tables no longer say; see `kc_stale_use` in core.h.

    Attributes:
        linear: Linear address that was accessed.
        access: ``read``, ``write`` or ``fetch``.
        eip: The instruction.
        pc: Its linear address.
        event: The last event before it.
        callers: Return addresses of the calls around it, innermost first; () if there was no memory to keep them.
        held: Physical address of the page, as the TLB holds it.
        held_rights: Its rights, as the TLB holds them.
        now: Physical address of the page by the page tables; 0 if it is not mapped.
        now_rights: Its rights by the page tables.
        entry: Physical address of the entry that was changed.
        change: The write that changed the entry, with the lower 32 bits of it; None: no instruction of the guest's.
    """

    linear: int
    access: Literal["read", "write", "fetch"]
    eip: int
    pc: int
    event: int
    callers: tuple[int, ...]
    held: int
    held_rights: Rights
    now: int
    now_rights: Rights
    entry: int
    change: LastWrite | None


class NullAccess(NamedTuple):
    """Accesses of page zero by one instruction of the kernel, with one call stack.

    Attributes:
        linear: Linear address that was accessed first, 0 to 0xfff.
        access: How.
        event: The last event before the first access.
        callers: Return addresses of the calls around it, innermost first; () if there was no memory to keep them.
        registers: As they stood at the first access; EIP is that of the instruction.
        times: How many there were.
    """

    linear: int
    access: Access
    event: int
    callers: tuple[int, ...]
    registers: Registers
    times: int


class PageZero(NamedTuple):
    """What became of page zero, linear addresses 0 to 0xfff.

    Attributes:
        accesses: In order of the first ones.
        missed: There were more than are kept.
        has_tables: The CPU's tables of interrupts, segments or pages lay there at one of these accesses.
        old_modes: The last event before code of real mode or virtual-8086 mode accessed the page for the last time; None: it did not.
        fault: The last access that made a page fault, which is not among *accesses*; None: none did. With the reference MMU it is
            not known.
    """

    accesses: tuple[NullAccess, ...]
    missed: bool
    has_tables: bool
    old_modes: int | None
    fault: NullAccess | None


class Written(NamedTuple):
    """What a watch has recorded.

    Attributes:
        pages: Physical address of each written page -> its bytes before the first write.
        marked: Physical address of a page -> the bits in it that the CPU has set by itself (A and D of page tables).
    """

    pages: dict[int, bytes]
    marked: dict[int, bytes]


class WatchState(IntEnum):
    """What has become of a note of written pages; see `enum kc_watch_state` in core.h."""

    CLOSED = lib.KC_WATCH_CLOSED
    GOES_ON = lib.KC_WATCH_GOES_ON
    PAUSED = lib.KC_WATCH_PAUSED
    RESUMED = lib.KC_WATCH_RESUMED


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
