from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.debug.gdb.packets import PACKET_MAX, Decoder, Mark, encoded


def items(*pieces: bytes) -> list[bytes | Mark]:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)
    return list(iter(decoder.next, None))


def framed(body: bytes) -> bytes:
    return b"$%b#%02x" % (body, sum(body) % 256)


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 7))
def test_what_is_sent_is_received_in_whatever_pieces_it_comes(payloads: list[bytes], size: int) -> None:
    sent = b"+".join(map(encoded, payloads))
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert [each for each in items(*pieces) if each is not Mark.ACK] == payloads


@given(st.binary(max_size=2000))
def test_nothing_upsets_the_decoder(data: bytes) -> None:
    for item in items(data):
        assert isinstance(item, Mark) or framed_in(data, item)


def framed_in(data: bytes, payload: bytes) -> bool:
    return b"$" in data and len(payload) <= PACKET_MAX


def test_runs_of_bytes_are_sent_as_counts() -> None:
    assert encoded(b"0000") == framed(b"0* "), "three more"
    assert encoded(b"000") == framed(b"000"), "a count would be no shorter"
    assert encoded(b"x" * 98) == framed(b"x*~"), "as many as there can be"


@given(st.binary(min_size=1, max_size=1).filter(lambda byte: byte not in b"$#}*"), st.integers(1, 500))
def test_counts_are_printable_and_none_of_the_protocols_own_letters(byte: bytes, count: int) -> None:
    body = encoded(byte * count)[1:-3]
    counts = re.findall(rb"\*(.)", body, re.DOTALL)
    assert all(b" " <= each <= b"~" and each not in b"$#+-" for each in counts)


def test_the_protocols_own_letters_are_escaped() -> None:
    assert encoded(b"a$#}*") == framed(b"a}\x04}\x03}\x5d}\x0a")


@pytest.mark.parametrize(
    "packet",
    [
        b"$g#00",
        b"$g#6",  # and what follows
        b"$g#zz",
        b"$g#\xff\xff",
        framed(b"m0,4}"),
        framed(b"*!"),
        framed(b"a*\x1f"),
        framed(b"a*\x7f"),
        framed(b"0" + b"*~" * (PACKET_MAX // 97 + 1)),
        framed(b"0" * (PACKET_MAX + 1)),
        framed(b"0" * (3 * PACKET_MAX)),
    ],
)
def test_a_packet_that_is_none_is_noted_and_those_after_it_are_received(packet: bytes) -> None:
    assert items(packet + b"$?#3f")[0] is Mark.BAD
    assert items(packet, b"+" + framed(b"?"))[-1] == b"?"


def test_a_packet_that_is_too_long_is_noted_once_while_it_comes() -> None:
    piece = b"0" * (PACKET_MAX // 2 + 1)
    assert items(b"$", piece, piece, piece, piece, piece, b"#", b"0", b"0$?#3f") == [Mark.BAD, b"?"]


def test_a_packet_that_is_broken_off_is_noted() -> None:
    assert items(b"$m0,4$?#3f") == [Mark.BAD, b"?"]


def test_bytes_between_packets_are_signs_or_nothing() -> None:
    assert items(b"+x\x03-\x00$?#3f") == [Mark.ACK, Mark.INTERRUPT, Mark.NACK, b"?"]


def test_a_number_in_a_packet_is_no_interrupt() -> None:
    assert items(framed(b"X0,1:\x03")) == [b"X0,1:\x03"]


def test_an_interrupt_is_seen_ahead_of_what_waits() -> None:
    decoder = Decoder()
    decoder.feed(b"$?#3f\x03")
    assert decoder.take_interrupt()
    assert not decoder.take_interrupt()
    assert decoder.next() == b"?"
    assert decoder.next() is None
