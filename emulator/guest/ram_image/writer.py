"""Write a machine's RAM as an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.ram_image import layout
from emulator.machine.address_map import VGA_START
from emulator.x86 import PAGE_SIZE, Efer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from emulator.machine.machine import Machine

_FLAGS: Final = 7  # readable, writable, executable
_PIECE: Final = 1 << 20  # bytes looked at and written together
_ZEROS: Final = bytes(_PIECE)


def write_ram(machine: Machine, stream: BinaryIO) -> None:
    """Write RAM and control registers of a stopped machine. What is zero becomes a hole, where the file can have holes.

    Args:
        machine: Stopped.
        stream: Empty.
    """
    spans = ((0, VGA_START), tuple(machine.ram))
    notes = _notes(machine)
    headers_size = layout.HEADER.size + layout.PROGRAM_HEADER.size * (1 + len(spans))
    begin = at = -(-(headers_size + len(notes)) // PAGE_SIZE) * PAGE_SIZE
    headers = [layout.PROGRAM_HEADER.pack(layout.NOTES, headers_size, 0, 0, len(notes), len(notes), 0, 0)]
    for start, end in spans:
        size = end - start
        headers.append(
            layout.PROGRAM_HEADER.pack(layout.LOAD, at, start, start, size, size, _FLAGS, PAGE_SIZE)
        )
        at += size
    stream.write((_header(len(headers)) + b"".join(headers) + notes).ljust(begin, b"\0"))
    for start, end in spans:
        for piece in _pieces(machine, start, end):
            _write_piece(stream, piece)
    if stream.seekable():
        stream.truncate(at)


def _pieces(machine: Machine, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of [start, end). RAM that nobody has touched is not looked at: that would make the host provide it."""
    touched = start
    for address in range(start, end, _PIECE):
        size = min(_PIECE, end - address)
        touched = touched if touched > address else machine.next_touched(address)
        yield machine.memory.read(address, size) if touched < address + size else _ZEROS[:size]


def _write_piece(stream: BinaryIO, piece: bytes) -> None:
    if stream.seekable() and piece == _ZEROS[: len(piece)]:
        stream.seek(len(piece), 1)
    else:
        stream.write(piece)


def _header(count: int) -> bytes:
    return layout.HEADER.pack(
        layout.MAGIC,
        layout.CORE,
        layout.I386,
        1,
        0,
        layout.HEADER.size,
        0,
        0,
        layout.HEADER.size,
        layout.PROGRAM_HEADER.size,
        count,
        0,
        0,
        0,
    )


def _notes(machine: Machine) -> bytes:
    registers = machine.registers()
    general = (
        *(registers.eax, registers.ebx, registers.ecx, registers.edx),
        *(registers.esi, registers.edi, registers.esp, registers.ebp),
        *([0] * 8),
        *(registers.eip, registers.eflags),
    )
    control = (registers.cr0, 0, registers.cr2, registers.cr3, registers.cr4, 0)
    state = layout.QEMU_STATE.pack(layout.QEMU_VERSION, layout.QEMU_STATE.size, *general, *control)
    efer = Efer.NXE if machine.cpu.forbids_execution() else 0
    kmemu = layout.KMEMU_STATE.pack(layout.KMEMU_VERSION, efer)
    return layout.note(layout.QEMU, 0, state) + layout.note(layout.KMEMU, 0, kmemu)
