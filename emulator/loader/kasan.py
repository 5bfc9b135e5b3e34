"""What a kernel's file says of KASAN: where code that was compiled with -fsanitize=kernel-address has its shadow, and which code that is.

Such a kernel has functions ``__asan_*``. Those of kmemu's stubs (`firmware/kasan`) are known by the symbol with which they say where the shadow
lies; others belong to a runtime of the kernel's own.

Sources: GCC 12's asan.cc and Clang 14's AddressSanitizer.cpp for the code that compilers emit; Intel SDM vol. 2 for the instructions.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.errors import BadImage
from emulator.loader.functions.disassembler import disassembler
from emulator.loader.functions.locations import OnStack
from emulator.loader.functions.parameters import parameter_locations
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capstone import CsInsn

    from emulator.loader.image import KernelImage
    from emulator.loader.segments import Segment

SHADOW_SIZE: Final = 1 << 29
"""Bytes of the shadow: one for each eight of the address space."""

_OFFSET: Final = "kmemu_kasan_offset"
_FUNCTIONS: Final = "__asan_"
_REPORT: Final = re.compile(r"__asan_report_(load|store)(\d+|_n)")
_MOST_LINKED: Final = 4
_COPYING: Final = {
    "memset": ((0, True),),
    "memcpy": ((1, False), (0, True)),
    "memmove": ((1, False), (0, True)),
}
"""Which arguments of a function with three say what it reads, and writes."""
_ON_STACK: Final = tuple(OnStack(offset) for offset in (4, 8, 12))
_GRANULE: Final = 8  # bytes, for which the shadow has one
_REDZONE: Final = 0xF9  # KASAN_GLOBAL_REDZONE of Linux's mm/kasan/kasan.h
_DESCRIPTION: Final = struct.Struct("<8I")  # address, size, the same with a redzone, name, module; and more
_MOST_VARIABLES: Final = 1 << 20
_LARGEST: Final = 1 << 28
_LONGEST_NAME: Final = 256
_HIGHEST: Final = WORD_MAX + 1 - SHADOW_SIZE

# shr reg, 3, and soon after it a load or a store of up to four bytes at that register + 32 bits.
_SHIFT: Final = re.compile(rb"\xc1[\xe8-\xef]\x03")
_ACCESS: Final = re.compile(
    rb"(?:\x0f[\xb6\xb7\xbe\xbf]|[\x38\x3a\x80\x83\x88-\x8b\xc6\xc7])([\x80-\x83\x85-\x8b\x8d-\x93\x95-\x9b\x9d-\xa3\xa5-\xab\xad-\xb3\xb5-\xbb\xbd-\xbf])(.{4})",
    re.DOTALL,
)
_NEAR: Final = 64  # bytes from the shift to the access
_FEWEST: Final = 2  # accesses that tell where code has its shadow

_CALL, _JMP, _TWO_BYTES, _JCC = 0xE8, 0xE9, 0x0F, 0x80  # opcodes; the last with a condition in its lower half


class Kasan(NamedTuple):
    """The shadow that a kernel was compiled for.

    Attributes:
        offset: The byte for an address lies at (address >> 3) + *offset*.
        moved: How far from their physical addresses its memory may be at linear ones, modulo 4 GiB; 0 is among them.
    """

    offset: int
    moved: tuple[int, ...]


class Report(NamedTuple):
    """A function that compiled code calls before a bad access, or one without checks that accesses what it is given.

    Attributes:
        address: Its entry.
        size: Bytes of the access; 0: *length* says it.
        pointer: Number of the argument that says where memory is accessed, from 0.
        length: The same of the number of bytes.
        is_write: How memory is accessed.
        is_of_variables: It has no checks: what it does to blocks is seen without them.
    """

    address: int
    size: int
    pointer: int
    length: int
    is_write: bool
    is_of_variables: bool


class StaticVariable(NamedTuple):
    """A variable with a redzone after it.

    Attributes:
        address: Where it is linked.
        size: Its bytes.
        whole: The same with the redzone.
        name: As in the source.
        file: That it is compiled from.
    """

    address: int
    size: int
    whole: int
    name: str
    file: str

    def shadow(self) -> Iterator[tuple[int, int]]:
        """Yield linear addresses of eight bytes, and their values in the shadow, of its last bytes and its redzone."""
        full = self.address + self.size // _GRANULE * _GRANULE
        if self.size % _GRANULE:
            yield full, self.size % _GRANULE
            full += _GRANULE
        for address in range(full, self.address + self.whole, _GRANULE):
            yield address, _REDZONE


class StaticVariables(NamedTuple):
    """The variables with redzones that a kernel has.

    Attributes:
        known: Those that are described.
        unread: How many files have some whose description is not found.
    """

    known: list[StaticVariable]
    unread: int


def kasan_of(image: KernelImage) -> Kasan | None:
    """Return where a kernel has its shadow; None: it was not compiled with KASAN, or has a runtime of its own.

    Raises:
        BadImage: Its code looks for the shadow elsewhere than the stubs that it is linked with, or the shadow cannot lie there.
    """
    symbol = image.symbol(_OFFSET)
    if symbol is None:
        return None
    if symbol.address % PAGE_SIZE or symbol.address > _HIGHEST:
        raise BadImage(
            image.path,
            f"{_OFFSET} is 0x{symbol.address:08x}: it has to be a multiple of {PAGE_SIZE}, up to 0x{_HIGHEST:08x}",
            value=symbol.address,
        )
    seen = _shadows_in_code(image)
    code, times = max(seen.items(), key=lambda each: each[1], default=(symbol.address, 0))
    if times >= _FEWEST and times > 2 * seen[symbol.address]:
        raise BadImage(
            image.path,
            f"its code has the KASAN shadow at 0x{code:08x}, and {_OFFSET} is 0x{symbol.address:08x}: "
            f"link it with --defsym={_OFFSET}=0x{code:08x}",
            value=code,
        )
    moved = {0} | {(each.virtual - each.physical) & WORD_MAX for each in image.segments}
    return Kasan(symbol.address, tuple(sorted(moved))[:_MOST_LINKED])


def has_own_runtime(image: KernelImage) -> bool:
    """Return whether a kernel was compiled with KASAN, and has a runtime of its own."""
    return image.symbol(_OFFSET) is None and any(map(_REPORT.match, image.symbols))


def reports(image: KernelImage) -> list[Report]:
    """Return the functions of the stubs that are called before bad accesses, each once."""
    found = {}
    for name, symbol in image.symbols.items():
        if match := _REPORT.match(name):
            size = 0 if match[2] == "_n" else int(match[2])
            is_write = match[1] == "store"
            found[symbol.address] = Report(symbol.address, size, 0, 1, is_write, is_of_variables=False)
    return list(found.values())


def copying_functions(image: KernelImage, checked: Sequence[tuple[int, int]]) -> Iterator[Report]:
    """Yield what functions of the kernel such as memset() access, if they have no checks, and their arguments are on the stack.

    Args:
        image: The kernel.
        checked: Its code with checks (`instrumented_code`).
    """
    for name, accesses in _COPYING.items():
        symbol = image.symbol(name)
        if (
            symbol is None
            or symbol.kind != "function"
            or any(start <= symbol.address < end for start, end in checked)
            or parameter_locations(image, symbol.address, len(_ON_STACK)) != _ON_STACK
        ):
            continue
        for pointer, is_write in accesses:
            yield Report(symbol.address, 0, pointer, 2, is_write, is_of_variables=True)


def instrumented_code(image: KernelImage) -> list[tuple[int, int]]:
    """Return the linear ranges of functions that check their accesses themselves, and of the stubs; ascending, none overlap.

    Compiled code calls a stub for each check, or behind it. A function may be in two parts, of which one has the calls, and the other jumps into it.
    """
    stubs = {each.address for name, each in image.symbols.items() if name.startswith(_FUNCTIONS)}
    extents = _extents(image)
    starts = [start for start, _ in extents]

    def extent_at(address: int) -> tuple[int, int] | None:
        index = bisect_right(starts, address) - 1
        return extents[index] if index >= 0 and address < extents[index][1] else None

    found = {extent_at(each) for each in stubs}
    found |= {extent_at(at) for at, target in _branches(image) if target in stubs}
    for at, target in _branches(image, conditional=True):
        led_to = extent_at(target)
        if led_to in found and led_to is not None and target != led_to[0]:
            found.add(extent_at(at))
    return sorted(each for each in found if each is not None)


def static_variables(image: KernelImage) -> StaticVariables:
    """Return the variables with redzones that a kernel's files have.

    Each file has an array that describes them, and a function that registers that, which kernels may or may not call.
    """
    register = image.symbol("__asan_register_globals")
    calls = [
        at
        for at, target in _branches(image)
        if register is not None and target == register.address and not _is_of_stubs(image, at)
    ]
    arrays = [_arguments(image, at) for at in calls]
    known = [each for array in arrays if array for each in _described(image, *array)]
    return StaticVariables(known, arrays.count(None))


def _is_of_stubs(image: KernelImage, address: int) -> bool:
    found = image.function_at(address)
    return found is not None and found[0].name.startswith(_FUNCTIONS)


def _arguments(image: KernelImage, call: int) -> tuple[int, int] | None:
    """Return what a call is given, if the code from the start of its function on says it by constants."""
    extent = image.function_extent(call)
    if extent is None:
        return None
    known = _Constants()
    code = image.code(extent.start, call - extent.start)
    for step in disassembler(detail=True).disasm(code, extent.start):
        known.execute(step)
    start, count = (known.stack.get(known.esp + at) for at in (0, 4))
    return None if start is None or count is None or count > _MOST_VARIABLES else (start, count)


class _Constants:
    """What is known of registers and of the stack while straight code is executed.

    Attributes:
        registers: By their numbers.
        stack: Words, by their distance from where ESP was at first.
        esp: That distance.
    """

    def __init__(self) -> None:
        self.registers: dict[int, int | None] = {}
        self.stack: dict[int, int | None] = {}
        self.esp = 0

    def execute(self, step: CsInsn) -> None:
        """Follow one instruction."""
        from capstone import x86

        operands: Any = step.operands
        value = self._value(operands[-1]) if operands else None
        on_esp = operands and operands[0].type == x86.X86_OP_REG and operands[0].reg == x86.X86_REG_ESP
        if step.mnemonic == "push":
            self.esp -= 4
            self.stack[self.esp] = value
        elif on_esp and step.mnemonic in ("add", "sub") and value is not None:
            self.esp += value if step.mnemonic == "add" else -value
        elif step.mnemonic == "mov" and operands[0].type == x86.X86_OP_REG:
            self.registers[operands[0].reg] = value
        elif step.mnemonic == "lea" and not operands[1].mem.base and not operands[1].mem.index:
            self.registers[operands[0].reg] = operands[1].mem.disp & WORD_MAX
        elif step.mnemonic == "mov" and operands[0].mem.base == x86.X86_REG_ESP:
            self.stack[self.esp + operands[0].mem.disp] = value
        else:
            self.registers |= dict.fromkeys(step.regs_access()[1])

    def _value(self, operand: Any) -> int | None:  # noqa: ANN401 - capstone's
        from capstone import x86

        if operand.type == x86.X86_OP_IMM:
            value: int = operand.imm & WORD_MAX
            return value
        return self.registers.get(operand.reg) if operand.type == x86.X86_OP_REG else None


def _described(image: KernelImage, start: int, count: int) -> Iterator[StaticVariable]:
    """Yield the variables of an array, as both compilers lay it out."""
    for words in _DESCRIPTION.iter_unpack(image.code(start, count * _DESCRIPTION.size)):
        address, size, whole, name, module = words[:5]
        if address % _GRANULE == 0 and size <= whole <= _LARGEST and whole % _GRANULE == 0:
            yield StaticVariable(address, size, whole, _text(image, name), _text(image, module))


def _text(image: KernelImage, address: int) -> str:
    return image.code(address, _LONGEST_NAME).partition(b"\0")[0].decode(errors="replace")


def _extents(image: KernelImage) -> list[tuple[int, int]]:
    words = memoryview(image.function_extents).cast("I").tolist()
    return list(zip(words[::2], words[1::2], strict=True))


def _shadows_in_code(image: KernelImage) -> Counter[int]:
    """Return at which pages outside of the kernel's memory code of its own looks up a byte for each eight, and how often."""
    found: Counter[int] = Counter()
    stubs = [each for name, each in image.symbols.items() if name.startswith(_FUNCTIONS)]
    for start, code in _code(image):
        for shift in _SHIFT.finditer(code):
            at, register = start + shift.start(), code[shift.start() + 1] & 7
            for access in _ACCESS.finditer(code, shift.end(), shift.end() + _NEAR):
                if access[1][0] & 7 == register:
                    if not any(each.address <= at < each.address + each.size for each in stubs):
                        found[int.from_bytes(access[2], "little") & -PAGE_SIZE] += 1
                    break
    for address in [each for each in found if any(_meets(segment, each) for segment in image.segments)]:
        del found[address]
    return found


def _meets(segment: Segment, page: int) -> bool:
    return segment.virtual < page + PAGE_SIZE and page < segment.virtual + segment.size


def _code(image: KernelImage) -> Iterator[tuple[int, bytes]]:
    for section in image.code_sections:
        yield section.start, image.code(section.start, len(section))


def _branches(image: KernelImage, *, conditional: bool = False) -> Iterable[tuple[int, int]]:
    """Yield where what may be calls and jumps by 32 bits lie, or conditional jumps, and where they lead to."""
    import numpy as np  # few kernels were compiled so

    for start, code in _code(image):
        data = np.frombuffer(code, np.uint8)
        if conditional:
            places = np.flatnonzero((data[:-1] == _TWO_BYTES) & (data[1:] & 0xF0 == _JCC)) + 1
        else:
            places = np.flatnonzero((data == _CALL) | (data == _JMP))
        places = places[places + 5 <= len(data)]
        distances = np.zeros(len(places), np.uint32)
        for byte in range(4):
            distances |= data[places + 1 + byte].astype(np.uint32) << (8 * byte)
        targets = (places.astype(np.int64) + start + 5 + distances) & WORD_MAX
        yield from zip((places + start).tolist(), targets.tolist(), strict=True)
