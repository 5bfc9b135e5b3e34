"""Reads the information of Multiboot 1 as a kernel does."""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from emulator.boot_protocol.multiboot1_info import InfoFlags
from emulator.boot_protocol.pc_memory import MemoryRegion

_WORDS = struct.Struct("<29I")
_FLAGS, _MEM_LOWER, _MEM_UPPER, _BOOT_DEVICE, _CMDLINE, _MODS_COUNT, _MODS_ADDR = 0, 1, 2, 3, 4, 5, 6
_MMAP_LENGTH, _MMAP_ADDR, _LOADER_NAME = 11, 12, 16
_MODULE = struct.Struct("<IIII")  # start, end, string, reserved
_REGION = struct.Struct("<IQQI")  # bytes that follow, base, length, type
_AVAILABLE = 1


class Reader(Protocol):
    """Physical memory that can be read."""

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes."""


class PlacedModule(NamedTuple):
    """A module as the kernel finds it: `[start, end)`, physical."""

    start: int
    end: int
    text: str


class BootInfo(NamedTuple):
    """The information as the kernel reads it; parts that are not there are empty or 0.

    Attributes:
        flags: Which parts are there.
        mem_lower: KiB from address 0.
        mem_upper: KiB from 1 MiB.
        boot_device: Drive and partitions.
    """

    flags: InfoFlags
    mem_lower: int
    mem_upper: int
    boot_device: int
    command_line: str
    loader_name: str
    modules: tuple[PlacedModule, ...]
    memory_map: tuple[MemoryRegion, ...]


def read_boot_info(memory: Reader, address: int) -> BootInfo:
    """Read the information back. It is trusted to be well formed."""
    words = _WORDS.unpack(memory.read(address, _WORDS.size))
    flags = InfoFlags(words[_FLAGS])
    modules = memory.read(words[_MODS_ADDR], words[_MODS_COUNT] * _MODULE.size)
    regions = memory.read(words[_MMAP_ADDR], words[_MMAP_LENGTH])
    return BootInfo(
        flags=flags,
        mem_lower=words[_MEM_LOWER],
        mem_upper=words[_MEM_UPPER],
        boot_device=words[_BOOT_DEVICE],
        command_line=_read_text(memory, words[_CMDLINE]) if InfoFlags.COMMAND_LINE in flags else "",
        loader_name=_read_text(memory, words[_LOADER_NAME]) if InfoFlags.LOADER_NAME in flags else "",
        modules=tuple(
            PlacedModule(start, end, _read_text(memory, text))
            for start, end, text, _ in _MODULE.iter_unpack(modules)
        ),
        memory_map=tuple(
            MemoryRegion(base, base + length, available=kind == _AVAILABLE)
            for _, base, length, kind in _REGION.iter_unpack(regions)
        ),
    )


def _read_text(memory: Reader, address: int) -> str:
    text = bytearray()
    while byte := memory.read(address + len(text), 1).strip(b"\0"):
        text += byte
    return text.decode("utf-8", "surrogateescape")
