"""What both kernels share: strings, console, boot information, screen. It has no model; the C code of LiteCore is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator.machine.consoles import Console
from tests.conformance.conftest import FIRMWARE
from tests.helpers.ports import read_port, write_port
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from emulator.testing import Kernel

pytestmark = FIRMWARE

ROOM: Final = 0x0030_0000
"""Unused memory: objects are here and TEXT behind it."""
TEXT: Final = ROOM + 0x4000
INFO: Final = ROOM + 0x8000
JUNK: Final = b"\xa5"
MAGIC: Final = 0x2BADB002
MEMORY, COMMAND_LINE, MODULES, MAP = 1, 4, 8, 64
MODULES_MAX, LINE_SIZE = 32, 256
BOOT_INFO_SIZE: Final = 12 + 8 * MODULES_MAX + LINE_SIZE


@pytest.fixture
def guest(kernel: Kernel) -> Guest:
    return Guest(kernel)


class Guest:
    """The kernel, with room for objects, all junk."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.memory = kernel.machine.memory
        self.memory.write(ROOM, JUNK * 0xC000)
        self._text = TEXT

    def call(self, name: str, *arguments: int) -> int:
        return strict_call(self.kernel.machine, name, *arguments)

    def true(self, name: str, *arguments: int) -> bool:
        """Call a function that answers a ``bool``, which is in AL."""
        return bool(self.call(name, *arguments) & 0xFF)

    def text(self, text: str) -> int:
        """Put down a text and return its address."""
        address, data = self._text, text.encode() + b"\0"
        self._text += len(data)
        self.memory.write(address, data)
        return address


# string.h

SIZES: Final = (0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_memset(guest: Guest, size: int, offset: int) -> None:
    start = ROOM + 16 + offset
    assert guest.call("memset", start, 0x1234_5601, size) == start
    assert guest.memory.read(start - 8, size + 16) == JUNK * 8 + b"\x01" * size + JUNK * 8


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["memcpy", "memmove"])
def test_memcpy(guest: Guest, size: int, name: str) -> None:
    data = bytes(range(1, size + 1))
    guest.memory.write(ROOM + 0x103, data)
    assert guest.call(name, ROOM + 17, ROOM + 0x103, size) == ROOM + 17
    assert guest.memory.read(ROOM + 9, size + 16) == JUNK * 8 + data + JUNK * 8
    assert guest.memory.read(ROOM + 0x103, size + 1) == data + JUNK


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("distance", [-9, -8, -4, -1, 0, 1, 4, 8, 9])
def test_memmove_over_itself(guest: Guest, size: int, distance: int) -> None:
    data = bytes(range(1, size + 1))
    guest.memory.write(ROOM + 64, data)
    assert guest.call("memmove", ROOM + 64 + distance, ROOM + 64, size) == ROOM + 64 + distance
    assert guest.memory.read(ROOM + 64 + distance, size) == data


@pytest.mark.parametrize(
    ("left", "right", "size", "sign"),
    [
        (b"abc", b"abc", 3, 0),
        (b"abc", b"abd", 3, -1),
        (b"abd", b"abc", 3, 1),
        (b"abc", b"abd", 2, 0),
        (b"\x7f", b"\x80", 1, -1),
        (b"a\0b", b"a\0c", 3, -1),
        (b"x", b"y", 0, 0),
    ],
)
def test_memcmp(guest: Guest, left: bytes, right: bytes, size: int, sign: int) -> None:
    guest.memory.write(ROOM, left)
    guest.memory.write(ROOM + 32, right)
    word = guest.call("memcmp", ROOM, ROOM + 32, size)
    assert (word > 0) - 2 * (word >> 31) == sign


@pytest.mark.parametrize("text", ["", "a", "ab c", "x" * 300])
def test_strlen(guest: Guest, text: str) -> None:
    assert guest.call("strlen", guest.text(text)) == len(text)


@pytest.mark.parametrize(
    ("left", "right", "size", "sign"),
    [
        ("abc", "abc", 9, 0),
        ("abc", "abd", 3, -1),
        ("abd", "abc", 3, 1),
        ("abc", "abd", 2, 0),
        ("ab", "abc", 3, -1),
        ("abc", "ab", 3, 1),
        ("a", "b", 0, 0),
        ("\x7f", "\x80", 1, -1),
    ],
)
def test_strncmp(guest: Guest, left: str, right: str, size: int, sign: int) -> None:
    word = guest.call("strncmp", guest.text(left), guest.text(right), size)
    assert (word > 0) - 2 * (word >> 31) == sign


