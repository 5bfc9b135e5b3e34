"""Damaged kernel files: their headers, tables, symbols, debugging information and code."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader import builtin
from emulator.machine.memory import DEFAULT_RAM
from tests.fuzz.harness.commands import import_all, run_commands
from tests.fuzz.harness.target import Case, Target
from tests.helpers.c_kernel import compile_kernel
from tests.unit.loader.elf_builder import E_SHOFF, E_SHSTRNDX, EHDR, PHDR, SHDR

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.fuzz.harness.limits import Meter

_BUILT_IN = ("demo", "overflow", "bad_leak", "bad_lock", "btron_demo", "btron_bad_round")
_SOURCE = """
static unsigned char area[4096];
static unsigned int used;
void *take(unsigned int size) { void *block = area + used; used += (size + 7) & ~7u; return used > 4096 ? 0 : block; }
void give(void *block) { *(volatile char *)block = 0; }
static void leaf(int depth) { void *block = take(16 * depth); if (depth) leaf(depth - 1); if (depth & 1) give(block); }
void _start(void)
{
    __asm__ volatile ("mov %0, %%esp" :: "i" (0x300000));
    leaf(9);
    __asm__ volatile ("outl %0, $0xf4" :: "a" (0));
}
"""
_PROFILE = b'name = "small"\n[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\n'
_TIMEOUT_S, _TIMEOUT = 0.5, ("--timeout", "0.5", "--max-instructions", "40000")
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("inspect", "{}"),
    ("inspect", "{}", "--json"),
    ("boot", "{}", *_TIMEOUT),
    ("boot", "{}", "--json", "--screen", *_TIMEOUT),
    ("boot", "{}", "--mmu", "reference", *_TIMEOUT),
    ("trace", "{}", *_TIMEOUT),
    ("trace", "{}", "--json", *_TIMEOUT),
    ("trace", "{}", "-o", "run.kmt", *_TIMEOUT),
    ("trace", "{}", "--calls", "1..3", "--insn", *_TIMEOUT),
    ("check", "{}", *_TIMEOUT),
    ("check", "{}", "--json", "--walk-every", "3", *_TIMEOUT),
    ("check", "{}", "--fail-nth", "2", "--format", "sarif=check.sarif", *_TIMEOUT),
    ("step", "{}", "--at", "7", "--print", *_TIMEOUT),
    ("step", "{}", "--print", "--json", *_TIMEOUT),
)
_WITH_PROFILE = ("trace", "check", "step")
_LAYERS = (
    ("memmap=model", "heap=lockstep"),
    ("memmap=lockstep", "heap=model"),
    ("pmem=model", "kmem=model", "pools=lockstep"),
)
_WORDS = (
    0,
    1,
    2,
    4,
    31,
    0x20,
    0xFF,
    0xFFF,
    0x1000,
    0xFFFF,
    0x100000,
    0x4FFFFF,
    0x500000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFF000,
    0xFFFFFFFF,
)
_HEADER_MAGIC = struct.pack("<I", 0x1BADB002)


class _Section(NamedTuple):
    """Where a section lies in the file, and its header."""

    name: str
    header: int
    offset: int
    size: int


class _Seed(NamedTuple):
    """An undamaged kernel."""

    name: str
    data: bytes
    sections: tuple[_Section, ...]
    profile: bool


class Kernels(Target):
    """Each case damages one kernel at a few offsets and gives it to a command."""

    name = "kernels"
    suffix = ".elf"
    count = 20_000

    def __init__(self) -> None:
        self._seeds: tuple[_Seed, ...] = ()

    def prepare(self) -> None:
        import_all()
        with tempfile.TemporaryDirectory(prefix="kmemu-fuzz-") as folder:
            options = ("-g", "-fasynchronous-unwind-tables", f"-ffile-prefix-map={folder}=.")
            small = compile_kernel(Path(folder), _SOURCE, options).read_bytes()
        files = [(name, Path(builtin.resolve(f"firmware:{name}")).read_bytes(), False) for name in _BUILT_IN]
        self._seeds = tuple(
            _Seed(n, data, _sections(data), profile) for n, data, profile in [*files, ("small", small, True)]
        )

    def make(self, random: Random) -> Case:
        seed = random.choice(self._seeds)
        data = bytearray(seed.data)
        for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
            if data:
                random.choices(_DAMAGE, _SHARES)[0](random, data, seed)
        command = random.choice(_COMMANDS)
        if command[0] == "boot" and "reference" not in command and random.randrange(3) == 0:
            command += tuple(word for layer in random.choice(_LAYERS) for word in ("--layer", layer))
        beside = {}
        if seed.profile and command[0] in _WITH_PROFILE:
            command += ("--profile", "small.toml")
            beside = {"small.toml": _PROFILE}
        return Case(bytes(data), (command,), _TIMEOUT_S, DEFAULT_RAM.end, f"{seed.name} {command[0]}", beside)

    def run(self, case: Case, meter: Meter, _number: int) -> str:
        return run_commands(case, self.suffix, meter)


def _sections(data: bytes) -> tuple[_Section, ...]:
    (table,) = struct.unpack_from("<I", data, E_SHOFF)
    size, count, names_index = struct.unpack_from("<HHH", data, E_SHSTRNDX - 4)
    rows = [SHDR.unpack_from(data, table + size * index) for index in range(count)]
    names = rows[names_index][4]

    def name(row: tuple[int, ...]) -> str:
        return data[names + row[0] : data.index(b"\0", names + row[0])].decode()

    nobits = 8
    return tuple(
        _Section(name(row), table + size * index, row[4], 0 if row[1] == nobits else row[5])
        for index, row in enumerate(rows)
    )


def _value(random: Random, size: int) -> int:
    kind = random.randrange(4)
    if kind == 0:
        return random.getrandbits(32)
    return max(0, size + random.randint(-2, 2)) if kind == 1 else random.choice(_WORDS)


def _put(random: Random, data: bytearray, offset: int) -> None:
    """Change the field at an offset: to something of interest, or by a little."""
    width = random.choice((1, 2, 4, 4, 4))
    old = int.from_bytes(data[offset : offset + width], "little")
    new = (
        old + random.choice((-1, 1, 4, 1 << 16, 1 << 31))
        if random.randrange(3) == 0
        else _value(random, len(data))
    )
    data[offset : offset + width] = (new & (1 << 8 * width) - 1).to_bytes(width, "little")[
        : max(0, len(data) - offset)
    ]


def _header(random: Random, data: bytearray, _seed: _Seed) -> None:
    _put(random, data, random.randrange(EHDR.size) & ~1)


def _program_header(random: Random, data: bytearray, seed: _Seed) -> None:
    count = struct.unpack_from("<H", seed.data, 44)[0]
    _put(random, data, EHDR.size + 4 * random.randrange(count * PHDR.size // 4))


def _section_header(random: Random, data: bytearray, seed: _Seed) -> None:
    _put(random, data, random.choice(seed.sections).header + 4 * random.randrange(SHDR.size // 4))


def _in_section(*names: str) -> Callable[[Random, bytearray, _Seed], None]:
    """Return a function that damages one of the sections with these names."""

    def damage(random: Random, data: bytearray, seed: _Seed) -> None:
        sections = [each for each in seed.sections if each.size and each.name.startswith(names)]
        if not sections:
            return
        section = random.choice(sections)
        for _ in range(random.choice((1, 2, 8))):
            offset = section.offset + random.randrange(section.size)
            if random.randrange(2):
                _put(random, data, offset & ~3)
            else:
                new = random.randbytes(random.randint(1, 6))
                data[offset : offset + len(new)] = new

    return damage


def _multiboot(random: Random, data: bytearray, seed: _Seed) -> None:
    offset = seed.data.find(_HEADER_MAGIC)
    if offset >= 0:
        _put(random, data, offset + 4 * random.randrange(12))


def _anywhere(random: Random, data: bytearray, _seed: _Seed) -> None:
    for _ in range(random.choice((1, 4, 16))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _cut(random: Random, data: bytearray, _seed: _Seed) -> None:
    del data[random.randrange(len(data)) :]


def _moved(random: Random, data: bytearray, _seed: _Seed) -> None:
    size = random.randint(1, 4096)
    source, offset = random.randrange(len(data)), random.randrange(len(data))
    piece = data[source : source + size]
    if random.randrange(2):
        data[offset : offset + len(piece)] = piece
    else:
        data[offset:offset] = piece


_DAMAGE = (
    _header,
    _program_header,
    _section_header,
    _in_section(".symtab", ".strtab", ".shstrtab"),
    _in_section(".debug"),
    _in_section(".eh_frame", ".debug_frame"),
    _in_section(".data", ".rodata"),
    _in_section(".text"),
    _multiboot,
    _anywhere,
    _cut,
    _moved,
)
_SHARES = (4, 8, 8, 8, 8, 8, 5, 14, 5, 4, 2, 2)
