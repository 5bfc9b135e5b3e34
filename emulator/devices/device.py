"""What a device is to the machine: some I/O ports, and a state that snapshots keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FastPort(NamedTuple):
    """What the native core may do at a port, for one-byte accesses, without asking the device.

    Attributes:
        sink: A byte written is console output and has no other effect.
        ignores: A byte written has no effect.
        constant: A read gives this byte and has no effect; None: reads must ask.
        clock_hz: A read of any size gives the virtual time in clocks of this frequency, of which there are 24 bits; None: it does not.
        until_ns: From this virtual time on, such a read asks the device nevertheless; None: never.
    """

    sink: bool = False
    ignores: bool = False
    constant: int | None = None
    clock_hz: int | None = None
    until_ns: int | None = None


class Device(Protocol):
    """A device on the I/O bus."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports it answers at; they never change."""

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`.

        Args:
            port: One of `ports`, where the access begins.
            size: 1, 2 or 4 bytes.
        """

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`.

        Args:
            port: One of `ports`, where the access begins.
            size: 1, 2 or 4 bytes.
            value: Unsigned, less than 2 ** (8 * size).
        """

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Say which ports need no asking at this moment.

        The answer may change with every `read_port`, `write_port` and `restore`, and wherever a device says so.
        """

    def save(self) -> object:
        """Return the state. It is immutable and can be restored any number of times."""

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""


class DataPort(Protocol):
    """A port through which a block of bytes passes, in accesses of 2 or 4 bytes.

    Bytes `[position, end)` of the buffer are still to pass. The machine may move them by itself, all but the last access: that one
    asks the device, and so do accesses that do not fit. Nothing passes while `position` equals `end`.

    Attributes:
        buffer: 8192 bytes.
        position: Where the next access begins.
        end: Where the block ends.
        to_guest: Whether the guest reads the bytes; else it writes them.
    """

    @property
    def buffer(self) -> memoryview: ...  # noqa: D102 - see above

    position: int
    end: int
    to_guest: bool


class MemoryDevice(Device, Protocol):
    """A device that has registers in memory, too."""

    def read_memory(self, offset: int, size: int) -> int:
        """Answer a load.

        Args:
            offset: From the start of its window.
            size: 1, 2 or 4 bytes; aligned. Wider and unaligned accesses come as several.
        """

    def fast_words(self) -> Mapping[int, int]:
        """Say what words of 4 bytes read as without asking, by their offsets, which never change.

        The values may change with every `write_memory` and `restore`; then it is another mapping.
        """

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Take a store.

        Args:
            offset: From the start of its window.
            size: 1, 2 or 4 bytes; aligned.
            value: Unsigned, less than 2 ** (8 * size).
        """


class WithoutPorts:
    """What a device that has registers in memory only says of ports."""

    ports = ()

    def read_port(self, port: int, size: int) -> int:
        """It has no ports."""
        raise AssertionError((port, size))

    def write_port(self, port: int, size: int, value: int) -> None:
        """It has no ports."""
        raise AssertionError((port, size, value))

    def fast_ports(self) -> Mapping[int, FastPort]:
        """It has no ports."""
        return {}


def read_bytes(read: Callable[[int], int], port: int, size: int) -> int:
    """Answer a wide `in` as the ISA bus does: byte by byte from consecutive ports, the low byte first."""
    return sum(read(port + index) << (8 * index) for index in range(size))


def write_bytes(write: Callable[[int, int], None], port: int, size: int, value: int) -> None:
    """Take a wide `out` as the ISA bus does: byte by byte to consecutive ports, the low byte first."""
    for index in range(size):
        write(port + index, value >> (8 * index) & 0xFF)
