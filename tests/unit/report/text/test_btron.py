from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.guest.memory_map.memory_map import BtronState, MemoryMap
from emulator.guest.memory_map.regions import Region, RegionKind
from emulator.report.run_record import RunRecord
from emulator.report.text.run import summary_lines
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How
from kernel_model.btron.kmem import Area, KmemState
from kernel_model.btron.pages import PageCount, PageUsage
from kernel_model.btron.pools.reader import PoolState
from kernel_model.btron.tcb import Task, TaskState, WaitKind
from tests.unit.report.examples import RAM, defect, frames

if TYPE_CHECKING:
    from kernel_model.audit import Defect

PAGES = PageUsage(
    320,
    55,
    5,
    1,
    260,
    47,
    (PageCount(0, 0, 55), PageCount(1, 1, 4), PageCount(1, 2, 1), PageCount(2, 0, 260)),
)
KMEM = KmemState((Area(0x80103000, 0x2000),), (Area(0x80103000, 0x100), Area(0x80103200, 0x300)))
VARIABLE = PoolState(
    "mpl",
    1,
    by_priority=False,
    area=(0x80104000, 0x80104108),
    block_size=0,
    used_blocks=2,
    used=200,
    free_blocks=1,
    free=40,
    largest_free=40,
    waiters=(
        Task(3, TaskState.WAIT, 5, WaitKind.MPL, 1, 104, 0, None),
        Task(2, TaskState.WAIT, 1, WaitKind.MPL, 1, 64, 0, 1500),
    ),
)
FIXED = PoolState(
    "mpf",
    100,
    by_priority=True,
    area=(0x80104200, 0x80104230),
    block_size=12,
    used_blocks=1,
    used=12,
    free_blocks=1,
    free=12,
    largest_free=12,
    waiters=(),
)
REGIONS = (
    Region(0x100000, 0x102800, RegionKind.IMAGE),
    Region(0x102800, 0x102A00, RegionKind.TABLE),
    Region(0x102A00, 0x103000, RegionKind.RESERVED),
    Region(0x103000, 0x105000, RegionKind.KMEM),
    Region(0x110000, 0x111000, RegionKind.SHARED),
)


def summary(state: BtronState, width: int = 80, defects: tuple[Defect, ...] = ()) -> list[str]:
    managed = frames(0x100, "######" + "." * 10 + "#" + "." * 47)
    memory_map = MemoryMap(RAM, REGIONS, managed, btron=state, reserved=6, defects=defects)
    layers = dict.fromkeys(("pmem", "kmem", "pools"), "native")
    return list(
        summary_lines(
            RunRecord("k.elf", Ending(How.EXIT, 0), layers=layers, memory_map=memory_map),
            Style(width, room=width),
        )
    )


def test_the_whole_summary() -> None:
    assert summary(BtronState(PAGES, KMEM, (VARIABLE, FIXED)), defects=(defect("a rule is broken"),))[2:] == [
        "Memory 0x00100000-0x00140000, 256 KiB; a cell is 4 KiB",
        "0x00100000 IITKK#..........S..............................................."[:75],
        "",
        "I    image     0x00100000-0x00102800    10 KiB",
        "T    table     0x00102800-0x00102a00     512 B",
        "K    kmem      0x00103000-0x00105000     8 KiB",
        "R    reserved  0x00102a00-0x00103000   1.5 KiB",
        "S    shared    0x00110000-0x00111000     4 KiB",
        "-+*# allocated 1 page                    4 KiB",
        ".    free      57 pages                228 KiB",
        "",
        "Pages     320 of 4 KiB: 55 free, 5 in use, 260 reserved; largest free run 47",
        "          (188 KiB), fragmentation 15 %",
        "Owners    4 pages with 1 owner, 1 page with 2 owners",
        "Kmem      8192 bytes in 1 extent; 1024 bytes free in 2 areas, largest 768,",
        "          fragmentation 25 %",
        "Pools     1 with blocks of any size, 1 of one size",
        "mpl 1     2 blocks in use (200 bytes), 40 bytes free; largest free block 40;",
        "          waiting, first come, first served: task 3 for 104 bytes, task 2 for 64",
        "          bytes until 1500 ms",
        "mpf 100   1 of 2 blocks of 12 bytes in use; nobody waits",
        "          damaged: a rule is broken",
        "Layers    pmem native, kmem native, pools native",
        "Ended     the kernel exited with value 0 (success)",
        "Took      0.000 s",
    ]


def test_it_fits_a_narrow_terminal() -> None:
    lines = summary(BtronState(PAGES, KMEM, (VARIABLE, FIXED)), 40)
    assert max(map(len, lines)) <= 40


def test_many_refcounts_are_summed_up() -> None:
    entries = tuple(PageCount(1, owners, 1) for owners in range(1, 10))
    pages = PageUsage(10, 0, 9, 8, 0, 0, (*entries, PageCount(7, 0, 1)))
    lines = summary(BtronState(pages), 200)
    assert (
        "Pages     10 of 4 KiB: 0 free, 9 in use, 0 reserved, 1 with unknown flags; largest free run 0 (0 B), "
        in "".join(lines)
    )
    owners = next(line for line in lines if line.startswith("Owners"))
    assert owners.endswith("1 page with 6 owners, 3 pages with more")


def test_nothing_but_pages() -> None:
    empty = summary(BtronState(kmem=KmemState((), ())))
    assert (
        "Kmem      0 bytes in 0 extents; 0 bytes free in 0 areas, largest 0, fragmentation 0 %"
        in " ".join(empty).replace("           ", " ")
    )
    assert "Pools     none" in empty
