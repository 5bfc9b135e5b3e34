"""What the BIOS has of the PC: registers of the code that called it, memory, ports.

The BIOS keeps nothing of its own: what it knows lies in its data areas, in memory, and it reaches devices through their ports.
"""

from __future__ import annotations

from typing import Final, NoReturn, Protocol

RETURN, WAIT, LET_IN = 2, 3, 7
"""Where a service's code in ROM goes on: at `iret`; at `sti; hlt`, after which the service is called again; or where interrupts are let
in, and `iret` is after that."""

_CARRY, _ZERO = 0x01, 0x40
_LOW_HALF: Final = 0xFFFF
_FLAGS = 4  # after IP and CS


class Pc(Protocol):
    """The PC, as far as its BIOS sees it.

    Attributes:
        ram_end: Physical end of RAM.
    """

    ram_end: int

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes of memory from a linear address on."""

    def write(self, address: int, data: bytes) -> None:
        """Write to memory from a linear address on."""

    def read_physical(self, address: int, size: int) -> bytes:
        """Return *size* bytes of physical memory; zeroes where none is."""

    def write_physical(self, address: int, data: bytes) -> None:
        """Write to physical memory, where any is."""

    def read_port(self, port: int, size: int = 1) -> int:
        """Read from a port: 1, 2 or 4 bytes."""

    def write_port(self, port: int, value: int, size: int = 1) -> None:
        """Write to a port: 1, 2 or 4 bytes."""

    def has_port(self, port: int) -> bool:
        """Return whether a device answers at a port."""

    def pass_time(self) -> None:
        """Let the virtual time pass that a call takes."""

    def lacks(self, service: str) -> None:
        """Note that a service was asked for that there is none of."""

    def refuse(self, what: str) -> NoReturn:
        """End the run, for kmemu does not have this.

        Raises:
            NotEmulated: Always.
        """


def _word(name: str) -> property:
    """Return the lower half of a register."""

    def read(self: Call) -> int:
        return self.registers[name] & _LOW_HALF

    def write(self: Call, value: int) -> None:
        self.registers[name] = self.registers[name] & ~_LOW_HALF | value & _LOW_HALF

    return property(read, write)


def _byte(name: str, shift: int) -> property:
    """Return a quarter of a register."""

    def read(self: Call) -> int:
        return self.registers[name] >> shift & 0xFF

    def write(self: Call, value: int) -> None:
        self.registers[name] = self.registers[name] & ~(0xFF << shift) | (value & 0xFF) << shift

    return property(read, write)


class Call:
    """A call of the BIOS.

    Args:
        pc: Where it happens.
        registers: Of the caller, by name, with the bases of its segments. The general ones can be changed.

    Attributes:
        vector: Of the interrupt; -1: it is none.
        es: What is to be loaded into ES; None: it stays.
        goes_on: Where the code in ROM goes on: `RETURN`, `WAIT` or `LET_IN`.
    """

    ax, bx, cx, dx = _word("eax"), _word("ebx"), _word("ecx"), _word("edx")
    si, di, bp = _word("esi"), _word("edi"), _word("ebp")
    al, bl, cl, dl = (_byte(name, 0) for name in ("eax", "ebx", "ecx", "edx"))
    ah, bh, ch, dh = (_byte(name, 8) for name in ("eax", "ebx", "ecx", "edx"))

    def __init__(self, pc: Pc, registers: dict[str, int], vector: int) -> None:
        self.pc = pc
        self.registers = registers
        self.vector = vector
        self.es: int | None = None
        self.goes_on = RETURN

    def at(self, segment: str, offset: int) -> int:
        """Return the linear address of what lies in one of the caller's segments."""
        return self.registers[f"{segment}_base"] + (offset & _LOW_HALF)

    def set_carry(self, *, on: bool) -> None:
        """Return with the carry flag so."""
        self._set_flag(_CARRY, on=on)

    def set_zero(self, *, on: bool) -> None:
        """Return with the zero flag so."""
        self._set_flag(_ZERO, on=on)

    def done(self, ah: int = 0) -> None:
        """Return that all is well: carry clear, and AH."""
        self.ah = ah
        self.set_carry(on=False)

    def failed(self, ah: int) -> None:
        """Return an error: carry set, and its number in AH."""
        self.ah = ah
        self.set_carry(on=True)

    def wait(self) -> None:
        """Let the caller wait for an interrupt, after which the service is called again."""
        self.goes_on = WAIT

    def asked_in_vain(self) -> None:
        """Let time pass, and interrupts in: what the caller asks for is not there yet, and it asks again, most likely."""
        self.pc.pass_time()
        self.goes_on = LET_IN

    def lacks(self, *, ah: int | None = 0x86, by: str = "AH") -> None:
        """Note that there is no such service, and return that: carry set, and AH.

        Args:
            ah: None: nothing of that is returned.
            by: What of AX says which service it is.
        """
        number = f"AX={self.ax:04X}" if by == "AX" else f"AH={self.ah:02X}"
        self.pc.lacks(f"int 0x{self.vector:02x}, {number}")
        if ah is not None:
            self.failed(ah)

    def _set_flag(self, flag: int, *, on: bool) -> None:
        at = self.at("ss", self.registers["esp"] + _FLAGS)
        low = self.pc.read(at, 1)[0]
        self.pc.write(at, bytes((low | flag if on else low & ~flag,)))


class DataArea:
    """Numbers in the BIOS's data area.

    Args:
        pc: Whose.
    """

    START: Final = 0x400

    def __init__(self, pc: Pc) -> None:
        self._pc = pc

    def get(self, offset: int, size: int = 1) -> int:
        """Return a number of *size* bytes."""
        return int.from_bytes(self._pc.read(self.START + offset, size), "little")

    def put(self, offset: int, value: int, size: int = 1) -> None:
        """Store a number of *size* bytes."""
        self._pc.write(self.START + offset, value.to_bytes(size, "little"))


def end_of_interrupt(pc: Pc, *, slave: bool = False) -> None:
    """Let the controllers pass the next interrupt."""
    if slave:
        pc.write_port(0xA0, 0x20)
    pc.write_port(0x20, 0x20)
