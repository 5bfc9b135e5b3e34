from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.debug.gdb.bytecode import BadExpression, Expression, conditions

END = "27"
WORDS = {0x1000: 0xFFFF_FFF0, 0x1004: 7}


def load(address: int, size: int) -> int:
    if address not in WORDS:
        raise BadExpression(f"nothing is mapped at 0x{address:08x}")
    return WORDS[address] & (1 << 8 * size) - 1


def value(code: str) -> int:
    return Expression(bytes.fromhex(code)).value(lambda number: 0x1000 + 4 * number, load)


def const(number: int) -> str:
    return "25" + (number % (1 << 64)).to_bytes(8, "big").hex()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("22 ff", 0xFF),
        ("23 0102", 0x102),
        ("24 01020304", 0x1020304),
        ("22 05 22 03 02", 8),
        ("22 05 22 03 03", 2),
        ("22 03 22 05 03", -2),
        ("22 05 22 03 04", 15),
        (const(-7) + "22 02 05", -3),
        (const(-7) + "22 02 06", (2**64 - 7) // 2),
        (const(-7) + "22 02 07", -1),
        ("22 07 22 04 08", 3),
        ("22 01 22 04 09", 16),
        (const(-16) + "22 02 0a", -4),
        (const(-16) + "22 3c 0b", 15),
        ("22 00 0e", 1),
        ("22 09 0e", 0),
        ("22 0c 22 0a 0f", 8),
        ("22 0c 22 0a 10", 14),
        ("22 0c 22 0a 11", 6),
        ("22 00 12", -1),
        ("22 04 22 04 13", 1),
        (const(-1) + "22 04 14", 1),
        (const(-1) + "22 04 15", 0),
        ("22 ff 16 08", -1),
        ("22 7f 16 08", 0x7F),
        (const(-1) + "2a 20", 0xFFFF_FFFF),
        ("26 0001", 0x1004),
        ("26 0001 19", 7),
        ("23 1000 17", 0xF0),
        ("23 1000 18", 0xFFF0),
        ("23 1000 19 16 20", -16),
        ("22 01 28 02", 2),
        ("22 01 22 02 29", 1),
        ("22 01 22 02 2b 03", 1),  # 2 - 1
        ("22 01 22 02 32 01 02 02", 4),  # 1 + (2 + 1)
        ("22 01 22 02 22 03 33 03 03", 4),  # 3 - (1 - 2)
        ("22 01 20 0008 22 05 27 22 06", 5 + 1),
        ("22 00 20 0008 22 05 27 22 06", 5),
        ("21 0004 27 22 06", 6),
    ],
)
def test_operations_do_what_their_description_says(code: str, expected: int) -> None:
    assert value(code + END) == expected % (1 << 64)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "there is no operation 0x01"),
        ("22", "the operation 0x22 is broken off"),
        ("26 00", "the operation 0x26 is broken off"),
        ("fe", "there is no operation 0xfe"),
        ("34", "there is no operation 0x34"),
    ],
)
def test_what_is_no_expression_is_refused(code: str, message: str) -> None:
    with pytest.raises(BadExpression, match=f"^{message}$"):
        Expression(bytes.fromhex(code or "01"))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (END, "its stack is empty"),
        ("02" + END, "its stack is empty"),
        ("2b" + END, "its stack has 0 of 2 values"),
        ("22 01 32 04" + END, "its stack has 1 of 5 values"),
        ("22 01", "there is no operation at 2"),
        ("21 0001", "there is no operation at 1"),
        ("21 0000", "it does not end"),
        ("22 01 21 0000", "its stack overflows"),
        ("22 01 22 00 05" + END, "it divides by zero"),
        ("22 01 22 00 08" + END, "it divides by zero"),
        ("22 00 19" + END, "nothing is mapped at 0x00000000"),
    ],
)
def test_what_has_no_value_says_why(code: str, message: str) -> None:
    with pytest.raises(BadExpression, match=f"^{message}$"):
        value(code)


@given(st.binary(max_size=40))
def test_any_code_has_a_value_of_64_bits_or_none(code: bytes) -> None:
    try:
        found = value(code.hex())
    except BadExpression:
        return
    assert 0 <= found < 1 << 64


def test_conditions_are_read() -> None:
    found = conditions([b"X3,220127", b"X1,27"])
    assert found[0].value(lambda _: 0, load) == 1


@pytest.mark.parametrize("text", [b"", b"X", b"X1", b"X1,", b"X2,27", b"Y1,27", b"X1,zz", b"X1,2", b"Xx,27"])
def test_conditions_that_are_none_are_refused(text: bytes) -> None:
    with pytest.raises(BadExpression):
        conditions([text])