def test_strncmp_ends_with_the_texts(guest: Guest) -> None:
    guest.memory.write(ROOM, b"ab\0c")
    guest.memory.write(ROOM + 32, b"ab\0d")
    assert guest.call("strncmp", ROOM, ROOM + 32, 9) == 0


# console.h

PRINTED: Final = [
    ("plain", (), "plain"),
    ("%u|%u|%u", (0, 7, 0xFFFFFFFF), "0|7|4294967295"),
    ("%d|%d|%d", (0, 12, 0x7FFFFFFF), "0|12|2147483647"),
    ("%d|%d", (-1, 0x80000000), "-1|-2147483648"),
    ("%x|%x", (0x1AF, 0xFFFFFFFF), "1af|ffffffff"),
    ("%p", (0xB8000,), "0x000b8000"),
    ("%5u|%05u|%2u", (42, 42, 123), "   42|00042|123"),
    ("%6d|%06d|%1d", (-42, 42, -7), "-   42|000042|-7"),
    ("%12x", (0xABC,), "         abc"),
    ("%c%c|%%|%q", (0x41, 0x42), "AB|%|q"),
    ("%08x %9u", (0xBEEF, 9), "0000beef         9"),
    ("end %", (), "end "),
]


@pytest.mark.parametrize(("template", "values", "text"), PRINTED)
def test_kprintf(guest: Guest, template: str, values: tuple[int, ...], text: str) -> None:
    before = len(guest.kernel.console)
    guest.call("kprintf", guest.text(template), *values)
    assert guest.kernel.console[before:] == text


def test_kprintf_of_text(guest: Guest) -> None:
    before = len(guest.kernel.console)
    guest.call("kprintf", guest.text("<%s%s>"), guest.text("ab"), guest.text(""))
    guest.call("console_write", guest.text("!\n"))
    assert guest.kernel.console[before:] == "<ab>!\n"


COM1: Final = 0x3F8
DATA, ENABLE, IDENTIFICATION, LINE, MODEM = range(COM1, COM1 + 5)


def test_the_console_is_115200_8n1_with_fifo_and_without_interrupts(guest: Guest) -> None:
    """PC16550D data sheet, table I."""
    machine = guest.kernel.machine
    for port, value in ((ENABLE, 0x0F), (LINE, 0x1B), (MODEM, 0)):
        write_port(machine, port, value)
    guest.call("console_init")
    registers = [read_port(machine, port) for port in (ENABLE, IDENTIFICATION, LINE, MODEM)]
    assert registers == [0, 0xC1, 0x03, 0x03]
    write_port(machine, LINE, 0x83)  # the divisor
    assert [read_port(machine, port) for port in (DATA, ENABLE)] == [1, 0]


def test_the_debug_port_is_another_console(guest: Guest) -> None:
    before = len(guest.kernel.machine.output[Console.DEBUG])
    guest.call("debug_port_write", guest.text("hello"))
    assert guest.kernel.machine.output[Console.DEBUG][before:] == b"hello"
    assert not guest.kernel.machine.output[Console.SERIAL]


# multiboot.h


class Boot(Guest):
    """A kernel with a loader's block of information at `INFO`."""

    def word(self, offset: int, value: int) -> None:
        self.memory.store_u32(INFO + offset, value)

    def read(self, magic: int = MAGIC) -> None:
        self.call("boot_info_read", ROOM, magic, INFO)

    def map(self, *entries: tuple[int, ...]) -> None:
        """Put down a memory map whose entries have their own sizes."""
        self.word(0, MAP)
        self.word(48, INFO + 0x100)
        position = INFO + 0x100
        for entry in entries:
            self.memory.store_words(position, entry)
            position += entry[0] + 4
        self.word(44, position - INFO - 0x100)

    @property
    def top(self) -> int:
        self.read()
        return self.memory.load_u32(ROOM)


@pytest.fixture
def boot(kernel: Kernel) -> Boot:
    boot = Boot(kernel)
    boot.memory.write(INFO, bytes(0x100))
    return boot


