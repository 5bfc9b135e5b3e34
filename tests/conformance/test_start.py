"""From the boot loader to a kernel with memory: what LiteCore makes of RAM, command line and modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.conftest import FIRMWARE
from tests.helpers.ports import read_port, write_port
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from emulator.testing import Kernel

pytestmark = FIRMWARE

MAGIC: Final = 0x2BADB002
INFO, TEXT, MODULES = 0x0007_0000, 0x0007_0100, 0x0007_0400
LINE_CONTROL: Final = 0x3FB  # of COM1
DEFAULT: Final = (0x0010_0000, 0x0050_0000)
IGNORED: Final = "boot: ram= wants `all` or `0xSTART-0xEND`; ignored\n"


def started(
    kernel: Kernel, line: str, *, upper_kib: int = 4096, modules: tuple[tuple[int, int], ...] = ()
) -> tuple[int, int]:
    """Call `litecore_boot` and return the window of memory that it has chosen."""
    memory = kernel.machine.memory
    memory.write(INFO, bytes(0x100))
    memory.write(TEXT, b"kernel " + line.encode() + b"\0")
    for index, module in enumerate(modules):
        memory.store_words(MODULES + 16 * index, (*module, 0, 0))
    memory.store_words(INFO, (1 | 4 | 8, 640, upper_kib, 0, TEXT, len(modules), MODULES))
    strict_call(kernel.machine, "litecore_boot", MAGIC, INFO)
    return word(kernel, "memory_window_start"), word(kernel, "memory_window_end")


def word(kernel: Kernel, name: str) -> int:
    return kernel.machine.memory.load_u32(kernel.symbol(name))


@pytest.mark.kmemu(kernel="firmware:demo", boot_until="memory_init", walk_heap=False, check=False, ram="16M")
def test_the_defaults_are_as_the_header_says(kernel: Kernel) -> None:
    """Where there is more memory than the window takes."""
    names = ("memory_window_start", "memory_window_end", "heap_bytes")
    assert [word(kernel, name) for name in names] == [*DEFAULT, 65536]


@pytest.mark.parametrize(
    ("line", "upper_kib", "window"),
    [
        ("", 4096, DEFAULT),
        ("", 8192, DEFAULT),
        ("", 2048, (0x100000, 0x300000)),
        ("ram=all", 8192, (0x100000, 0x900000)),
        ("heap=1 ram=all", 2048, (0x100000, 0x300000)),
        ("ram=0x200000-0x280000", 4096, (0x200000, 0x280000)),
        ("ram=2097152-0x200001 heap=8", 4096, (0x200000, 0x200001)),
        ("ram=0x200000-0x280000", 2048, (0x200000, 0x280000)),
    ],
)
def test_the_window_is_chosen(kernel: Kernel, line: str, upper_kib: int, window: tuple[int, int]) -> None:
    assert started(kernel, line, upper_kib=upper_kib) == window
    assert kernel.console == ""


@pytest.mark.parametrize(
    "value",
    ["", "al", "allx", "all,", "0x200000", "0x200000-", "0x200000+0x280000", "-0x280000", "0x280000-0x200000", "5-5", "0x200000-0x280000x"],
)  # fmt: skip
def test_another_range_is_ignored_aloud(kernel: Kernel, value: str) -> None:
    assert started(kernel, f"ram={value}") == DEFAULT
    assert kernel.console == IGNORED


def test_without_a_loader_the_defaults_hold(kernel: Kernel) -> None:
    strict_call(kernel.machine, "litecore_boot", 0, 0)
    assert (word(kernel, "memory_window_start"), word(kernel, "memory_window_end")) == DEFAULT


@pytest.mark.parametrize(("line", "size"), [("", 65536), ("heap=4096", 4096), ("heap=0x2000 ram=all", 8192)])
def test_the_heap_has_the_size_that_was_asked_for(kernel: Kernel, line: str, size: int) -> None:
    started(kernel, line)
    assert word(kernel, "heap_end") - word(kernel, "heap_start") == size


def test_modules_are_reserved(kernel: Kernel) -> None:
    started(kernel, "")
    free = strict_call(kernel.machine, "memmap_free_count")
    started(kernel, "", modules=((0x0030_0000, 0x0030_1001), (0x0040_0800, 0x0040_0900)))
    assert strict_call(kernel.machine, "memmap_free_count") == free - 3
    results = [
        strict_call(kernel.machine, "free_frame", frame) for frame in (0x2FF, 0x300, 0x301, 0x302, 0x400)
    ]
    assert results == [0xFFFFFFFF, 0, 0, 0xFFFFFFFF, 0]
    assert kernel.console == ""


def test_modules_that_are_not_reserved_are_counted(kernel: Kernel) -> None:
    started(kernel, "", modules=((0x0030_0000, 0x0030_1000),) * 35)
    assert kernel.console == "boot: 3 modules too many are not reserved\n"


def test_nothing_but_the_32_modules_is_reserved(kernel: Kernel) -> None:
    """What lies after their table is the command line, which could be taken for one more module."""
    memory = kernel.machine.memory
    started(kernel, "", modules=((0x0030_0000, 0x0030_1000),) * 32, upper_kib=(0xC000_0000 >> 10) - 1024)
    memory.write(TEXT, b"aaaazzzz ram=all\0")
    strict_call(kernel.machine, "litecore_boot", MAGIC, INFO)
    assert word(kernel, "memory_window_end") == 0xC000_0000
    assert strict_call(kernel.machine, "free_frame", int.from_bytes(b"aaaa", "little") >> 12) == 0xFFFFFFFF
    assert strict_call(kernel.machine, "free_frame", 0x300) == 0


def test_the_console_is_set_up(kernel: Kernel) -> None:
    write_port(kernel.machine, LINE_CONTROL, 0)
    started(kernel, "")
    assert read_port(kernel.machine, LINE_CONTROL) == 0x03


def test_exceptions_have_gates(kernel: Kernel) -> None:
    """After the boot; without it the machine would reset at the first fault."""
    strict_call(kernel.machine, "litecore_boot", 0, 0)
    registers = kernel.machine.cpu.registers()
    assert (registers.idt_base, registers.idt_limit) == (kernel.symbol("idt"), 32 * 8 - 1)
    entries = kernel.machine.memory.load_words(kernel.symbol("exception_entries"), 32)
    gates = kernel.machine.memory.load_words(kernel.symbol("idt"), 64)
    for vector, entry in enumerate(entries):
        low, high = gates[2 * vector : 2 * vector + 2]
        assert (low, high) == (8 << 16 | entry & 0xFFFF, entry & 0xFFFF0000 | 0x8E00)
