"""The programs of call frame information: how to find a function's caller at each of its instructions.

A program of small instructions changes a row of rules as the address advances. Only what i386 needs is kept: the rules for
the CFA (the stack pointer of the caller after its call), for the registers that a function keeps for its caller, and for the return address.

Decoded here and not by pyelftools, which keeps a rule for every register number that a file names: 64 KiB can make it fill
all memory. Here time and memory stay in proportion to the bytes that are read.

Source: DWARF 5, section 6.4.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from emulator.loader.dwarf.byte_reader import ByteReader, Damaged

# Numbers of registers, System V ABI for i386, figure 2.14.
EBX: Final = 3
ESP: Final = 4
EBP: Final = 5
ESI: Final = 6
EDI: Final = 7
RETURN_ADDRESS: Final = 8

_UNKNOWN_REGISTER: Final = -1

# Instructions with an operand in the lower six bits.
_ADVANCE: Final = 0x40
_OFFSET: Final = 0x80
_RESTORE: Final = 0xC0

#: Where the caller's value of a register is: at this offset from the CFA, 0 for in the register itself, None for
#: elsewhere.
SavedAt = int | None


class Rules(NamedTuple):
    """How to find the caller at some instruction.

    Attributes:
        register: Number of the register that the CFA is computed from; -1 where it is computed in another way.
        offset: What is added to it.
        ebp: Where the caller's EBP is.
        return_address: Where the return address is.
        ebx: Where the caller's EBX is.
        esi: Where the caller's ESI is.
        edi: Where the caller's EDI is.
    """

    register: int
    offset: int
    ebp: SavedAt
    return_address: SavedAt
    ebx: SavedAt = 0
    esi: SavedAt = 0
    edi: SavedAt = 0


_KEPT: Final = (EBP, RETURN_ADDRESS, EBX, ESI, EDI)  # as in `Rules`
NO_RULES: Final = Rules(_UNKNOWN_REGISTER, 0, 0, 0)


class Program:
    """Runs one program.

    Args:
        reader: Its bytes.
        factors: Of the CIE: what differences of addresses are multiplied with, and what offsets are.
        initial: The rules that it begins with.
        location: The address that it begins with.

    Attributes:
        rows: Address and rules, by address; the first row of an address counts for nothing if there is another.

    Raises:
        Damaged: It is no program.
    """

    def __init__(self, reader: ByteReader, factors: tuple[int, int], initial: Rules, location: int) -> None:
        self.rows: list[tuple[int, Rules]] = []
        self._reader = reader
        self._code_factor, self._data_factor = factors
        self._initial = dict(zip(_KEPT, initial[2:], strict=True))
        self._location = location
        self._register, self._offset = initial.register, initial.offset
        self._saved = dict(self._initial)
        self._remembered: list[tuple[int, int, dict[int, SavedAt]]] = []
        while reader.position < reader.end:
            self._step()
        self._emit()

    @property
    def rules(self) -> Rules:
        """The rules at the end."""
        return self.rows[-1][1]

    def _step(self) -> None:
        opcode = self._reader.unsigned(1)
        kind, operand = opcode & 0xC0, opcode & 0x3F
        if kind == _ADVANCE:
            self._advance(operand)
        elif kind == _OFFSET:
            self._save(operand, self._reader.uleb())
        elif kind == _RESTORE:
            self._restore(operand)
        else:
            self._run_operation(opcode)

    def _emit(self) -> None:
        self.rows.append((self._location, Rules(self._register, self._offset, *self._saved.values())))

    def _advance(self, distance: int) -> None:
        self._emit()
        self._location += distance * self._code_factor

    def _set_location(self, address: int) -> None:
        if address < self._location:
            raise Damaged
        self._emit()
        self._location = address

    def _put(self, register: int, saved_at: SavedAt) -> None:
        if register in self._saved:
            self._saved[register] = saved_at

    def _save(self, register: int, factored: int) -> None:
        self._put(register, factored * self._data_factor or None)  # at the CFA itself nothing is saved

    def _restore(self, register: int) -> None:
        self._put(register, self._initial.get(register))

    def _run_operation(self, opcode: int) -> None:  # noqa: C901, PLR0912 - one case for each instruction
        """Run an instruction whose operands follow it (DWARF 5, section 7.24)."""
        read = self._reader
        match opcode:
            case 0x00:  # nop
                pass
            case 0x01:  # set_loc
                self._set_location(read.unsigned(4))
            case 0x02 | 0x03 | 0x04:  # advance_loc1, advance_loc2, advance_loc4
                self._advance(read.unsigned(1 << (opcode - 2)))
            case 0x05:  # offset_extended
                self._save(read.uleb(), read.uleb())
            case 0x06:  # restore_extended
                self._restore(read.uleb())
            case 0x07:  # undefined
                self._put(read.uleb(), None)
            case 0x08:  # same_value
                self._put(read.uleb(), 0)
            case 0x0A:  # remember_state
                self._remembered.append((self._register, self._offset, dict(self._saved)))
            case 0x0B:  # restore_state
                if not self._remembered:
                    raise Damaged
                self._register, self._offset, self._saved = self._remembered.pop()
            case 0x0C:  # def_cfa
                self._register, self._offset = read.uleb(), read.uleb()
            case 0x0D:  # def_cfa_register
                self._register = read.uleb()
            case 0x0E:  # def_cfa_offset
                self._offset = read.uleb()
            case 0x0F:  # def_cfa_expression
                self._register = _UNKNOWN_REGISTER
                read.take(read.uleb())
            case 0x10 | 0x16:  # expression, val_expression
                self._put(read.uleb(), None)
                read.take(read.uleb())
            case 0x11:  # offset_extended_sf
                self._save(read.uleb(), read.sleb())
            case 0x12:  # def_cfa_sf
                self._register, self._offset = read.uleb(), read.sleb() * self._data_factor
            case 0x13:  # def_cfa_offset_sf
                self._offset = read.sleb() * self._data_factor
            case 0x09 | 0x14 | 0x15:  # register, val_offset, val_offset_sf
                self._put(read.uleb(), None)
                read.uleb()
            case 0x2E:  # GNU_args_size
                read.uleb()
            case 0x2F:  # GNU_negative_offset_extended
                self._save(read.uleb(), -read.uleb())
            case _:
                raise Damaged