def test_nothing_is_read_without_the_loaders_magic(boot: Boot) -> None:
    boot.word(0, MEMORY | COMMAND_LINE | MODULES)
    boot.word(8, 4096)
    boot.word(16, boot.text("kernel a=1"))
    boot.read(MAGIC + 1)
    assert boot.memory.read(ROOM, BOOT_INFO_SIZE + 1) == bytes(BOOT_INFO_SIZE) + JUNK


@pytest.mark.parametrize(
    ("upper_kib", "top"),
    [(0, 0x100000), (1, 0x100400), (4096, 0x500000), (0x3FFBFC, 0xFFFFF000), (0xFFFFFFFF, 0xFFFFF000)],
)
def test_memory_without_a_map(boot: Boot, upper_kib: int, top: int) -> None:
    boot.word(8, upper_kib)
    assert boot.top == 0
    boot.word(0, MEMORY)
    assert boot.top == top


LOW: Final = (20, 0, 0, 0x9FC00, 0, 1)
MAPS: Final = [
    pytest.param([LOW, (20, 0x100000, 0, 0x300000, 0, 1)], 0x400000, id="after low memory"),
    pytest.param([(24, *LOW[1:]), (20, 0x100000, 0, 0x300000, 0, 1)], 0x400000, id="after a longer entry"),
    pytest.param([(20, 0, 0, 0x300000, 0, 1)], 0x300000, id="around 1 MiB"),
    pytest.param([(20, 0, 0, 0x100000, 0, 1)], 0, id="up to 1 MiB"),
    pytest.param([(20, 0, 0, 0x100001, 0, 1)], 0x100001, id="a byte of it"),
    pytest.param([(20, 0x100001, 0, 0x300000, 0, 1)], 0, id="above 1 MiB"),
    pytest.param([(20, 0x100000, 0, 0x300000, 0, 2)], 0, id="reserved"),
    pytest.param([(20, 0x100000, 1, 0x300000, 0, 1)], 0, id="above 4 GiB"),
    pytest.param([(20, 0x100000, 0, 0, 1, 1)], 0xFFFFF000, id="4 GiB long"),
    pytest.param([(20, 0x100000, 0, 0xFFEFF000, 0, 1)], 0xFFFFF000, id="up to the last page"),
    pytest.param([(20, 0x100000, 0, 0xFFEFEFFF, 0, 1)], 0xFFFFEFFF, id="below the last page"),
    pytest.param([], 0, id="empty"),
]


@pytest.mark.parametrize(("entries", "top"), MAPS)
def test_memory_of_a_map(boot: Boot, entries: list[tuple[int, ...]], top: int) -> None:
    boot.map(*entries)
    assert boot.top == top


def test_a_map_ends_where_it_says(boot: Boot) -> None:
    boot.map(LOW, (20, 0x100000, 0, 0x300000, 0, 1))
    boot.word(44, 24)  # bytes of the first entry
    assert boot.top == 0


def test_a_map_is_believed_more_than_the_sizes(boot: Boot) -> None:
    boot.map(LOW, (20, 0x100000, 0, 0x300000, 0, 1))
    boot.word(0, MEMORY | MAP)
    boot.word(8, 4096)
    assert boot.top == 0x400000


def test_a_map_without_upper_memory_leaves_the_sizes(boot: Boot) -> None:
    boot.map(LOW)
    boot.word(0, MEMORY | MAP)
    boot.word(8, 4096)
    assert boot.top == 0x500000


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 400])
def test_the_command_line_is_copied_and_cut(boot: Boot, length: int) -> None:
    line = ("kernel calls=3 " * 30)[:length]
    boot.word(0, COMMAND_LINE)
    boot.word(16, boot.text(line))
    boot.read()
    copied = line[: LINE_SIZE - 1].encode()
    start = ROOM + BOOT_INFO_SIZE - LINE_SIZE
    assert boot.memory.read(start, LINE_SIZE + 1) == copied.ljust(LINE_SIZE, b"\0") + JUNK


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 40])
def test_modules_are_copied_up_to_32(boot: Boot, count: int) -> None:
    modules = [(0x0040_0000 + 0x1000 * index, 0x0040_0800 + 0x1000 * index) for index in range(count)]
    for index, module in enumerate(modules):
        boot.memory.store_words(INFO + 0x400 + 16 * index, (*module, 0, 0))
    boot.word(0, MODULES)
    boot.word(20, count)
    boot.word(24, INFO + 0x400)
    boot.read()
    kept = min(count, MODULES_MAX)
    assert boot.memory.load_words(ROOM + 4, 2) == (kept, count - kept)
    flat = [word for module in modules[:kept] for word in module]
    assert list(boot.memory.load_words(ROOM + 12, 64)) == flat + [0] * (64 - len(flat))


