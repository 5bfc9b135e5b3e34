"""Builds DWARF line programs byte by byte."""

from __future__ import annotations

import struct

OPCODE_BASE = 13
OPERANDS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
LINE_BASE, LINE_RANGE = -5, 14

COPY, ADVANCE_PC, ADVANCE_LINE, SET_FILE, SET_COLUMN = 1, 2, 3, 4, 5
CONST_ADD_PC, FIXED_ADVANCE_PC = 8, 9
END = b"\x00\x01\x01"
DISCRIMINATOR = b"\x00\x02\x04\x07"


def uleb(value: int) -> bytes:
    """Encode an unsigned number."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def at(address: int) -> bytes:
    """Set the address."""
    return b"\x00\x05\x02" + struct.pack("<I", address)


def step(addresses: int, lines: int) -> bytes:
    """Advance both and write a row, as one special opcode."""
    assert LINE_BASE <= lines < LINE_BASE + LINE_RANGE
    return bytes([OPCODE_BASE + addresses * LINE_RANGE + lines - LINE_BASE])


def unit(version: int, tables: bytes, program: bytes) -> bytes:
    """Return a unit of .debug_line from its directory and file tables and its program."""
    operations = b"\x01" if version > 3 else b""
    fixed = (
        b"\x01" + operations + b"\x01" + struct.pack("<bBB", LINE_BASE, LINE_RANGE, OPCODE_BASE) + OPERANDS
    )
    header = fixed + tables
    sizes = b"\x04\x00" if version == 5 else b""
    body = struct.pack("<H", version) + sizes + struct.pack("<I", len(header)) + header + program
    return struct.pack("<I", len(body)) + body


TABLES_2 = b"common\0" + b"\0" + b"demo.c\0\x00\x00\x00" + b"entry.S\0\x01\x00\x00" + b"\0"
# Directories: line_strp; files: line_strp and a one-byte directory.
LINE_STR = b"platform\0common\0demo.c\0entry.S\0"
TABLES_5 = (
    b"\x01\x01\x1f\x02"
    + struct.pack("<II", 0, 9)
    + b"\x02\x01\x1f\x02\x0b\x02"
    + struct.pack("<IBIB", 16, 0, 23, 1)
)
