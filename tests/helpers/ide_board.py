"""PCI with an IDE controller and disks, on a board that is no more than what tests look at: memory, interrupts, ports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

from emulator.devices.board import Wires
from emulator.devices.chipset import chipset
from emulator.devices.ide.controller import IdeController
from emulator.devices.pci import Configuration

SECTOR = 512
BASE, SECOND, CONTROL, MASTER = 0x1F0, 0x170, 0x3F6, 0xC000
DATA, ERROR, COUNT, NUMBER, LOW, HIGH, DEVICE, STATUS = range(BASE, BASE + 8)
IDLE, DRQ, FAILED = 0x50, 0x58, 0x41
ABORTED = 0x04
MEMORY_SIZE = 1 << 20


@dataclass
class DataPort:
    """A data port without a machine."""

    port: int
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(8192)))
    position: int = 0
    end: int = 0
    to_guest: bool = True


class Sectors:
    """What a disk holds: bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sectors = len(data) // SECTOR

    def read(self, first: int, count: int) -> bytes:
        assert 0 <= first < first + count <= self.sectors
        return self.data[first * SECTOR : (first + count) * SECTOR]


def numbered(sectors: int) -> bytes:
    """Return sectors that begin with their number, and go on with its lowest byte."""
    return b"".join(
        number.to_bytes(4, "little") + bytes([number & 0xFF]) * (SECTOR - 4) for number in range(sectors)
    )


class IdeBoard:
    """The controller, and what it asks of the rest of the PC.

    Attributes:
        pci: The bus that it is on.
        device: The controller.
        interrupts: How often the line of each channel was raised.
    """

    def __init__(self, *contents: bytes) -> None:
        self.memory = bytearray(MEMORY_SIZE)
        self.interrupts = [0, 0]
        used: dict[str, Any] = {
            "interrupt": lambda: self._interrupt(0),
            "second_interrupt": lambda: self._interrupt(1),
            "read_memory": lambda at, size: bytes(self.memory[at : at + size]).ljust(size, b"\0"),
            "write_memory": self._write_memory,
            "data_port": DataPort,
        }
        wires = Wires(**(dict.fromkeys(Wires._fields, self._not_used) | used))
        self.pci = Configuration(chipset(), self._not_used)
        self.device = IdeController(wires, self.pci.function(1, 1), [Sectors(each) for each in contents])

    def _not_used(self, *arguments: object) -> NoReturn:
        raise AssertionError(arguments)

    def _interrupt(self, channel: int) -> None:
        self.interrupts[channel] += 1

    def _write_memory(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = data

    def _at(self, port: int) -> Configuration | IdeController:
        return self.pci if port in self.pci.ports else self.device

    def out(self, port: int, value: int, size: int = 1) -> None:
        self._at(port).write_port(port, size, value)

    def read(self, port: int, size: int = 1) -> int:
        return self._at(port).read_port(port, size)

    def status(self) -> int:
        """The alternate status, which leaves the interrupt alone."""
        return self.read(CONTROL)

    def registers(self) -> list[int]:
        """Error to device."""
        return [self.read(port) for port in range(ERROR, STATUS)]

    def give(self, command: int, address: int = 0, count: int = 1, *, device: int = 0xE0) -> None:
        """Give a command with a 28-bit address."""
        self.out(DEVICE, device | address >> 24)
        for port, value in ((COUNT, count), (NUMBER, address), (LOW, address >> 8), (HIGH, address >> 16)):
            self.out(port, value & 0xFF)
        self.out(STATUS, command)

    def give_extended(self, command: int, address: int, count: int = 1) -> None:
        """Give a command with a 48-bit address."""
        self.out(DEVICE, 0xE0)
        for port, value in ((COUNT, count >> 8), (NUMBER, address >> 24), (LOW, address >> 32)):
            self.out(port, value & 0xFF)
        self.out(HIGH, address >> 40)
        for port, value in ((COUNT, count), (NUMBER, address), (LOW, address >> 8), (HIGH, address >> 16)):
            self.out(port, value & 0xFF)
        self.out(STATUS, command)

    def take(self, size: int, width: int = 4) -> bytes:
        """Read from the data port."""
        return b"".join(self.read(DATA, width).to_bytes(width, "little") for _ in range(size // width))

    def put(self, data: bytes, width: int = 4) -> None:
        """Write to the data port."""
        for at in range(0, len(data), width):
            self.out(DATA, int.from_bytes(data[at : at + width], "little"), width)

    def sector(self, number: int) -> bytes:
        """Read a sector."""
        self.give(0x20, number)
        return self.take(SECTOR)

    def start_dma(self, *regions: tuple[int, int], enable: bool = True) -> None:
        """Describe regions of memory (address, length) in a table at 0x1000, and start the bus master."""
        for index, (address, length) in enumerate(regions):
            last = 1 << 63 if index == len(regions) - 1 else 0
            entry = address | (length & 0xFFFF) << 32 | last
            self._write_memory(0x1000 + 8 * index, entry.to_bytes(8, "little"))
        if enable:
            self.out(0xCF8, 0x80000904, 4)
            self.out(0xCFC, 0x07, 2)
        self.out(MASTER + 4, 0x1000, 4)
        self.out(MASTER, 1)
