"""What observers of the guest see, as types of Python: probes, writes, steps."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from emulator.native import _core

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Poison(IntEnum):
    """Why a byte of RAM may not be accessed; see `enum kc_poison` in core.h.

    UNINITIALISED: it may be written, and nobody has done so. FREED: it lay in a block that was given back. GAP: an allocator has it, and
    no block lies there. REDZONE: it lies next to a block. STACK: it lies next to a variable of a function that goes on. SCOPE: it is a variable's whose
    scope was left. GLOBAL: it lies next to a static variable. The last three are known of code that was compiled with KASAN.
    READ_ONLY: it is the kernel's code, or a constant. RETURN: it is the return address of a function that goes on, which only calls write.
    BELOW_STACK: it lies below ESP while interrupts are on, which push there.
    """

    ACCESSIBLE = lib.KC_ACCESSIBLE
    UNINITIALISED = lib.KC_UNINITIALISED
    FREED = lib.KC_FREED
    GAP = lib.KC_GAP
    REDZONE = lib.KC_REDZONE
    RETURN = lib.KC_RETURN
    READ_ONLY = lib.KC_READ_ONLY
    BELOW_STACK = lib.KC_BELOW_STACK
    STACK = lib.KC_STACK
    SCOPE = lib.KC_SCOPE
    GLOBAL = lib.KC_GLOBAL


class Use(IntEnum):
    """What an instruction does with a value that was never written; see `enum kc_use` in core.h.

    BRANCH: it goes on in one way or another by it. ADDRESS: it accesses memory there, or jumps to it. OUTPUT: a device gets it.
    """

    NONE = lib.KC_NO_USE
    BRANCH = lib.KC_USE_BRANCH
    ADDRESS = lib.KC_USE_ADDRESS
    OUTPUT = lib.KC_USE_OUTPUT


REDZONE_SIZE: Final[int] = lib.KC_REDZONE_SIZE
"""How many bytes on each side of a block belong to nobody, at most."""


class BlockRole(IntEnum):
    """What a recorded function does to blocks; see `enum kc_role` in core.h."""

    OTHER = lib.KC_ROLE_OTHER
    ALLOC = lib.KC_ROLE_ALLOC
    FREE = lib.KC_ROLE_FREE
    REALLOC = lib.KC_ROLE_REALLOC
    SHARE = lib.KC_ROLE_SHARE
    RESET = lib.KC_ROLE_RESET
    SEED = lib.KC_ROLE_SEED
    DEFER = lib.KC_ROLE_DEFER


class BlockResult(IntEnum):
    """What EAX is at a function's return; see `enum kc_result` in core.h."""

    OTHER = lib.KC_RESULT_OTHER
    POINTER = lib.KC_RESULT_POINTER
    FRAME = lib.KC_RESULT_FRAME
    ERROR = lib.KC_RESULT_ERROR


class BlockFunction(NamedTuple):
    """What the calls of a recorded function say of blocks; see `kc_block_function` in core.h.

    Attributes:
        role: What it does to them.
        result: What EAX is at its return.
        area: Number of its area.
        pages: The area's blocks are runs of pages.
        stores_block: Where the block is, says more than EAX.
        is_one_page: No value says how long the block is: it is a page.
        values: Which of its values is what, by the names of `BLOCK_VALUES`.
        failures: Results that say that there is no block, as ranges [first, last].
    """

    role: BlockRole
    result: BlockResult
    area: int
    pages: bool
    stores_block: bool
    is_one_page: bool
    values: Mapping[str, int]
    failures: tuple[tuple[int, int], ...] = ()


BLOCK_VALUES: Final = ("ptr", "frame", "size", "count", "pages", "order", "when", "pool", "start", "end")


