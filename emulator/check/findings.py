"""Findings: values that describe what the guest did wrong, one for each mistake."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.guest.symbolizer import NOTHING_KNOWN
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.guest.symbolizer import Frame

_ID_DIGITS: Final = 12


class Kind(Enum):
    """A kind of mistake. The value is a stable name, for JSON, SARIF and baselines."""

    DOUBLE_FREE = "double-free"
    INVALID_FREE = "invalid-free"
    WRONG_SIZE = "wrong-size-free"
    WRONG_POOL = "wrong-pool-free"
    OVERLAP = "overlapping-blocks"
    BAD_RESULT = "bad-result"
    CORRUPTION = "heap-corruption"
    MAPPING = "bad-mapping"
    BITMAP = "bitmap-mismatch"
    REFCOUNT = "refcount-mismatch"
    RESERVED = "reserved-frame"
    LEAK = "leak"
    LOCK_HELD = "lock-held"
    LOCK_TWICE = "lock-taken-twice"
    DEADLOCK = "deadlock"
    DIVERGENCE = "lockstep-divergence"
    WILD_ACCESS = "wild-access"  # to memory in which nothing is
    NULL_ACCESS = "null-access"
    OUT_OF_BOUNDS = "out-of-bounds"
    USE_AFTER_FREE = "use-after-free"
    UNALLOCATED = "unallocated-access"  # of memory that an allocator has, and that is in no block
    UNINITIALISED = "uninitialised-use"  # of what was read from a block, and never written
    READ_ONLY = "read-only-write"  # to the kernel's code, or its constants
    RETURN_WRITE = "return-address-write"  # over that of a function that goes on
    BELOW_STACK = "below-stack-access"  # while interrupts are on
    USE_AFTER_SCOPE = "use-after-scope"
    STALE_TRANSLATION = "stale-translation"  # that the TLB holds, and page tables no longer say
    DIED = "kernel-died"  # a fault, or it hangs
    FAILED = "kernel-failed"  # it exited with a value other than 0, or reset the PC

    @property
    def title(self) -> str:
        """The name for people, in lower case."""
        return _TEXTS[self][0]

    @property
    def explanation(self) -> str:
        """What it means: one sentence."""
        return _TEXTS[self][1]


OF_ACCESSES: Final = (
    Kind.OUT_OF_BOUNDS,
    Kind.USE_AFTER_FREE,
    Kind.UNALLOCATED,
    Kind.READ_ONLY,
    Kind.RETURN_WRITE,
    Kind.BELOW_STACK,
    Kind.USE_AFTER_SCOPE,
)
"""The kinds of which nothing is known unless each access is checked."""

OF_VALUES: Final = (Kind.UNINITIALISED,)
"""The kinds of which nothing is known unless values that were never written are followed."""

_TEXTS: Final = {
    Kind.DOUBLE_FREE: ("double free", "A block was freed that had been freed before."),
    Kind.INVALID_FREE: ("invalid free", "A pointer was freed that is not the start of a block."),
    Kind.WRONG_SIZE: (
        "free with a wrong size",
        "A block was freed with another size than it was allocated with.",
    ),
    Kind.WRONG_POOL: (
        "release to the wrong pool",
        "A block was released to another pool than it came from.",
    ),
    Kind.OVERLAP: ("overlapping blocks", "The allocator returned memory that a live block already covers."),
    Kind.BAD_RESULT: (
        "bad result of an allocation",
        "The allocator returned an address that is misaligned, outside RAM, or inside the kernel's own image.",
    ),
    Kind.CORRUPTION: ("heap corruption", "The allocator's own data in memory contradicts itself."),
    Kind.MAPPING: (
        "bad mapping",
        "Page tables map what they should not, or are kept or given back when they should not.",
    ),
    Kind.BITMAP: (
        "bitmap mismatch",
        "The bitmap of frames does not agree with the frames that are in use.",
    ),
    Kind.REFCOUNT: ("refcount mismatch", "The count of a page's owners is not the number of its owners."),
    Kind.RESERVED: ("reserved frame", "A frame was handed out that is reserved."),
    Kind.LEAK: ("memory leak", "A block is live at the end of the run, and nobody can free it any more."),
    Kind.LOCK_HELD: ("lock held", "A lock was still held at the end of the run."),
    Kind.LOCK_TWICE: ("lock taken twice", "A lock was taken by who held it already."),
    Kind.DEADLOCK: (
        "deadlock",
        "The kernel halted for good while tasks wait, and nothing can wake them.",
    ),
    Kind.DIVERGENCE: ("lockstep divergence", "The kernel's function and its model did not do the same."),
    Kind.WILD_ACCESS: (
        "wild access",
        "A function that allocates or frees accessed memory in which nothing is: it followed a wild pointer.",
    ),
    Kind.NULL_ACCESS: (
        "null access",
        "Memory was accessed through a null pointer, or one that is an offset from it.",
    ),
    Kind.OUT_OF_BOUNDS: (
        "out-of-bounds access",
        "Memory before the start or after the end of a block, or of a variable, was accessed.",
    ),
    Kind.USE_AFTER_FREE: ("use after free", "A block was accessed after it had been freed."),
    Kind.UNALLOCATED: (
        "unallocated access",
        "Memory was accessed that belongs to an allocator, and that is in no block.",
    ),
    Kind.UNINITIALISED: (
        "uninitialised value",
        "A branch, an address or an output depends on memory of a block that was never written.",
    ),
    Kind.READ_ONLY: (
        "write to read-only memory",
        "The kernel wrote to its own code, or to a constant.",
    ),
    Kind.RETURN_WRITE: (
        "write over a return address",
        "The saved return address of a function that goes on was overwritten on the stack.",
    ),
    Kind.BELOW_STACK: (
        "access below the stack",
        "Memory below the stack pointer was accessed while interrupts were on, which overwrite it.",
    ),
    Kind.USE_AFTER_SCOPE: ("use after scope", "A variable was accessed after its scope had been left."),
    Kind.STALE_TRANSLATION: (
        "stale translation",
        "Memory was accessed by what the TLB held of a page, after its page table entry was changed.",
    ),
    Kind.DIED: ("kernel died", "The kernel could not go on: a fault that nobody handled, or it hangs."),
    Kind.FAILED: ("kernel failed", "The kernel exited with a value other than 0, or reset the PC."),
}


class CallSite(NamedTuple):
    """A recorded call at one of its two events, with the backtrace of its caller.

    Attributes:
        call: Number of the call, from 1; 0: the event is in no recorded call.
        event: Number of the event, the call's entry or its return, from 1.
        function: The function that was called; without a call, the one that the event is in, or "" where that is not known.
        backtrace: The frames of its callers, that of the caller of *function* first; empty where it is not known.
    """

    call: int
    event: int
    function: str
    backtrace: tuple[Frame, ...]


class BlockHistory(NamedTuple):
    """A block, with the calls that allocated and freed it.

    Attributes:
        address: Address of its first byte.
        size: Its size in bytes; 0: not known.
        allocated: The call that returned it.
        freed: The call that freed it; None: it is live.
    """

    address: int
    size: int
    allocated: CallSite
    freed: CallSite | None

    @property
    def name(self) -> str:
        """The block for people, such as ``block #12 of 24 bytes``: it is numbered like the call that allocated it."""
        size = f" of {counted(self.size, 'byte')}" if self.size else ""
        return f"block #{self.allocated.call}{size}"


