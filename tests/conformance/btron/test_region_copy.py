"""Spec 2.5: copies between a task's space and the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE
from tests.conformance.btron.user_space import (
    BUFFER,
    DATA,
    E_MACV,
    E_OK,
    E_PAR,
    NOBODY,
    READ,
    START,
    TEXT,
    USER_END,
    A,
    fill,
    kernel_address,
    mapped,
    pages_of,
    refused,
)

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest


def contents(guest: Guest) -> bytes:
    """Return what the mapped pages of task A hold, one after the other."""
    return b"".join(guest.memory.read(frame * PAGE, PAGE) for frame in pages_of(guest, A))


def buffer_of(guest: Guest, size: int) -> int:
    """Return the kernel address of some pages of junk, the one before and the one after them included."""
    address = guest.call("pmem_alloc", size + 2 * PAGE)
    guest.memory.write(address & 0x7FFFFFFF, bytes(range(1, 252)) * ((size + 2 * PAGE) // 251))
    return address + PAGE


RANGES = [
    (0, 1),
    (1, PAGE - 2),
    (0, PAGE),
    (PAGE - 1, 2),
    (PAGE - 3, PAGE + 7),
    (0, 3 * PAGE),
    (1, 3 * PAGE - 1),
    (3 * PAGE - 1, 1),
]


@pytest.mark.parametrize(("offset", "size"), RANGES)
def test_bytes_are_got(spaces: Guest, offset: int, size: int) -> None:
    mapped(spaces, size=3 * PAGE)
    fill(spaces)
    buffer = buffer_of(spaces, size)
    before, space = spaces.memory.read(buffer - 16 & 0x7FFFFFFF, size + 32), contents(spaces)
    assert spaces.er("vget_reg", A, START + offset, size, buffer) == E_OK
    after = before[:16] + space[offset : offset + size] + before[16 + size :]
    assert spaces.memory.read(buffer - 16 & 0x7FFFFFFF, size + 32) == after
    assert contents(spaces) == space


@pytest.mark.parametrize(("offset", "size"), RANGES)
def test_bytes_are_put(spaces: Guest, offset: int, size: int) -> None:
    mapped(spaces, size=3 * PAGE)
    fill(spaces)
    buffer = buffer_of(spaces, size)
    data, space = spaces.memory.read(buffer & 0x7FFFFFFF, size), contents(spaces)
    assert spaces.er("vput_reg", A, START + offset, size, buffer) == E_OK
    assert contents(spaces) == space[:offset] + data + space[offset + size :]


@pytest.mark.parametrize("name", ["vget_reg", "vput_reg"])
@pytest.mark.parametrize("hole", [0, 1, 2])
def test_nothing_moves_over_a_hole(spaces: Guest, name: str, hole: int) -> None:
    mapped(spaces, size=3 * PAGE)
    assert spaces.er("vunm_reg", A, START + hole * PAGE, PAGE) == E_OK
    fill(spaces)
    buffer = buffer_of(spaces, 3 * PAGE)
    refused(spaces, E_MACV, name, A, START, 3 * PAGE, buffer)
    refused(spaces, E_MACV, name, A, START + hole * PAGE, 1, buffer)
    refused(spaces, E_MACV, name, A, START + 3 * PAGE, 1, buffer)


@pytest.mark.parametrize("name", ["vget_reg", "vput_reg"])
def test_a_range_may_go_over_regions_but_not_beyond(spaces: Guest, name: str) -> None:
    mapped(spaces, size=4 * PAGE)
    mapped(spaces, start=START + 4 * PAGE, size=4 * PAGE)
    buffer = buffer_of(spaces, 9 * PAGE)
    assert spaces.er(name, A, START, 8 * PAGE, buffer) == E_OK
    refused(spaces, E_MACV, name, A, START, 8 * PAGE + 1, buffer)
    refused(spaces, E_MACV, name, A, START - 1, 2, buffer)


@pytest.mark.parametrize("access", [READ, TEXT & ~4])
def test_nothing_is_put_where_it_may_not_be_written(spaces: Guest, access: int) -> None:
    mapped(spaces, size=PAGE)
    assert spaces.er("vmap_reg", A, START + PAGE, PAGE, access) == E_OK
    fill(spaces)
    buffer = buffer_of(spaces, 2 * PAGE)
    refused(spaces, E_MACV, "vput_reg", A, START, 2 * PAGE, buffer)
    refused(spaces, E_MACV, "vput_reg", A, START + PAGE, 1, buffer)
    assert spaces.er("vget_reg", A, START, 2 * PAGE, buffer) == E_OK
    assert spaces.er("vput_reg", A, START, PAGE, buffer) == E_OK
    assert spaces.er("vprt_reg", A, START, READ) == E_OK
    refused(spaces, E_MACV, "vput_reg", A, START, 1, buffer)


@pytest.mark.parametrize("name", ["vget_reg", "vput_reg"])
@pytest.mark.parametrize(
    ("start", "size", "buffer"),
    [
        (START, 0, BUFFER),
        (START, -1, BUFFER),
        (START, -0x8000_0000, BUFFER),
        (USER_END, 1, BUFFER),
        (0xFFFF_FFFF, 1, BUFFER),
        (USER_END - 1, 2, BUFFER),
        (USER_END - 1, 0x7FFF_FFFF, BUFFER),
        (START, 1, 0),
        (START, 1, 0x7FFF_FFFF),
        (START, 2, 0xFFFF_FFFF),
        (START, 2 * PAGE, 0xFFFF_F000),
        (START, 0x7FFF_FFFF - START, 0x8000_0000 + START + 2),
    ],
)
def test_ranges_that_cannot_be(spaces: Guest, name: str, start: int, size: int, buffer: int) -> None:
    mapped(spaces)
    for task in (A, NOBODY):
        refused(spaces, E_PAR, name, task, start, size, buffer)


@pytest.mark.parametrize("name", ["vget_reg", "vput_reg"])
def test_the_end_of_user_space_can_be_copied(spaces: Guest, name: str) -> None:
    assert spaces.er("vcre_reg", A, USER_END - PAGE, PAGE, PAGE, DATA, 0) == E_OK
    refused(spaces, E_MACV, name, A, USER_END - 1, 1, BUFFER)
    for buffer in (KERNEL, 0xFFFF_FFFF):  # the first and the last byte of kernel space
        refused(spaces, E_MACV, name, A, USER_END - 1, 1, buffer)
    assert spaces.er("vmap_reg", A, USER_END - PAGE, PAGE, DATA) == E_OK
    assert spaces.er(name, A, USER_END - 4, 4, BUFFER) == E_OK


@pytest.mark.parametrize("name", ["vget_reg", "vput_reg"])
@pytest.mark.parametrize("shift", [-3, 0, 5])
def test_a_buffer_on_the_same_page_is_moved_as_a_whole(spaces: Guest, name: str, shift: int) -> None:
    mapped(spaces, size=PAGE)
    (frame,) = pages_of(spaces, A)
    spaces.memory.write(frame * PAGE, bytes(range(256)) * 16)
    before = bytearray(spaces.memory.read(frame * PAGE, PAGE))
    assert spaces.er(name, A, START + 100, 64, kernel_address(frame) + 100 + shift) == E_OK
    source, target = (100, 100 + shift) if name == "vget_reg" else (100 + shift, 100)
    before[target : target + 64] = bytes(before[source : source + 64])
    assert spaces.memory.read(frame * PAGE, PAGE) == bytes(before)


def test_a_page_table_can_be_the_buffer(spaces: Guest) -> None:
    """What is copied from the second page on is what the entries say by then."""
    mapped(spaces, start=START + PAGE, size=3 * PAGE)
    fill(spaces)
    first, _, third = pages_of(spaces, A)
    table = spaces.words_of_page(spaces.space(A)["directory"])[1] & -PAGE
    spaces.memory.store_words(
        first * PAGE + PAGE - 16, [first << 12 | 7, third << 12 | 7, third << 12 | 7, 0]
    )
    assert spaces.er("vget_reg", A, START + 2 * PAGE - 16, 32, kernel_address(table // PAGE)) == E_OK
    assert spaces.memory.read(table + 16, 16) == spaces.memory.read(third * PAGE, 16)
