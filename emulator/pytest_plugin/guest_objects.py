"""Variables of the kernel by name, with their types from DWARF: drgn looks into guest memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from drgn import Object, Program

    from emulator.machine.machine import Machine

_ADDRESSES = 1 << 32


class NoObject(EmulatorError):
    """A variable of the kernel cannot be looked at; one line that says why."""


class GuestObjects:
    """The kernel's variables, as they are in memory at the moment they are looked at.

    Args:
        machine: Whose memory.

    Raises:
        NoObject: drgn is not installed, or cannot read the kernel's file.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._program = self._open()

    def __getitem__(self, name: str) -> Object:
        """Return a variable or function by name.

        Raises:
            NoObject: The debug information has none of this name.
        """
        path = self._machine.image.path
        try:
            return self._program.object(name)
        except LookupError:
            raise NoObject(f"{path}: no variable {name!r} in its debug information") from None

    def _open(self) -> Program:
        try:
            from drgn import Architecture, Platform, PlatformFlags, Program
        except ImportError:
            raise NoObject("kernel.object() needs drgn: pip install 'kmemu[drgn]'") from None
        program = Program(Platform(Architecture.I386, PlatformFlags.IS_LITTLE_ENDIAN))
        program.add_memory_segment(0, _ADDRESSES, self._read, physical=False)
        image = self._machine.image
        module = program.extra_module(Path(image.path).name, create=True)
        start = min(segment.virtual for segment in image.segments)
        end = max(segment.virtual + segment.size for segment in image.segments)
        module.address_range = (start, end)
        try:
            module.try_file(image.path, force=True)
        except Exception as error:  # noqa: BLE001 - drgn raises plain Exception
            raise NoObject(f"{image.path}: drgn cannot read its debug information: {error}") from None
        return program

    def _read(self, address: int, count: int, _offset: int, _physical: bool) -> bytes:  # noqa: FBT001 - drgn's
        from drgn import FaultError

        data = self._machine.read_linear(address, count)
        if len(data) < count:
            raise FaultError("not mapped", address + len(data))
        return data