class FaultingWrite(NamedTuple):
    """The instruction whose write to memory broke something.

    Attributes:
        eip: Address of the instruction.
        text: The instruction in assembly language.
        event: Number of the last event before the write.
        before: The word at *address* before the write.
        after: The word at *address* after the write.
        address: Address of the word that was broken.
        backtrace: The frame of the instruction itself first, then its callers.
    """

    eip: int
    text: str
    event: int
    before: int
    after: int
    address: int
    backtrace: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake of the guest.

    Attributes:
        kind: The kind of mistake.
        area: The area that it concerns; "" if it concerns none.
        message: One line, such as "double free of 0x0010b008 (24 bytes)".
        call_site: The call in which it happened or was noticed; None: at the end of the run.
        block: The block that it concerns.
        faulting_write: The instruction that caused it.
        hex_dump: Memory around what it concerns, as lines of hexadecimal digits.
        details: Further lines, such as "still pointed to by global config+0x4".
    """

    kind: Kind
    area: str
    message: str
    call_site: CallSite | None
    block: BlockHistory | None = None
    faulting_write: FaultingWrite | None = None
    hex_dump: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stay the same when the kernel is built anew.

        They are made of the kind, the area, and the names of the functions in all its backtraces: no addresses, no lines.
        """
        import hashlib  # slow: OpenSSL

        text = "\n".join([self.kind.value, self.area, *self._backtraces()])
        return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]

    def _backtraces(self) -> Iterator[str]:
        """Yield each backtrace on a line of its own, so that it cannot be taken for a part of another."""
        block = self.block
        for call_site in (self.call_site, block and block.allocated, block and block.freed):
            yield _names([call_site.function or "?"], call_site.backtrace) if call_site else ""
        yield _names([], self.faulting_write.backtrace) if self.faulting_write else ""


def _names(called: list[str], backtrace: Iterable[Frame]) -> str:
    return " < ".join([*called, *(frame.function or "?" for frame in backtrace if frame != NOTHING_KNOWN)])


def with_rest(found: Sequence[Finding], count: int) -> list[Finding]:
    """Return findings, of which the first says it if there would have been more: *count*."""
    if count <= len(found):
        return list(found)
    first, *others = found
    line = f"the first {len(found)} of {count} like this are listed"
    return [replace(first, details=(*first.details, line)), *others]


def sized_address(address: int, size: int) -> str:
    """Return where a block lies, such as ``0x0010b008 (24 bytes)``; without the size where that is 0, for not known."""
    return f"0x{address:08x} ({counted(size, 'byte')})" if size else f"0x{address:08x}"
