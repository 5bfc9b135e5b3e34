"""How the bytes around a bad access are drawn."""

from __future__ import annotations

from emulator.check.accesses.shadow_dumps import shadow_dump
from emulator.machine.core.observed import Poison
from tests.unit.check.accesses.examples import ACCESS


def test_each_byte_has_its_state() -> None:
    assert shadow_dump(ACCESS) == (
        " 0x00200000: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  RRRRRRRR........",
        " 0x00200010: 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f  ................",
        ">0x00200020: 20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f  RRRRRRRRFFFFFFFF",
        "             ^^",
        " 0x00200030: 30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  FFFFFFFF--------",
        " each byte: . accessible, F freed, - in no block, R beside a block",
    )


def test_an_access_is_pointed_at_where_its_first_bad_byte_is() -> None:
    across = ACCESS._replace(linear=0x20001E, physical=0x20001E, size=4, offset=2)
    lines = shadow_dump(across)
    assert lines[2].startswith(">0x00200020: ")
    assert lines[3] == "             ^^^^^"
    before = ACCESS._replace(linear=0x200006, physical=0x200006, size=4, offset=0)
    lines = shadow_dump(before)
    assert lines[0].startswith(">0x00200000: ")
    assert lines[1] == " " * (13 + 3 * 6) + "^" * 11


def test_addresses_are_linear() -> None:
    lines = shadow_dump(ACCESS._replace(linear=0xC0200020))
    assert lines[2].startswith(">0xc0200020: 20 21")


def test_only_states_that_are_there_are_explained() -> None:
    lines = shadow_dump(ACCESS._replace(shadow=(*32 * [Poison.ACCESSIBLE], *32 * [Poison.FREED])))
    assert lines[-1] == " each byte: . accessible, F freed"