class KernelMemory(NamedTuple):
    """Parts of memory that are not as others, as ranges [start, end) none of which overlaps another.

    Attributes:
        objects: Physical, of the kernel's own variables and sections. A block in one of them has no redzone outside of it.
        allocator: Linear, of code that may access all memory, besides what it calls while a recorded call is open.
        read_only: Physical, of the kernel's code and constants: writes to them are bad, until an allocator hands out their pages. Nothing
            that the kernel writes to lies on these pages.
    """

    objects: Sequence[tuple[int, int]] = ()
    allocator: Sequence[tuple[int, int]] = ()
    read_only: Sequence[tuple[int, int]] = ()


class AllocatedBlock(NamedTuple):
    """A block, as calls that have returned made it and gave it back.

    Attributes:
        start: As the kernel knows it; of frames the physical address.
        size: Bytes; 0: not known.
        area: Number of its area.
        born: Event of the return of the call that made it.
        birth: That call.
        died: Event of its end; None: it lives.
        death: The call that gave it back; None: it lives, or its place was handed out again.
    """

    start: int
    size: int
    area: int
    born: int
    birth: int
    died: int | None
    death: int | None


class CompiledChecks(NamedTuple):
    """What a compiler has put into a kernel with -fsanitize=kernel-address.

    Attributes:
        code: Linear ranges [start, end) of functions that check their accesses themselves, ascending; none overlap.
        reports: Functions whose calls say what is accessed, as `kc_report` in core.h.
        shadow: Values of the shadow from the start of the run: by the linear address of each eight bytes.
    """

    code: Sequence[tuple[int, int]] = ()
    reports: Sequence[tuple[int, int, int, int, bool, bool]] = ()
    shadow: Mapping[int, int] = MappingProxyType({})


NO_COMPILED_CHECKS: Final = CompiledChecks()


class BadAccess(NamedTuple):
    """Accesses of memory that may not be accessed, by one instruction with one call stack, for one reason.

    Or, with a *use*, uses of a value that was read from memory that nobody has written: it lies at *linear*, in *block*.

    Attributes:
        linear: Linear address that was accessed first.
        physical: The same, physical.
        size: Bytes that the access has.
        access: How.
        poison: Why the byte at *offset* may not be accessed.
        offset: From *linear* to the first byte that may not be accessed.
        event: The last event before the first access.
        callers: Return addresses of the calls around it, innermost first; () if there was no memory to keep them.
        registers: As they stood at the first access; EIP is that of the instruction. Where the code has checked the access itself: at the call by
            which it has reported that.
        use: What the instruction does with a value that was never written; NONE: it makes the access.
        read_at: With a use: linear address of the instruction that has read the value.
        times: How many there were.
        time_ns: Virtual time of the first access.
        last_ns: Virtual time of the last one.
        block: The block that it concerns; None: none is known.
        distance: From the block's start to that byte, in bytes; negative: it lies below.
        frame: Linear address of the variables on the stack that it concerns, or of the return address; below the stack: ESP; 0: of none, or not known.
        variables: Linear address of a string that describes them; or what the return address is.
        owner: That of their function; or an instruction of the function that the return address belongs to.
        around: Physical address of the first byte of *memory* and *shadow*, a multiple of 16.
        memory: 64 bytes around that byte, before the first access; 0 outside of RAM.
        shadow: Which of them may be accessed.
    """

    linear: int
    physical: int
    size: int
    access: Access
    poison: Poison
    offset: int
    event: int
    callers: tuple[int, ...]
    registers: Registers
    use: Use
    read_at: int
    times: int
    time_ns: int
    last_ns: int
    block: AllocatedBlock | None
    distance: int
    frame: int
    variables: int
    owner: int
    around: int
    memory: bytes
    shadow: tuple[Poison, ...]


class BadAccesses(NamedTuple):
    """What was found.

    Attributes:
        accesses: In order of the first ones.
        missed: There were more than are kept.
        has_returns: Writes over return addresses are among them, if there were any. False, too, where a function has written to what may
            be one, and neither call frame information nor a frame pointer says which frames are below.
    """

    accesses: tuple[BadAccess, ...]
    missed: bool
    has_returns: bool


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
