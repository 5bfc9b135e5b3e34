"""IF is after each public call of BTRON/386 what it was before, on and off, whatever the call answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import PAGE, SCRATCH
from tests.conformance.btron.test_tasks import CODE, POOL, created, started, waiting
from tests.helpers.strict_call import strict_call

if TYPE_CHECKING:
    from emulator.testing import Kernel
    from tests.conformance.btron.subjects import Guest

FIRMWARE_SOURCES: Final = Path(__file__).parents[3] / "firmware" / "btron"
E_OK, E_NOMEM, E_RSATR, E_PAR, E_ID, E_NOEXS, E_OBJ = 0, -10, -24, -33, -35, -52, -63
E_MACV, E_CTX, E_QOVR, E_TMOUT = -65, -69, -73, -85
HUGE: Final = 0x7FFF_FFFF

#: Ids in the state that `state` makes: who runs, is dormant, ready, waits, and is not there.
CURRENT, DORMANT, READY, WAITING, NOBODY = 1, 2, 3, 4, 5
REGION: Final = 0x2000_0000
FREE: Final = REGION + PAGE
NOWHERE: Final = 0x3000_0000
USABLE: Final = 0x10003
OUT: Final = SCRATCH + 0x400
MPL, MPF, TASK, PAGES, BYTES, FIXED, ANY = (
    "mpl packet",
    "mpf packet",
    "task packet",
    "two pages",
    "16 bytes",
    "a block of the fixed pool",
    "a block of the other",
)
BAD: Final = "a packet with attribute 7"

CALLS: Final[list[tuple[int | None, str, tuple[int | str, ...]]]] = [
    # What it answers (None: a pointer or a count), the call, its arguments.
    (E_OK, "pmem_init", ()),
    (None, "pmem_alloc", (PAGE,)),
    (None, "pmem_alloc", (0,)),
    (None, "pmem_alloc", (HUGE,)),
    (E_OK, "pmem_free", (PAGES, 2 * PAGE)),
    (E_PAR, "pmem_free", (PAGES, 9 * PAGE)),
    (E_OK, "pmem_share", (PAGES, PAGE)),
    (E_PAR, "pmem_share", (0, PAGE)),
    (None, "pmem_free_pages", ()),
    (E_OK, "kmem_init", ()),
    (None, "kmem_alloc", (100,)),
    (None, "kmem_alloc", (0,)),
    (None, "kmem_alloc", (HUGE,)),
    (E_OK, "kmem_free", (BYTES, 16)),
    (E_PAR, "kmem_free", (BYTES, 0)),
    (E_PAR, "kmem_free", (0, 16)),
    (E_OK, "cre_mpl", (8, MPL)),
    (E_ID, "cre_mpl", (0, MPL)),
    (E_RSATR, "cre_mpl", (8, BAD)),
    (E_PAR, "cre_mpl", (8, 0)),
    (E_OBJ, "cre_mpl", (POOL, MPL)),
    (E_OK, "del_mpl", (POOL,)),
    (E_ID, "del_mpl", (0,)),
    (E_NOEXS, "del_mpl", (8,)),
    (E_CTX, "get_blk", (OUT, POOL, 8)),
    (E_PAR, "get_blk", (0, POOL, 8)),
    (E_OK, "pget_blk", (OUT, POOL, 8)),
    (E_TMOUT, "pget_blk", (OUT, POOL, 4000)),
    (E_NOEXS, "pget_blk", (OUT, 8, 8)),
    (E_OK, "tget_blk", (OUT, POOL, 8, 0)),
    (E_PAR, "tget_blk", (OUT, POOL, 8, -2)),
    (E_CTX, "tget_blk", (OUT, POOL, 8, 1)),
    (E_OK, "rel_blk", (POOL, ANY)),
    (E_ID, "rel_blk", (0, ANY)),
    (E_PAR, "rel_blk", (POOL, OUT)),
    (E_NOEXS, "rel_blk", (8, ANY)),
    (E_OK, "ref_mpl", (OUT, POOL)),
    (E_PAR, "ref_mpl", (0, POOL)),
    (E_NOEXS, "ref_mpl", (OUT, 8)),
    (E_OK, "cre_mpf", (8, MPF)),
    (E_ID, "cre_mpf", (0, MPF)),
    (E_RSATR, "cre_mpf", (8, BAD)),
    (E_PAR, "cre_mpf", (8, 0)),
    (E_OBJ, "cre_mpf", (POOL, MPF)),
    (E_OK, "del_mpf", (POOL,)),
    (E_ID, "del_mpf", (0,)),
    (E_NOEXS, "del_mpf", (8,)),
    (E_CTX, "get_blf", (OUT, POOL)),
    (E_PAR, "get_blf", (0, POOL)),
    (E_TMOUT, "pget_blf", (OUT, POOL)),
    (E_OK, "pget_blf", (OUT, POOL + 1)),
    (E_NOEXS, "pget_blf", (OUT, 8)),
    (E_OK, "tget_blf", (OUT, POOL + 1, 0)),
    (E_PAR, "tget_blf", (OUT, POOL, -2)),
    (E_CTX, "tget_blf", (OUT, POOL, 1)),
    (E_OK, "rel_blf", (POOL, FIXED)),
    (E_ID, "rel_blf", (0, FIXED)),
    (E_PAR, "rel_blf", (POOL, OUT)),
    (E_NOEXS, "rel_blf", (8, FIXED)),
    (E_OK, "ref_mpf", (OUT, POOL)),
    (E_PAR, "ref_mpf", (0, POOL)),
    (E_NOEXS, "ref_mpf", (OUT, 8)),
    (E_OK, "cre_tsk", (NOBODY, TASK)),
    (E_ID, "cre_tsk", (0, TASK)),
    (E_RSATR, "cre_tsk", (NOBODY, BAD)),
    (E_PAR, "cre_tsk", (NOBODY, 0)),
    (E_OBJ, "cre_tsk", (READY, TASK)),
    (E_OK, "del_tsk", (DORMANT,)),
    (E_ID, "del_tsk", (0,)),
    (E_NOEXS, "del_tsk", (NOBODY,)),
    (E_OBJ, "del_tsk", (READY,)),
    (E_OK, "sta_tsk", (DORMANT, 1)),
    (E_ID, "sta_tsk", (0, 1)),
    (E_NOEXS, "sta_tsk", (NOBODY, 1)),
    (E_OBJ, "sta_tsk", (READY, 1)),
    (E_OK, "ter_tsk", (READY,)),
    (E_OK, "ter_tsk", (WAITING,)),
    (E_ID, "ter_tsk", (0,)),
    (E_NOEXS, "ter_tsk", (NOBODY,)),
    (E_OBJ, "ter_tsk", (CURRENT,)),
    (E_CTX, "slp_tsk", ()),
    (E_OK, "wup_tsk", (READY,)),
    (E_ID, "wup_tsk", (0,)),
    (E_NOEXS, "wup_tsk", (NOBODY,)),
    (E_OBJ, "wup_tsk", (DORMANT,)),
    (E_QOVR, "wup_tsk", (WAITING,)),
    (E_OK, "rel_wai", (WAITING,)),
    (E_ID, "rel_wai", (0,)),
    (E_NOEXS, "rel_wai", (NOBODY,)),
    (E_OBJ, "rel_wai", (READY,)),
    (E_OK, "dis_dsp", ()),
    (E_OK, "ena_dsp", ()),
    (E_OK, "vcre_reg", (DORMANT, NOWHERE, 1, 1, USABLE, 0)),
    (E_ID, "vcre_reg", (0, NOWHERE, 1, 1, USABLE, 0)),
    (E_PAR, "vcre_reg", (DORMANT, NOWHERE, 0, 1, USABLE, 0)),
    (E_NOEXS, "vcre_reg", (NOBODY, NOWHERE, 1, 1, USABLE, 0)),
    (E_OBJ, "vcre_reg", (DORMANT, REGION, 1, 1, USABLE, 0)),
    (E_OK, "vdel_reg", (DORMANT, REGION)),
    (E_ID, "vdel_reg", (0, REGION)),
    (E_PAR, "vdel_reg", (DORMANT, NOWHERE)),
    (E_NOEXS, "vdel_reg", (NOBODY, REGION)),
    (E_OK, "vmap_reg", (DORMANT, FREE, 1, USABLE)),
    (E_ID, "vmap_reg", (0, FREE, 1, USABLE)),
    (E_PAR, "vmap_reg", (DORMANT, NOWHERE, 1, USABLE)),
    (E_NOEXS, "vmap_reg", (NOBODY, FREE, 1, USABLE)),
    (E_OBJ, "vmap_reg", (DORMANT, REGION, 1, USABLE)),
    (E_NOMEM, "vmap_reg", (DORMANT, FREE, 90 * PAGE, USABLE)),
    (E_OK, "vunm_reg", (DORMANT, REGION, 1)),
    (E_ID, "vunm_reg", (0, REGION, 1)),
    (E_PAR, "vunm_reg", (DORMANT, NOWHERE, 1)),
    (E_NOEXS, "vunm_reg", (NOBODY, REGION, 1)),
    (E_OBJ, "vunm_reg", (DORMANT, FREE, 1)),
    (E_OK, "vshr_reg", (DORMANT, READY, REGION)),
    (E_ID, "vshr_reg", (0, READY, REGION)),
    (E_PAR, "vshr_reg", (DORMANT, DORMANT, REGION)),
    (E_NOEXS, "vshr_reg", (DORMANT, NOBODY, REGION)),
    (E_OK, "vprt_reg", (DORMANT, REGION, 1)),
    (E_ID, "vprt_reg", (0, REGION, 1)),
    (E_PAR, "vprt_reg", (DORMANT, REGION, 0)),
    (E_NOEXS, "vprt_reg", (NOBODY, REGION, 1)),
    (E_OK, "vget_reg", (DORMANT, REGION, 8, OUT)),
    (E_ID, "vget_reg", (0, REGION, 8, OUT)),
    (E_PAR, "vget_reg", (DORMANT, REGION, 8, 0)),
    (E_NOEXS, "vget_reg", (NOBODY, REGION, 8, OUT)),
    (E_MACV, "vget_reg", (DORMANT, FREE, 8, OUT)),
    (E_OK, "vput_reg", (DORMANT, REGION, 8, OUT)),
    (E_ID, "vput_reg", (0, REGION, 8, OUT)),
    (E_PAR, "vput_reg", (DORMANT, REGION, 0, OUT)),
    (E_NOEXS, "vput_reg", (NOBODY, REGION, 8, OUT)),
    (E_MACV, "vput_reg", (DORMANT, FREE, 8, OUT)),
    (E_OK, "vsts_reg", (DORMANT, REGION, OUT)),
    (E_ID, "vsts_reg", (0, REGION, OUT)),
    (E_PAR, "vsts_reg", (DORMANT, NOWHERE, OUT)),
    (E_NOEXS, "vsts_reg", (NOBODY, REGION, OUT)),
]

#: Where they succeed or fail only by waiting, or cannot fail: what the other rows and the tests of switching hold.
WITHOUT_SUCCESS: Final = {"get_blk", "get_blf", "slp_tsk"}
WITHOUT_ERROR: Final = {"pmem_init", "pmem_free_pages", "kmem_init", "dis_dsp", "ena_dsp"}
OF_POINTERS: Final = {"pmem_alloc", "pmem_free_pages", "kmem_alloc"}


@pytest.fixture
def words(guest: Guest) -> dict[str, int]:
    """Make a kernel in which each call can be made; return what the names in `CALLS` stand for."""
    guest.add_task(CURRENT)
    guest.run(CURRENT)
    guest.set("sys_dispatch_disabled", 1)
    created(guest, DORMANT)
    started(guest, READY, 20)
    waiting(guest, WAITING)
    guest.set_tcb(WAITING, "wakeups", 255)
    fixed = guest.block()
    assert guest.er("cre_mpf", POOL + 1, guest.packet(0, 0, 1, 8)) == E_OK
    assert guest.er("cre_mpl", POOL, guest.packet(0, 0, 120)) == E_OK
    assert guest.er("pget_blk", guest.out(), POOL, 8) == E_OK
    block = guest.block()
    assert guest.er("vcre_reg", DORMANT, REGION, 1, 100 * PAGE, USABLE, 0) == E_OK
    assert guest.er("vmap_reg", DORMANT, REGION, 1, USABLE) == E_OK
    packets = {MPL: (0, 0, 24), MPF: (0, 0, 1, 8), TASK: (0, 1, CODE, 10, PAGE), BAD: (0, 7, CODE, 10, PAGE)}
    values = {
        FIXED: fixed,
        ANY: block,
        PAGES: guest.call("pmem_alloc", 2 * PAGE),
        BYTES: guest.call("kmem_alloc", 16),
    }
    for index, (name, packet) in enumerate(packets.items()):
        values[name] = SCRATCH + 0x600 + 0x20 * index
        guest.poke(values[name], *packet)
    return values


@pytest.mark.parametrize(
    ("code", "name", "arguments"), CALLS, ids=[f"{name} {code}" for code, name, _ in CALLS]
)
@pytest.mark.parametrize("interrupts", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)
def test_interrupts_are_on_or_off_as_before(
    words: dict[str, int],
    kernel: Kernel,
    code: int | None,
    name: str,
    arguments: tuple[int | str, ...],
    interrupts: bool,
) -> None:
    values = [words[each] if isinstance(each, str) else each for each in arguments]
    word = strict_call(kernel.machine, name, *values, interrupts=interrupts)
    assert code in {None, word - (word >> 31 << 32)}


def test_every_public_call_is_made_with_success_and_without() -> None:
    declared = set()
    for header in ("itron.h", "pmem.h", "kmem.h"):
        declared |= set(
            re.findall(r"^(?:ER|VP|W) (\w+)\(", (FIRMWARE_SOURCES / header).read_text(), re.MULTILINE)
        )
    assert {name for _, name, _ in CALLS} == declared
    assert {name for code, name, _ in CALLS if code == E_OK} == declared - WITHOUT_SUCCESS - OF_POINTERS
    assert {name for code, name, _ in CALLS if code} == declared - WITHOUT_ERROR - OF_POINTERS
