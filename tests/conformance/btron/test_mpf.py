"""Spec 2.4: the contracts of memory pools of blocks of one size, without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, SCRATCH, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_OK, E_NOMEM, E_RSATR, E_PAR, E_ID = 0, -10, -24, -33, -35
E_NOEXS, E_OBJ, E_CTX, E_TMOUT = -52, -63, -69, -85
TMPL_OS, TMO_POL, TMO_FEVR = -4, 0, -1
FREE, LIVE = 0x46524545, 0x4D504600
END = KERNEL + WINDOW + 40960
POOL = 7
COUNT, SIZE, STRIDE = 5, 20, 32
AREA = END - COUNT * STRIDE  # of the first pool
FREE_WORD = 24


def create(guest: Guest, number: int = POOL, count: int = COUNT, size: int = SIZE, attribute: int = 0) -> int:
    return guest.er("mpf_create", number, guest.packet(0x1234, attribute, count, size))


def poll(guest: Guest, number: int = POOL) -> int:
    """Return a block, or an error number."""
    return guest.er("mpf_get", guest.out(), number, TMO_POL) or guest.block()


def release(guest: Guest, *blocks: int, number: int = POOL) -> None:
    for block in blocks:
        assert guest.er("mpf_release", number, block) == E_OK


def refer(guest: Guest, number: int = POOL) -> tuple[int, ...]:
    assert guest.er("mpf_refer", SCRATCH, number) == E_OK
    return guest.words(SCRATCH, 3)


def refused(guest: Guest, code: int, call: str, *arguments: int) -> bool:
    """Return whether a call answers *code* and changes nothing."""
    before = guest.state()
    return guest.er(call, *arguments) == code and guest.state() == before


@pytest.fixture
def pool(guest: Guest) -> Guest:
    assert create(guest) == E_OK
    return guest


# Create and delete.


@pytest.mark.parametrize(
    ("size", "block", "stride"), [(1, 4, 16), (4, 4, 16), (8, 8, 16), (9, 12, 24), (13, 16, 24)]
)
def test_a_new_pool_is_a_row_of_free_blocks(guest: Guest, size: int, block: int, stride: int) -> None:
    assert create(guest, 100, 3, size, 1) == E_OK
    fields = guest.pool("mpf_table", 100)
    area = fields["area"]
    assert list(fields.values()) == [0x1234, 1, 3, block, area, 3 * stride, area, 0, 1, 3]
    for index, link in enumerate((area + stride, area + 2 * stride, 0)):
        assert guest.words(area + index * stride, 3) == (block, FREE, link)
    assert area == END - 3 * stride
    assert refer(guest, 100) == (0x1234, 0, 3)


def test_bodies_are_not_cleared(pool: Guest) -> None:
    assert pool.words(AREA + 12, 5) == (0xEEEEEEEE,) * 5


def test_deleting_gives_the_memory_back(pool: Guest) -> None:
    poll(pool)
    assert pool.er("mpf_delete", POOL) == E_OK
    assert pool.free_list() == [(KERNEL + WINDOW, 40960)]
    assert set(pool.pool("mpf_table", POOL).values()) == {0}
    assert pool.er("mpf_delete", POOL) == E_NOEXS
    assert create(pool) == E_OK


# Get and release.


def test_blocks_come_lowest_first_and_last_released_first(pool: Guest) -> None:
    blocks = [poll(pool) for _ in range(COUNT)]
    assert blocks == [AREA + 8 + STRIDE * index for index in range(COUNT)]
    assert refer(pool) == (0x1234, 0, 0)
    assert poll(pool) == E_TMOUT
    release(pool, blocks[1], blocks[4], blocks[0])
    assert refer(pool) == (0x1234, 0, 3)
    assert [poll(pool) for _ in range(3)] == [blocks[0], blocks[4], blocks[1]]


def test_a_block_that_is_handed_out_keeps_its_link_and_changes_its_tag(pool: Guest) -> None:
    block = poll(pool)
    assert pool.words(block - 8, 3) == (SIZE, LIVE | POOL, AREA + STRIDE)
    fields = pool.pool("mpf_table", POOL)
    assert (fields["free"], fields["free_count"]) == (AREA + STRIDE, COUNT - 1)


def test_a_released_block_holds_the_link_and_its_old_bytes(pool: Guest) -> None:
    first, second = poll(pool), poll(pool)
    pool.poke(first, *[0xAAAAAAAA] * 5)
    release(pool, second, first)
    assert pool.words(first - 8, 7) == (SIZE, FREE, second - 8, *[0xAAAAAAAA] * 4)


def test_pools_do_not_touch_one_another(guest: Guest) -> None:
    for number in (1, 50, 100):
        assert create(guest, number, 1, 8) == E_OK
    blocks = [poll(guest, number) for number in (1, 50, 100)]
    assert blocks == [END - 8, END - 24, END - 40]
    assert [refer(guest, number)[2] for number in (1, 50, 100)] == [0, 0, 0]


BAD_BLOCKS = [
    pytest.param(0, id="NULL"),
    pytest.param(AREA + 8 - KERNEL, id="a physical address"),
    pytest.param(AREA, id="the record"),
    pytest.param(AREA + 8 - STRIDE, id="before the area"),
    pytest.param(AREA + 12, id="inside a body"),
    pytest.param(AREA + 16, id="the next multiple of 8"),
    pytest.param(AREA + 8 + STRIDE, id="released"),
    pytest.param(AREA + 8 + 3 * STRIDE, id="never handed out"),
    pytest.param(END + 8, id="after the area"),
    pytest.param(0xFFFFFFF8, id="far away"),
]


@pytest.mark.parametrize("block", BAD_BLOCKS)
def test_what_is_no_live_block_is_refused(pool: Guest, block: int) -> None:
    blocks = [poll(pool) for _ in range(3)]
    release(pool, blocks[1])
    assert refused(pool, E_PAR, "mpf_release", POOL, block)


def test_a_block_of_another_pool_is_refused(pool: Guest) -> None:
    assert create(pool, 8) == E_OK
    block = poll(pool, 8)
    assert refused(pool, E_PAR, "mpf_release", POOL, block)
    release(pool, block, number=8)


def test_a_double_release_is_refused(pool: Guest) -> None:
    first, second = poll(pool), poll(pool)
    release(pool, first)
    assert refused(pool, E_PAR, "mpf_release", POOL, first)
    release(pool, second)
    assert refused(pool, E_PAR, "mpf_release", POOL, first)


def test_a_block_whose_record_was_overwritten_is_refused(pool: Guest) -> None:
    block = poll(pool)
    pool.poke(block - 4, 0x41414141)
    assert refused(pool, E_PAR, "mpf_release", POOL, block)


def test_a_forged_record_after_the_area_is_not_trusted(pool: Guest) -> None:
    pool.poke(END, SIZE, LIVE | POOL)
    assert refused(pool, E_PAR, "mpf_release", POOL, END + 8)


@pytest.mark.parametrize("offset", [8, 16])
def test_a_forged_record_in_a_body_is_not_believed(pool: Guest, offset: int) -> None:
    block = poll(pool)
    pool.poke(block + offset - 8, SIZE, LIVE | POOL)
    assert refused(pool, E_PAR, "mpf_release", POOL, block + offset)


@pytest.mark.parametrize("free", [AREA + 8, AREA - STRIDE, END, AREA + STRIDE, 0xFFFFFFF8, 4])
def test_a_broken_stack_has_nothing_free(pool: Guest, free: int) -> None:
    poll(pool)
    poll(pool)
    pool.poke(pool.symbols["mpf_table"] + 40 * POOL + FREE_WORD, free)
    assert refused(pool, E_TMOUT, "mpf_get", pool.out(), POOL, TMO_POL)


# The order of checks, and every error.


def errors(guest: Guest) -> list[tuple[int, str, tuple[int, ...]]]:
    """Return calls with the errors that they must give; where several would do, the first in the order counts."""
    packets = {
        "good": (0, 1, 1, 1),
        "attribute": (0, 2, 0, 0),
        "negative attribute": (0, -1, 0, 0),
        "no blocks": (0, 0, 0, 8),
        "fewer than no blocks": (0, 0, -1, 8),
        "no bytes": (0, 0, 8, 0),
        "fewer than no bytes": (0, 0, 8, -8),
        "too many": (0, 0, 0x7FFFFFFF, 1),
        "too large": (0, 0, 1, 0x7FFFFFFF),
        "too much": (0, 0, 0x7FFFFFFF, 0x7FFFFFFF),
        "wraps to 0": (0, 0, 0x10000000, 8),
        "more than there is": (0, 0, 54, 4096),
    }
    at = {name: SCRATCH + 16 * index for index, name in enumerate(packets)}
    for name, words in packets.items():
        guest.poke(at[name], *words)
    out = guest.out()
    bad = ("no blocks", "fewer than no blocks", "no bytes", "fewer than no bytes")
    large = ("too many", "too large", "too much", "wraps to 0", "more than there is")
    return [
        *((E_ID, "mpf_create", (number, 0)) for number in (0, 101, -1, TMPL_OS, -0x80000000)),
        *((E_PAR, "mpf_create", (number, pk)) for number in (1, POOL) for pk in (0, SCRATCH - KERNEL)),
        *((E_RSATR, "mpf_create", (POOL, at[name])) for name in ("attribute", "negative attribute")),
        *((E_PAR, "mpf_create", (POOL, at[name])) for name in bad),
        *((E_OBJ, "mpf_create", (POOL, at[name])) for name in ("good", *large)),
        *((E_NOMEM, "mpf_create", (1, at[name])) for name in large),
        *((E_ID, "mpf_delete", (number,)) for number in (0, 101, -1, TMPL_OS)),
        (E_NOEXS, "mpf_delete", (1,)),
        *((E_ID, "mpf_get", (0, number, -2)) for number in (0, 101, -1, TMPL_OS)),
        *((E_PAR, "mpf_get", (pointer, number, 0)) for number in (1, POOL) for pointer in (0, 0x7FFFFFFC)),
        *((E_PAR, "mpf_get", (out, number, tmout)) for number in (1, POOL) for tmout in (-2, -0x80000000)),
        *((E_CTX, "mpf_get", (out, number, tmout)) for number in (1, POOL) for tmout in (1, TMO_FEVR)),
        (E_NOEXS, "mpf_get", (out, 1, TMO_POL)),
        (E_TMOUT, "mpf_get", (out, POOL, TMO_POL)),
        *((E_ID, "mpf_release", (number, 0)) for number in (0, 101, -1, TMPL_OS)),
        *((E_NOEXS, "mpf_release", (1, block)) for block in (0, AREA + 8)),
        *((E_PAR, "mpf_release", (POOL, block)) for block in (0, AREA + 16)),
        *((E_ID, "mpf_refer", (0, number)) for number in (0, 101, -1, TMPL_OS)),
        *(
            (E_PAR, "mpf_refer", (pointer, number))
            for number in (1, POOL)
            for pointer in (0, SCRATCH - KERNEL)
        ),
        (E_NOEXS, "mpf_refer", (SCRATCH, 1)),
    ]


def test_every_error_leaves_all_bytes_as_they_were(pool: Guest) -> None:
    for _ in range(COUNT):
        poll(pool)
    for code, call, arguments in errors(pool):
        assert refused(pool, code, call, *arguments), (code, call, arguments)


def test_nobody_waits_while_dispatching_is_disabled(pool: Guest) -> None:
    pool.add_task(1)
    pool.run(1)
    pool.set("sys_dispatch_disabled", 1)
    assert refused(pool, E_CTX, "mpf_get", pool.out(), POOL, TMO_FEVR)
    assert pool.er("mpf_get", pool.out(), POOL, TMO_POL) == E_OK
