"""Spec 2.4: the contracts of memory pools of blocks of any size, without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH, WINDOW

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_OK, E_NOMEM, E_RSATR, E_PAR, E_ID = 0, -10, -24, -33, -35
E_NOEXS, E_OBJ, E_CTX, E_TMOUT = -52, -63, -69, -85
TMPL_OS, TMO_POL, TMO_FEVR = -4, 0, -1
FREE, LIVE, OS = 0x46524545, 0x4D504C00, 0x4D504CFF
END = KERNEL + WINDOW + 40960
SIZE = 1000
AREA = END - SIZE - 8  # of the first pool
POOL = 7


def create(guest: Guest, number: int = POOL, size: int = SIZE, attribute: int = 0) -> int:
    return guest.er("mpl_create", number, guest.packet(0x1234, attribute, size))


def poll(guest: Guest, size: int, number: int = POOL) -> int:
    """Return a block, or an error number."""
    code = guest.er("mpl_get", guest.out(), number, size, TMO_POL)
    return code or guest.block()


def release(guest: Guest, *blocks: int, number: int = POOL) -> None:
    for block in blocks:
        assert guest.er("mpl_release", number, block) == E_OK


def refer(guest: Guest, number: int = POOL) -> tuple[int, ...]:
    assert guest.er("mpl_refer", SCRATCH, number) == E_OK
    return guest.words(SCRATCH, 4)


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
    ("size", "body"), [(1, 8), (8, 8), (1000, 1000), (1001, 1008), (54 * PAGE - 8, 54 * PAGE - 8)]
)
def test_a_new_pool_is_one_free_block(guest: Guest, size: int, body: int) -> None:
    assert create(guest, 100, size, 1) == E_OK
    fields = guest.pool("mpl_table", 100)
    area = fields["area"]
    assert list(fields.values()) == [0x1234, 1, body, area, body + 8, area, 0, 1]
    assert guest.words(area, 3) == (body, FREE, 0)
    assert refer(guest, 100) == (0x1234, 0, body, body)


def test_deleting_gives_the_memory_back(guest: Guest) -> None:
    create(guest)
    poll(guest, 100)
    assert guest.er("mpl_delete", POOL) == E_OK
    assert guest.free_list() == [(KERNEL + WINDOW, 40960)]
    assert set(guest.pool("mpl_table", POOL).values()) == {0}
    assert guest.er("mpl_delete", POOL) == E_NOEXS
    assert create(guest) == E_OK


def test_pools_do_not_touch_one_another(guest: Guest) -> None:
    for number in (1, 50, 100):
        assert create(guest, number, 64) == E_OK
    blocks = [poll(guest, 64, number) for number in (1, 50, 100)]
    assert blocks == [END - 64, END - 136, END - 208]
    for number, block in zip((1, 50, 100), blocks, strict=True):
        assert guest.words(block - 8, 2) == (64, LIVE | number)
        assert refer(guest, number) == (0x1234, 0, 0, 0)


# Get.


def test_a_request_takes_the_low_part(pool: Guest) -> None:
    assert poll(pool, 100) == AREA + 8
    assert pool.words(AREA, 2) == (104, LIVE | POOL)
    assert pool.words(AREA + 112, 3) == (SIZE - 112, FREE, 0)
    assert pool.pool("mpl_table", POOL)["free"] == AREA + 112
    assert refer(pool) == (0x1234, 0, SIZE - 112, SIZE - 112)


@pytest.mark.parametrize(("size", "body"), [(984, 984), (985, 1000), (992, 1000), (1000, 1000)])
def test_16_bytes_are_split_off_and_8_are_not(pool: Guest, size: int, body: int) -> None:
    assert poll(pool, size) == AREA + 8
    assert pool.words(AREA, 2) == (body, LIVE | POOL)
    assert pool.pool("mpl_table", POOL)["free"] == (AREA + 992 if body == 984 else 0)


@pytest.mark.parametrize("size", [1001, 1008, 0x7FFFFFF8])
def test_a_poll_for_too_much_times_out(pool: Guest, size: int) -> None:
    assert refused(pool, E_TMOUT, "mpl_get", pool.out(), POOL, size, TMO_POL)


def test_a_block_that_is_there_needs_no_waiting(pool: Guest) -> None:
    pool.add_task(1)
    pool.run(1)
    for timeout in (TMO_FEVR, 1, 0x7FFFFFFF):
        assert pool.er("mpl_get", pool.out(), POOL, 8, timeout) == E_OK
    assert pool.tcb(1, "state") == 2


def test_first_fit_in_address_order(pool: Guest) -> None:
    a, _, b, _, c, _ = (poll(pool, size) for size in (64, 8, 32, 8, 128, 8))
    release(pool, c, a, b)
    assert [poll(pool, size) for size in (32, 32, 24, 100)] == [a, b, a + 40, c]


def test_maxsz_is_what_a_poll_would_be_granted(pool: Guest) -> None:
    a, _, b, *_ = (poll(pool, size) for size in (64, 8, 200, 8, 600))
    release(pool, a, b)
    _, _, free, largest = refer(pool)
    assert (free, largest) == (64 + 200 + SIZE - 920, 200)
    assert poll(pool, largest + 1) == E_TMOUT
    assert poll(pool, largest) == b


# Release.


def test_a_released_block_holds_record_and_link_and_its_old_bytes(pool: Guest) -> None:
    first, _, third, _ = (poll(pool, 24) for _ in range(4))
    pool.poke(first, *[0xAAAAAAAA] * 6)
    release(pool, third, first)
    assert pool.words(first - 8, 8) == (24, FREE, third - 8, *[0xAAAAAAAA] * 5)
    assert pool.words(third - 8, 3) == (24, FREE, AREA + 128)


MERGES = [
    pytest.param((1, 0), {0: (56, 3), 1: (24, 3)}, id="with the next"),
    pytest.param((0, 1), {0: (56, 3), 1: (24, 3)}, id="with the one before"),
    pytest.param((0, 2, 1), {0: (88, 3), 1: (56, 3), 2: (24, 3)}, id="with both"),
]


@pytest.mark.parametrize(("order", "records"), MERGES)
def test_neighbours_are_merged_and_stale_records_stay(
    pool: Guest, order: tuple[int, ...], records: dict[int, tuple[int, int]]
) -> None:
    blocks = [poll(pool, 24) for _ in range(4)]
    guard = blocks.pop()
    release(pool, *(blocks[index] for index in order))
    for index, (size, _) in records.items():
        assert pool.words(blocks[index] - 8, 3) == (size, FREE, guard + 24)
    assert pool.words(guard - 8, 2) == (24, LIVE | POOL)


def test_the_smallest_block_at_the_end_of_the_area_can_be_released(pool: Guest) -> None:
    blocks = [poll(pool, 984), poll(pool, 8)]
    assert blocks == [AREA + 8, AREA + 1000]
    assert refer(pool) == (0x1234, 0, 0, 0)
    release(pool, blocks[1])
    assert refer(pool) == (0x1234, 0, 8, 8)


def test_releasing_everything_leaves_one_block(pool: Guest) -> None:
    blocks = [poll(pool, size) for size in range(1, 100, 9)]
    release(pool, *blocks[::2], *blocks[1::2])
    assert pool.words(AREA, 3) == (SIZE, FREE, 0)
    assert refer(pool) == (0x1234, 0, SIZE, SIZE)


BAD_BLOCKS = [
    pytest.param(0, id="NULL"),
    pytest.param(AREA + 8 - KERNEL, id="a physical address"),
    pytest.param(KERNEL, id="the first kernel address"),
    pytest.param(AREA, id="the record"),
    pytest.param(AREA - 8, id="before the area"),
    pytest.param(AREA + 12, id="unaligned"),
    pytest.param(AREA + 16, id="inside a body"),
    pytest.param(AREA + 40, id="released"),
    pytest.param(AREA + 104, id="the free rest"),
    pytest.param(AREA + SIZE + 8, id="the end of the area"),
    pytest.param(END + 8, id="after the area"),
    pytest.param(0xFFFFFFF8, id="far away"),
]


@pytest.mark.parametrize("block", BAD_BLOCKS)
def test_what_is_no_live_block_is_refused(pool: Guest, block: int) -> None:
    _, second, _ = (poll(pool, 24) for _ in range(3))
    release(pool, second)
    assert second == AREA + 40
    assert refused(pool, E_PAR, "mpl_release", POOL, block)


def test_a_block_of_another_pool_is_refused(pool: Guest) -> None:
    assert create(pool, 8) == E_OK
    block = poll(pool, 24, 8)
    assert refused(pool, E_PAR, "mpl_release", POOL, block)
    release(pool, block, number=8)


def test_a_double_release_is_refused(pool: Guest) -> None:
    block, other = poll(pool, 24), poll(pool, 24)
    release(pool, block)
    assert refused(pool, E_PAR, "mpl_release", POOL, block)
    release(pool, other)
    assert refused(
        pool, E_PAR, "mpl_release", POOL, other
    )  # its record is stale now, inside the merged block


def test_a_forged_record_in_a_body_is_not_believed(pool: Guest) -> None:
    block = poll(pool, 64)
    pool.poke(block + 16, 16, LIVE | POOL)
    assert refused(pool, E_PAR, "mpl_release", POOL, block + 24)


# Pools that the guest has damaged. Three blocks of 24 bytes, the second is free.

BROKEN_RECORDS = [
    pytest.param((28, LIVE | POOL), id="size not a multiple of 8"),
    pytest.param((0, LIVE | POOL), id="size 0"),
    pytest.param((SIZE + 8, LIVE | POOL), id="beyond the area"),
    pytest.param((-8, LIVE | POOL), id="a negative size"),
    pytest.param((24, LIVE | POOL + 1), id="the tag of another pool"),
    pytest.param((24, 0x41414141), id="no tag"),
]


@pytest.fixture
def damaged(pool: Guest) -> Guest:
    blocks = [poll(pool, 24) for _ in range(3)]
    release(pool, blocks[1])
    return pool


@pytest.mark.parametrize("record", BROKEN_RECORDS)
@pytest.mark.parametrize("block", [AREA + 8, AREA + 72])
def test_nothing_at_or_after_a_broken_record_is_released(
    damaged: Guest, record: tuple[int, int], block: int
) -> None:
    damaged.poke(AREA, *record)
    assert refused(damaged, E_PAR, "mpl_release", POOL, block)


BROKEN_FREE = [
    pytest.param(AREA + 36, None, id="unaligned"),
    pytest.param(AREA - 32, (24, FREE, 0), id="below the area"),
    pytest.param(END - 8, (8, FREE), id="no room for a body"),
    pytest.param(0xFFFFFFF8, None, id="far away"),
    pytest.param(AREA + 64, None, id="a live block"),
    pytest.param(AREA + 32, (28, FREE, 0), id="size not a multiple of 8"),
    pytest.param(AREA + 32, (0, FREE, 0), id="size 0"),
    pytest.param(AREA + 32, (SIZE, FREE, 0), id="size beyond the area"),
    pytest.param(AREA + 32, (24, FREE, AREA + 32), id="turns back"),
]


@pytest.mark.parametrize(("head", "record"), BROKEN_FREE)
def test_a_broken_free_list_gives_and_takes_nothing(
    damaged: Guest, head: int, record: tuple[int, ...] | None
) -> None:
    damaged.poke(damaged.symbols["mpl_table"] + 32 * POOL + 20, head)
    if record:
        damaged.poke(head, *record)
    assert refused(damaged, E_TMOUT, "mpl_get", damaged.out(), POOL, 100, TMO_POL)
    assert refused(damaged, E_PAR, "mpl_release", POOL, AREA + 72)
    assert refer(damaged) in {(0x1234, 0, 0, 0), (0x1234, 0, 24, 24)}


def test_a_pool_whose_area_kmem_refuses_is_deleted_all_the_same(pool: Guest) -> None:
    areas = pool.free_list()
    pool.poke(pool.symbols["mpl_table"] + 32 * POOL + 12, AREA + 4)
    assert pool.er("mpl_delete", POOL) == E_OK
    assert set(pool.pool("mpl_table", POOL).values()) == {0}
    assert pool.free_list() == areas


# The order of checks, and every error.


def errors(guest: Guest) -> list[tuple[int, str, tuple[int, ...]]]:
    """Return calls with the errors that they must give; where several would do, the first in the order counts."""
    good, attribute, size = SCRATCH, SCRATCH + 16, SCRATCH + 32
    guest.poke(good, 0, 0, 64)
    guest.poke(attribute, 0, 2, 0)
    guest.poke(size, 0, 0, 0)
    guest.poke(size + 16, 0, 1, -1)
    guest.poke(size + 32, 0, 1, 0x7FFFFFFF)
    out = guest.out()
    return [
        *((E_ID, "mpl_create", (number, 0)) for number in (0, 101, -1, TMPL_OS, -0x80000000)),
        *((E_PAR, "mpl_create", (number, pk)) for number in (1, POOL) for pk in (0, SCRATCH - KERNEL)),
        (E_RSATR, "mpl_create", (POOL, attribute)),
        *((E_PAR, "mpl_create", (POOL, packet)) for packet in (size, size + 16)),
        (E_OBJ, "mpl_create", (POOL, good)),
        (E_OBJ, "mpl_create", (POOL, size + 32)),
        (E_NOMEM, "mpl_create", (1, size + 32)),
        *((E_ID, "mpl_delete", (number,)) for number in (0, 101, -1, TMPL_OS)),
        (E_NOEXS, "mpl_delete", (1,)),
        *((E_ID, "mpl_get", (0, number, 0, -2)) for number in (0, 101, -1, -5)),
        *(
            (E_PAR, "mpl_get", (pointer, number, 8, 0))
            for number in (1, POOL, TMPL_OS)
            for pointer in (0, 0x7FFFFFFC)
        ),
        *((E_PAR, "mpl_get", (out, 1, blksz, TMO_FEVR)) for blksz in (0, -1, -0x80000000)),
        *(
            (E_PAR, "mpl_get", (out, number, 8, tmout))
            for number in (1, TMPL_OS)
            for tmout in (-2, -0x80000000)
        ),
        *((E_CTX, "mpl_get", (out, number, 8, tmout)) for number in (1, POOL) for tmout in (1, TMO_FEVR)),
        (E_NOEXS, "mpl_get", (out, 1, 8, TMO_POL)),
        *((E_TMOUT, "mpl_get", (out, POOL, blksz, TMO_POL)) for blksz in (SIZE + 1, 0x7FFFFFF9, 0x7FFFFFFF)),
        *(
            (E_NOMEM, "mpl_get", (out, TMPL_OS, blksz, 5))
            for blksz in (0x7FFFFFFF, 0x7FFFFFF8, 0x7FFFF000, 0x100000)
        ),
        *(
            (E_TMOUT, "mpl_get", (out, TMPL_OS, blksz, TMO_POL))
            for blksz in (0x7FFFFFFF, 0x7FFFFFF8, 0x7FFFFFF0, 0x100000)
        ),
        *((E_ID, "mpl_release", (number, 0)) for number in (0, 101, -1)),
        *((E_PAR, "mpl_release", (number, 0)) for number in (POOL, TMPL_OS)),
        *((E_NOEXS, "mpl_release", (1, block)) for block in (0, AREA + 8)),
        (E_PAR, "mpl_release", (POOL, AREA + 16)),
        *((E_ID, "mpl_refer", (0, number)) for number in (0, 101, -1)),
        *((E_PAR, "mpl_refer", (SCRATCH - KERNEL, number)) for number in (1, POOL, TMPL_OS)),
        (E_NOEXS, "mpl_refer", (SCRATCH, 1)),
    ]


def test_every_error_leaves_all_bytes_as_they_were(pool: Guest) -> None:
    assert poll(pool, 64) == AREA + 8
    for code, call, arguments in errors(pool):
        assert refused(pool, code, call, *arguments), (code, call, arguments)


def test_nobody_waits_while_dispatching_is_disabled(pool: Guest) -> None:
    pool.add_task(1)
    pool.run(1)
    pool.set("sys_dispatch_disabled", 1)
    assert refused(pool, E_CTX, "mpl_get", pool.out(), POOL, 8, TMO_FEVR)
    assert refused(pool, E_CTX, "mpl_get", pool.out(), 1, 8, 10)
    assert pool.er("mpl_get", pool.out(), POOL, 8, TMO_POL) == E_OK
    assert pool.er("mpl_get", pool.out(), TMPL_OS, 8, TMO_FEVR) == E_OK


# The kernel's own pool.


def test_the_kernels_pool_is_kmem_with_sizes_kept(guest: Guest) -> None:
    block = poll(guest, 100, TMPL_OS)
    assert block == END - 104
    assert guest.words(block - 8, 2) == (104, OS)
    assert refer(guest, TMPL_OS) == (0, 0, 40960 - 112, 40960 - 112)
    other = poll(guest, 8, TMPL_OS)
    release(guest, block, number=TMPL_OS)
    assert refer(guest, TMPL_OS) == (0, 0, 40960 - 16, 40960 - 128)
    release(guest, other, number=TMPL_OS)
    assert guest.free_list() == [(KERNEL + WINDOW, 40960)]


def test_the_kernels_pool_is_empty_before_it_grows(guest: Guest) -> None:
    assert refer(guest, TMPL_OS) == (0, 0, 0, 0)


def test_a_release_to_the_kernels_pool_wipes_the_tag(guest: Guest) -> None:
    block = poll(guest, 24, TMPL_OS)
    release(guest, block, number=TMPL_OS)
    assert guest.words(block - 8, 2) == (0, 32)
    low, high = poll(guest, 24, TMPL_OS), poll(guest, 24, TMPL_OS)
    assert guest.call("kmem_alloc", 40960 - 64) == KERNEL + WINDOW
    release(guest, high, low, number=TMPL_OS)
    assert OS not in (guest.words(low - 8, 2)[1], guest.words(high - 8, 2)[1])


def test_a_block_of_the_kernels_pool_is_released_once_even_if_its_memory_is_in_use_again(
    guest: Guest,
) -> None:
    assert guest.call("kmem_alloc", 40960 - 128) == END - 40960 + 128
    block = poll(guest, 24, TMPL_OS)
    assert block == END - 40960 + 104
    release(guest, block, number=TMPL_OS)
    assert poll(guest, 120, TMPL_OS) == END - 40960 + 8
    assert refused(guest, E_PAR, "mpl_release", TMPL_OS, block)


BAD_RECORDS = [
    pytest.param(0, (24, LIVE), id="no tag of the kernel's pool"),
    pytest.param(0, (28, OS), id="size not a multiple of 8"),
    pytest.param(0, (0, OS), id="size 0"),
    pytest.param(0, (40960, OS), id="size beyond the extent"),
    pytest.param(0, (-8, OS), id="a negative size"),
    pytest.param(4, (24, OS), id="unaligned"),
    pytest.param(-40960, (24, OS), id="outside the extents"),
    pytest.param(-1024, (24, OS), id="free"),
    pytest.param(-40960 - 64, (24, OS), id="before the extents"),
]


@pytest.mark.parametrize(("shift", "record"), BAD_RECORDS)
def test_bad_blocks_of_the_kernels_pool_are_refused(
    guest: Guest, shift: int, record: tuple[int, int]
) -> None:
    block = poll(guest, 24, TMPL_OS)
    guest.poke(block + shift - 8, *record)
    assert refused(guest, E_PAR, "mpl_release", TMPL_OS, block + shift)


def test_the_kernels_pool_on_a_broken_list(guest: Guest) -> None:
    block = poll(guest, 24, TMPL_OS)
    guest.set("kmem_free_list", 0x41414141)
    assert refer(guest, TMPL_OS) == (0, 0, 0, 0)
    assert refused(guest, E_PAR, "mpl_release", TMPL_OS, block)
    assert refused(guest, E_TMOUT, "mpl_get", guest.out(), TMPL_OS, 8, TMO_POL)
    assert refused(guest, E_NOMEM, "mpl_get", guest.out(), TMPL_OS, 8, TMO_FEVR)
