from __future__ import annotations

import pytest

from emulator.devices.keyboard.typist import Typist

MS = 1_000_000


def interrupted(typist: Typist, until_ns: int, *, heard: bool = True) -> list[tuple[int, bytes]]:
    """Let time pass for a guest that takes interrupts; return when which key moved, in ms."""
    moved = []
    while (due := typist.next_look_ns()) is not None and due <= until_ns:
        key = typist.look(due, heard=heard)
        if key:
            moved.append((due // MS, key))
    return moved


def test_the_first_key_waits_for_half_a_second_of_listening_and_others_for_the_pace() -> None:
    typist = Typist((b"a", b"b", b"", b"c"))
    assert interrupted(typist, 2000 * MS) == [(500, b"a"), (525, b"b"), (1550, b"c")]
    assert not typist.waits


def test_nothing_is_typed_while_nobody_listens() -> None:
    typist = Typist((b"a",))
    assert interrupted(typist, 2000 * MS, heard=False) == []
    assert interrupted(typist, 3000 * MS) == [(2500, b"a")]


def test_a_guest_that_polls_gets_a_key_when_it_has_asked_for_a_while() -> None:
    typist = Typist((b"a", b"b"))
    assert typist.next_poll_ns() == 0
    assert typist.polled(7 * MS) == b""
    assert typist.next_poll_ns() == 57 * MS
    assert typist.polled(57 * MS - 1) == b""
    assert typist.polled(57 * MS) == b"a"
    assert typist.polled(81 * MS) == b""
    assert typist.polled(82 * MS) == b"b"
    assert typist.next_poll_ns() is None
    assert typist.polled(200 * MS) == b""


def test_a_guest_that_waits_for_an_answer_gets_no_key_for_one() -> None:
    typist = Typist((b"a",))
    typist.polled(0)
    typist.commanded()
    assert typist.polled(60 * MS) == b""
    assert typist.polled(110 * MS) == b"a"


def test_looks_do_not_hold_up_a_guest_that_polls() -> None:
    typist = Typist((b"a",))
    typist.polled(0)
    typist.look(50 * MS, heard=False)
    assert typist.polled(50 * MS) == b"a"


def test_its_state_can_be_kept() -> None:
    typist = Typist((b"a",))
    typist.type((b"b",))
    state = typist.save()
    assert interrupted(typist, 1000 * MS) == [(500, b"a"), (525, b"b")]
    typist.restore(state)
    assert interrupted(typist, 1000 * MS) == [(500, b"a"), (525, b"b")]
    with pytest.raises(TypeError, match=r"^not a state of Typist: 3$"):
        typist.restore(3)