OPTIONS: Final = [
    ("kernel calls=12", 12),
    ("kernel  calls=0x1F  seed=3", 31),
    ("calls=12", 5),  # the kernel's name
    ("kernel mycalls=12", 5),
    ("kernel calls", 5),
    ("kernel calls=", 5),
    ("kernel calls=x", 5),
    ("kernel calls=12x", 5),
    ("kernel calls=4294967295", 4294967295),
    ("kernel calls=4294967296", 5),
    ("kernel seed=1 calls=7 calls=8", 7),
    ("", 5),
]


@pytest.mark.parametrize(("line", "value"), OPTIONS)
def test_options_of_the_command_line(boot: Boot, line: str, value: int) -> None:
    boot.memory.write(ROOM + BOOT_INFO_SIZE - LINE_SIZE, line.encode() + b"\0")
    assert boot.call("boot_option_u32", ROOM, boot.text("calls"), 5) == value


NUMBERS: Final = [
    ("0", 0, 1),
    ("9", 9, 1),
    ("10-20", 10, 2),
    ("0x10", 16, 4),
    ("0XaF", 175, 4),
    ("0xAf0g", 0xAF0, 5),
    ("4294967295", 0xFFFFFFFF, 10),
    ("0xFFFFFFFF", 0xFFFFFFFF, 10),
    ("00000000000000001", 1, 17),
    ("12a", 12, 2),
    ("4294967296", None, 0),
    ("0x100000000", None, 0),
    ("9999999999", None, 0),
    ("0x", None, 0),
    ("x1", None, 0),
    ("-1", None, 0),
    ("", None, 0),
    (" 1", None, 0),
    ("/", None, 0),
    (":", None, 0),
    ("0x@", None, 0),
    ("0xG", None, 0),
]


@pytest.mark.parametrize(("text", "value", "length"), NUMBERS)
def test_numbers(guest: Guest, text: str, value: int | None, length: int) -> None:
    address = guest.text(text)
    guest.memory.store_words(ROOM, (address, 0xEEEEEEEE))
    assert guest.true("parse_u32", ROOM, ROOM + 4) is (value is not None)
    assert guest.memory.load_words(ROOM, 2) == (address + length, 0xEEEEEEEE if value is None else value)


@pytest.mark.parametrize(("text", "ends"), [("", True), (" a", True), ("a", False), ("=", False)])
def test_words_end_at_a_blank_or_with_the_text(guest: Guest, text: str, ends: bool) -> None:
    assert guest.true("at_word_end", guest.text(text)) is ends


# vga_text.h

SCREEN, COLUMNS, ROWS = 0xB8000, 80, 25


@pytest.mark.parametrize(("row", "text"), [(0, "hello"), (24, "x" * 80), (12, "y" * 81), (3, "")])
def test_a_row_of_the_screen(guest: Guest, row: int, text: str) -> None:
    guest.memory.write(SCREEN, b"?\x55" * COLUMNS * ROWS)
    guest.call("vga_write_row", row, 0x1F, guest.text(text))
    cells = text[:COLUMNS].ljust(COLUMNS)
    expected = bytearray(b"?\x55" * COLUMNS * ROWS)
    expected[160 * row : 160 * row + 160] = b"".join(bytes((ord(each), 0x1F)) for each in cells)
    assert guest.memory.read(SCREEN, 160 * ROWS) == bytes(expected)


def test_the_screen_is_cleared(guest: Guest) -> None:
    guest.memory.write(SCREEN, b"?\x55" * (COLUMNS * ROWS + 1))
    guest.call("vga_clear")
    assert guest.memory.read(SCREEN, 160 * ROWS + 2) == b" \x07" * COLUMNS * ROWS + b"?\x55"
