"""Read a RAM image, written by kmemu or by QEMU's ``dump-guest-memory``. Nothing is believed before it is checked."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import BadFile
from emulator.guest.ram_image import layout
from emulator.loader.files import check_file
from emulator.x86 import WORD_MAX, Cr0, Cr4, Efer
from kernel_model.address_space import AddressSpace
from kernel_model.memory import OutsideMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST: Final = 1 << 33
_NOTES_MAX: Final = 1 << 20  # bytes; of a CPU they have less than a thousand
_PROGRAM_HEADERS_MAX: Final = 4096


class Segment(NamedTuple):
    """RAM `[start, end)`, physical, and where it lies in the file."""

    start: int
    end: int
    offset: int


class ProgramHeader(NamedTuple):
    """What is used of a program header; `size` is that in the file."""

    kind: int
    offset: int
    physical: int
    size: int


class RamImage:
    """A guest's RAM and control registers in a file.

    Args:
        path: Of the file.

    Attributes:
        path: As it was named.
        segments: RAM, by address.
        cr0: CR0, as the next ones.
        cr3: The page directory.
        cr4: Which tell how page tables are read.
        nx: Whether page tables can forbid execution; None: the file does not say.

    Raises:
        BadFile: It cannot be read, or is no RAM image.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            check_file(path, _LARGEST)
            with Path(path).open("rb") as stream:
                self._data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is empty"
            raise BadFile(path, f"cannot be read: {reason}") from error
        headers = self._program_headers()
        self.segments = tuple(sorted(self._segments(headers)))
        if not self.segments:
            raise self._bad("it holds no RAM")
        notes = {name: data for header in headers for name, data in self._notes(header)}
        self.cr0, self.cr3, self.cr4 = self._control(notes.get(layout.QEMU, b""))
        self.nx = self._nx(notes.get(layout.KMEMU, b""))

    @property
    def ram(self) -> tuple[tuple[int, int], ...]:
        """Physical ranges `[start, end)` that the file holds."""
        return tuple((each.start, each.end) for each in self.segments)

    @property
    def is_paged(self) -> bool:
        """Whether paging was on."""
        return bool(self.cr0 & Cr0.PG)

    @property
    def is_pae(self) -> bool:
        """Whether page tables have three levels."""
        return bool(self.cr4 & Cr4.PAE)

    def view(self, address: int, size: int) -> memoryview:
        """Return bytes of RAM; see `kernel_model.memory.Memory.view`.

        Raises:
            OutsideMemory: They are not in the file.
        """
        for start, end, offset in self.segments:
            if start <= address and address + size <= end:
                return self._data[offset + address - start : offset + address - start + size]
        raise OutsideMemory(address, size)

    def address_space(self, directory: int) -> AddressSpace:
        """Return the address space of the page directory at a physical address, read as CR4 says."""
        nx = self.nx is not False
        return AddressSpace(self, directory, pse=bool(self.cr4 & Cr4.PSE), pae=self.is_pae, nx=nx)

    def _bad(self, problem: str) -> BadFile:
        return BadFile(self.path, f"no RAM image, as kmemu boot --save-ram writes it: {problem}")

    def _program_headers(self) -> list[ProgramHeader]:
        data = self._data
        magic = bytes(data[: len(layout.MAGIC)])
        is_64 = magic == layout.MAGIC_64
        whole, each = (
            (layout.HEADER_64, layout.PROGRAM_HEADER_64) if is_64 else (layout.HEADER, layout.PROGRAM_HEADER)
        )
        if magic not in {layout.MAGIC, layout.MAGIC_64} or len(data) < whole.size:
            raise self._bad("no ELF file of a little-endian machine")
        header = whole.unpack_from(data)
        kind, machine, offset, size, count = header[1], header[2], header[5], header[9], header[10]
        if (kind, machine) != (layout.CORE, layout.I386):
            raise self._bad("no core file of an i386")
        if size != each.size or not 0 < count <= _PROGRAM_HEADERS_MAX or offset + size * count > len(data):
            raise self._bad("its program headers are damaged")
        found = (each.unpack_from(data, offset + size * number) for number in range(count))
        return [
            ProgramHeader(one[0], *((one[2], one[4], one[5]) if is_64 else (one[1], one[3], one[4])))
            for one in found
        ]

    def _segments(self, headers: list[ProgramHeader]) -> Iterator[Segment]:
        for kind, offset, physical, size in headers:
            if kind == layout.LOAD and size:
                if offset + size > len(self._data) or physical + size > WORD_MAX + 1:
                    raise self._bad(f"RAM at 0x{physical:08x} is not all in the file")
                yield Segment(physical, physical + size, offset)

    def _notes(self, header: ProgramHeader) -> Iterator[tuple[bytes, bytes]]:
        """Yield name and contents of the notes of a segment, the last one first: the first CPU's counts."""
        kind, at, _, size = header
        if kind != layout.NOTES:
            return
        if size > _NOTES_MAX or at + size > len(self._data):
            raise self._bad("its notes are damaged")
        end, found = at + size, []
        while at + layout.NOTE.size <= end:
            name_size, data_size, _ = layout.NOTE.unpack_from(self._data, at)
            at += layout.NOTE.size
            data_at = at + layout.padded(name_size)
            if data_at + data_size > end:
                raise self._bad("its notes are damaged")
            found.append(
                (bytes(self._data[at : at + name_size]), bytes(self._data[data_at : data_at + data_size]))
            )
            at = data_at + layout.padded(data_size)
        yield from reversed(found)

    def _control(self, note: bytes) -> tuple[int, int, int]:
        """Return CR0, CR3 and CR4."""
        if len(note) < layout.QEMU_STATE.size:
            raise self._bad("it says nothing of control registers")
        cr0, _, _, cr3, cr4 = layout.QEMU_STATE.unpack_from(note)[layout.QEMU_CR0 : layout.QEMU_CR0 + 5]
        return cr0 & WORD_MAX, cr3 & WORD_MAX, cr4 & WORD_MAX

    def _nx(self, note: bytes) -> bool | None:
        if len(note) < layout.KMEMU_STATE.size:
            return None
        return bool(layout.KMEMU_STATE.unpack_from(note)[1] & Efer.NXE)
