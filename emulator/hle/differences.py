"""Compare what a call of the guest did with what the model did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.machine.consoles import Console
from emulator.x86 import PAGE_SIZE, WORD_MAX, WORD_SIZE, Eflags
from kernel_model.audit import LocationKind
from kernel_model.text import location_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from emulator.hle.open_call import OpenCall
    from emulator.machine.core.core_types import Registers
    from emulator.machine.core.observed import Written
    from emulator.machine.machine import Machine
    from emulator.machine.memory import PhysicalMemory
    from kernel_model.audit import Location

_KEPT = ("ebx", "esi", "edi", "ebp")
_FLAGS = {"IF": Eflags.IF, "DF": Eflags.DF}


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that native code and model disagree on.

    Attributes:
        place: ``result``, ``console``, a register or flag, or the address and what lies there, with the bit if one differs.
        expected: What the model says.
        actual: What the native code did.
        address: Physical address of the word, or of those bytes in it that *place* names; None: it is not in memory.
        size: Bytes, 1 to 4; 0: it is not in memory.
    """

    place: str
    expected: str
    actual: str
    address: int | None = None
    size: int = 0

    def __str__(self) -> str:
        return f"{self.place}: expected {self.expected}, actual {self.actual}"


def call_differences(
    machine: Machine,
    call: OpenCall,
    esp: int,
    eax: int,
    written: Written,
    locate: Callable[[int, int], Location | None],
) -> Iterator[Difference]:
    """Yield everything that a call of the guest did in another way than the model.

    Args:
        machine: At a `ret` of the function.
        call: The call.
        esp: ESP at the `ret`, with the bytes of arguments that the `ret` takes with it.
        eax: At the `ret`.
        written: The pages that the native code wrote.
        locate: Returns what so many bytes from a physical address on are.
    """
    function = call.function
    if function.result != "void":
        mask = 0xFF if function.result == "bool" else WORD_MAX
        if (eax ^ call.result) & mask:
            yield Difference("result", function.show(call.result & mask), function.show(eax & mask))
    yield from _register_differences(call, esp, machine.registers())
    yield from memory_differences(machine.memory, call.changes, written, call.stack, locate)
    machine.consoles.flush()
    printed = machine.output[Console.SERIAL][call.console_size :].decode("latin-1")
    if printed != call.console:
        yield Difference("console", repr(call.console), repr(printed))


def _register_differences(call: OpenCall, esp: int, now: Registers) -> Iterator[Difference]:
    """Yield the registers and flags that the function had to keep, and ESP as it will be after the `ret`."""
    before = call.registers
    for name in _KEPT:
        expected, actual = getattr(before, name), getattr(now, name)
        if expected != actual:
            yield Difference(name.upper(), f"0x{expected:08x}", f"0x{actual:08x}")
    if esp != call.esp:
        yield Difference("ESP", f"0x{call.esp + WORD_SIZE:08x}", f"0x{esp + WORD_SIZE:08x}")
    for name, flag in _FLAGS.items():
        expected, actual = bool(before.eflags & flag), bool(now.eflags & flag)
        if expected != actual:
            yield Difference(name, str(int(expected)), str(int(actual)))


def memory_differences(
    memory: PhysicalMemory,
    changes: Mapping[int, int],
    written: Written,
    left_out: Iterable[range],
    locate: Callable[[int, int], Location | None],
) -> Iterator[Difference]:
    """Yield the words of memory that are neither as before the call nor as the model changed them.

    Args:
        memory: Guest RAM after the call.
        changes: Each byte that the model wrote: physical address -> value.
        written: The pages that the native code wrote.
        left_out: Physical addresses that are not compared.
        locate: Returns what so many bytes from a physical address on are.
    """
    pages = {page: bytearray(before) for page, before in written.pages.items()}
    for address, value in changes.items():
        page = address & -PAGE_SIZE
        if page not in pages:
            pages[page] = bytearray(memory.read(page, PAGE_SIZE))  # the native code left it alone
        pages[page][address - page] = value
    for page in sorted(pages):
        expected = pages[page]
        actual = bytearray(memory.read(page, PAGE_SIZE))
        for each in left_out:
            own = slice(max(each.start - page, 0), max(min(each.stop - page, PAGE_SIZE), 0))
            expected[own] = actual[own]
        if expected != actual:
            marks = written.marked.get(page, bytes(PAGE_SIZE))
            yield from _word_differences(page, bytes(expected), bytes(actual), marks, locate)


def _word_differences(
    page: int, expected: bytes, actual: bytes, marks: bytes, locate: Callable[[int, int], Location | None]
) -> Iterator[Difference]:
    for offset in range(0, PAGE_SIZE, WORD_SIZE):
        word = slice(offset, offset + WORD_SIZE)
        if expected[word] == actual[word]:
            continue
        differing = [
            at for at in range(offset, offset + WORD_SIZE) if (expected[at] ^ actual[at]) & ~marks[at] & 0xFF
        ]
        if differing:
            yield _difference(page, differing, offset, (expected, actual, marks), locate)


def _difference(
    page: int,
    differing: list[int],
    offset: int,
    contents: tuple[bytes, bytes, bytes],
    locate: Callable[[int, int], Location | None],
) -> Difference:
    """Return a difference in a word: the whole of it where it has one name or none, else the bytes that differ.

    Args:
        page: Physical address.
        differing: Offsets of the bytes that differ, in the page.
        offset: Of the word.
        contents: Of the page: what it should hold, what it holds, and which bits are not compared.
        locate: Returns what so many bytes from a physical address on are.
    """
    expected, actual, marks = contents
    first, stop = differing[0], differing[-1] + 1
    location = locate(page + first, stop - first)
    if location is None or location == locate(page + offset, WORD_SIZE):
        first, stop = offset, offset + WORD_SIZE
    address, size = page + first, stop - first
    values = [int.from_bytes(each[first:stop], "little") for each in (expected, actual)]
    changed = sum(((expected[at] ^ actual[at]) & ~marks[at] & 0xFF) << 8 * (at - first) for at in differing)
    place = f"0x{address:08x}" if location is None else f"0x{address:08x} {location_text(location)}"
    return Difference(
        place + _bit_text(changed, location),
        f"0x{values[0]:0{2 * size}x}",
        f"0x{values[1]:0{2 * size}x}",
        address,
        size,
    )


def _bit_text(changed: int, location: Location | None) -> str:
    """Return which bit differs, if only one does, and not of a number in a variable or field; of a bitmap, with its frame."""
    is_number = location is not None and (location.field or location.kind is LocationKind.VARIABLE)
    if is_number or changed & changed - 1:
        return ""
    bit = changed.bit_length() - 1
    frames = range(0) if location is None else location.frames
    return f", bit {bit}" + (f" (frame {frames[bit]})" if bit < len(frames) else "")
