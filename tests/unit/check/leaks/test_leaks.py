"""Blocks that live at the end of a run, and who still points to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check.checked_run import check_kernel
from emulator.check.leaks import reachability
from emulator.check.leaks.guest_words import GuestWords
from emulator.check.leaks.leaks import find_leaks
from emulator.check.leaks.reachability import Pointer
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import match
from emulator.profile.model import PAGES, AreaRules, Profile
from emulator.run.ending import How
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport

PROFILE = Profile(
    "bump",
    (
        TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFF_FFFF),
        TracedFunction("take_range", "ranges", Role.ALLOC, ("size",), Result.POINTER, 0),
    ),
    {"frames": PAGES},
)
KERNEL = """
typedef unsigned int word;
#define HIDDEN __attribute__((noinline, noclone))
static word next_block = 0x2468a8, next_frame = 0x300;
word stack[1024];
word table[4];
HIDDEN void *kmalloc(word size) { word p = next_block; next_block += (size + 15) & ~7u; asm volatile(""); return (void *)p; }
HIDDEN word alloc_frame(void) { asm volatile(""); return next_frame++; }
HIDDEN void scenario(void) { BODY }
HIDDEN void clear(void) { volatile word *dead = stack; for (int i = 0; i < 900; i++) dead[i] = LEFT; }
void kmain(void)
{
    scenario();
    clear();
    asm volatile("xor %%eax,%%eax; xor %%ebx,%%ebx; xor %%ecx,%%ecx; xor %%esi,%%esi; xor %%edi,%%edi; xor %%ebp,%%ebp;"
                 "mov $0xf4,%%edx; out %%eax,%%dx; hlt" ::: "eax");
}
asm(".globl _start; _start: mov $stack+4096,%esp; call kmain; hlt");
"""

RANGES = """
static word *ranges, next_range = 0x400000;
HIDDEN word take_range(word size)
{
    word *record = kmalloc(8);
    record[0] = next_range;
    record[1] = (word)ranges;
    ranges = record;
    next_range += size;
    asm volatile("");
    return record[0];
}
"""
"""An allocator of ranges, which keeps a record of each on the heap."""


def checked(folder: Path, body: str, *, left: str = "0", source: str = KERNEL) -> CheckReport:
    """Run a kernel that executes some C, and leaves a value all over its dead stack."""
    source = source.replace("BODY", body).replace("LEFT", left)
    image = KernelImage.read(compile_kernel(folder, source, ["-O1"]))
    report = check_kernel(Machine(image), match(PROFILE, image))
    assert report.ending.how is How.EXIT
    assert report.calls
    return report


def texts(folder: Path, body: str, **options: str) -> tuple[list[str], list[str]]:
    """Return what is lost, and what is not, with who points to it."""
    report = checked(folder, body, **options)
    lost, reachable = (
        [", ".join([finding.message, *finding.details]) for finding in findings]
        for findings in (report.findings, report.reachable)
    )
    return lost, reachable


def test_a_block_nobody_points_to_is_lost(tmp_path: Path) -> None:
    report = checked(tmp_path, "kmalloc(24);")
    (finding,) = report.findings
    assert finding.kind.value == "leak"
    assert finding.area == "heap"
    assert finding.message == "memory leak: 24 bytes in 1 block definitely lost"
    assert finding.details == ("nobody points to it",)
    assert finding.call_site is None
    assert finding.block is not None
    assert finding.block.allocated.backtrace[0].function == "scenario"
    area = report.measures["heap"]
    assert (area.lost_bytes, area.lost_blocks, area.end_bytes, area.end_blocks) == (24, 1, 24, 1)


def test_what_a_dead_part_of_the_stack_holds_does_not_count(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, "kmalloc(24);", left="0x2468a8")
    assert lost == ["memory leak: 24 bytes in 1 block definitely lost, nobody points to it"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("table[0] = (word)kmalloc(24);", "global table"),
        ("table[1] = (word)kmalloc(24) + 23;", "global table+0x4"),
        ("stack[1023] = (word)kmalloc(24);", "the stack of the CPU"),
    ],
)
def test_a_block_something_points_to_is_still_reachable(body: str, pointer: str, tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, body)
    assert lost == []
    where = f"block #1 of 24 bytes at 0x002468a8: pointed to by {pointer}"
    assert reachable == [f"live at the end: 24 bytes in 1 block still reachable, {where}"]


def test_that_empty_memory_points_to_the_frame_at_0_is_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[object] = []

    class CountedPointer(Pointer):
        def __init__(self, *_: object, **__: object) -> None:
            noted.append(self)

    monkeypatch.setattr(reachability, "Pointer", CountedPointer)
    report = checked(tmp_path, "next_frame = 0; alloc_frame(); kmalloc(24);")
    assert [finding.area for finding in report.findings] == ["heap"]
    assert len(noted) < 2000, "of the million words of RAM, those of the part with the first one"


@pytest.mark.parametrize("offset", ["25", "-1"])
def test_a_pointer_beside_a_block_does_not_count(offset: str, tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, f"table[0] = (word)kmalloc(24) + {offset};")
    assert lost == ["memory leak: 24 bytes in 1 block definitely lost, nobody points to it"]


POSSIBLY = "memory leak: 24 bytes in 1 block possibly lost, block #1 of 24 bytes at 0x002468a8: "
PACKED = "volatile struct __attribute__((packed)) { char tag[%d]; word link; } *t = (void *)table; t->link = (word)kmalloc(24)%s;"


@pytest.mark.parametrize("offset", [1, 2, 3, 5, 11])
def test_a_packed_structure_holds_a_block(offset: int, tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, PACKED % (offset, ""))
    assert lost == []
    (held,) = reachable
    assert held.endswith(f"pointed to by global table+0x{offset:x} (unaligned)")


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_what_lies_in_a_packed_block_is_followed(offset: int, tmp_path: Path) -> None:
    body = PACKED.replace("(void *)table", "kmalloc(20)").replace(
        "kmalloc(24)", "kmalloc(24); table[0] = (word)t"
    )
    assert texts(tmp_path, body % (offset, ""))[0] == []


@pytest.mark.parametrize("offset", [1, 2, 3, 5, 11])
def test_an_odd_address_into_a_block_may_hold_it(offset: int, tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, PACKED % (offset, " + 8"))
    assert lost == [f"{POSSIBLY}pointed to only by global table+0x{offset:x} (unaligned)"]
    assert reachable == []


def test_numbers_can_be_taken_for_a_pointer_at_an_odd_address(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, "next_block = 0x200000; kmalloc(24); next_block = 0; table[2] = 0x20;")
    assert lost == [f"{POSSIBLY.replace('2468a8', '200000')}pointed to only by global table+0x6 (unaligned)"]


@pytest.mark.parametrize(
    ("body", "holder"),
    [
        ("table[1] = (word)kmalloc(24) + 24;", "global table+0x4"),
        ((PACKED % (3, " + 24")), "global table+0x3 (unaligned)"),
        ("stack[1023] = (word)kmalloc(24) + 24;", "the stack of the CPU"),
    ],
)
def test_the_address_after_its_end_may_hold_a_block(body: str, holder: str, tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, body)
    assert lost == [f"{POSSIBLY}only the address after its end is held, by {holder}"]
    assert reachable == []


@pytest.mark.parametrize(
    ("body", "is_lost"),
    [
        ("table[1] = (word)kmalloc(24) + 24;", False),
        (PACKED % (3, " + 24"), False),
        ("table[1] = (word)kmalloc(1) + 1;", False),
        ("stack[1023] = (word)kmalloc(24) + 24;", False),
        ("kmalloc(24); next_block += 64; kmalloc_end();", True),
        ("table[1] = (word)kmalloc(24) + 24; kmalloc(16); table[2] = (word)table;", True),
    ],
)
def test_what_a_program_keeps_of_the_end_of_a_block_holds_it(
    body: str, is_lost: bool, tmp_path: Path
) -> None:
    """What its allocator writes there does not, nor does an address at which another block begins."""
    note = 'HIDDEN void *kmalloc_end(void) { table[3] = 0x2468a8 + 24; asm volatile(""); return 0; } HIDDEN void scenario'
    source = KERNEL.replace("(size + 15) & ~7u", "size").replace("HIDDEN void scenario", note)
    image = KernelImage.read(
        compile_kernel(tmp_path, source.replace("BODY", body).replace("LEFT", "0"), ["-O1"])
    )
    inner = TracedFunction("kmalloc_end", "heap", Role.OTHER, (), Result.NONE)
    profile = match(Profile("bump", (*PROFILE.functions, inner), PROFILE.rules), image)
    report = check_kernel(Machine(image), profile, new_machine=lambda: Machine(image))
    lost = [finding.block.address for finding in report.findings if finding.block]
    assert (0x2468A8 in lost) == is_lost


STATIC_HEAP = """
word before, arena[256], after;
static word next_object = (word)&arena[2];
HIDDEN void *take_object(word size) { word p = next_object; next_object += size + 8; asm volatile(""); return (void *)p; }
HIDDEN void scenario"""


@pytest.mark.parametrize(
    ("body", "states"),
    [
        ("word *a = take_object(16), *b = take_object(24); a[1] = (word)b;", ["definitely", "indirectly"]),
        (
            "word *a = take_object(16), *b = take_object(24); a[4] = (word)b; table[0] = (word)a;",
            ["definitely"],
        ),
        ("word *a = take_object(16); before = (word)a; after = (word)take_object(24);", []),
        ("word *a = take_object(16); arena[250] = (word)a;", []),
    ],
)
def test_what_lies_in_a_static_heap_counts_by_its_blocks(
    body: str, states: list[str], tmp_path: Path
) -> None:
    """The words between them are its allocator's; but where no block ever was may be something else."""
    source = KERNEL.replace("HIDDEN void scenario", STATIC_HEAP).replace("BODY", body).replace("LEFT", "0")
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-O1"]))
    outer = TracedFunction("take_object", "objects", Role.ALLOC, ("size",), Result.POINTER, 0)
    report = check_kernel(Machine(image), match(Profile("static", (outer,)), image))
    assert sorted(finding.message.split()[-2] for finding in report.findings) == states


def test_memory_that_no_allocator_knows_holds_blocks(tmp_path: Path) -> None:
    """As what a kernel takes for itself before its allocators are up, and the head of a page that holds objects."""
    body = (
        "*(volatile word *)0x300000 = (word)kmalloc(24); *(volatile word *)0x300004 = (word)kmalloc(40) + 3;"
    )
    lost, reachable = texts(tmp_path, body)
    assert [text.split()[2] for text in lost] == ["40"]
    assert [text.partition(": pointed")[2] for text in reachable] == [
        " to by the word at 0x00300000, which is in no block"
    ]


def test_a_register_may_hold_the_end_of_a_block(tmp_path: Path) -> None:
    source = 'word end = (word)kmalloc(24) + 24; asm volatile("xor %%eax,%%eax; cli; hlt" :: "S"(end), "b"(0), "c"(0), "d"(0), "D"(0));'
    image = KernelImage.read(
        compile_kernel(tmp_path, KERNEL.replace("BODY", source).replace("LEFT", "0"), ["-O1"])
    )
    (finding,) = check_kernel(Machine(image), match(PROFILE, image)).findings
    assert finding.details == (
        "block #1 of 24 bytes at 0x002468a8: only the address after its end is held, by register esi",
    )


def test_what_only_a_doubtful_block_points_to_is_doubtful(tmp_path: Path) -> None:
    body = "word *a = kmalloc(24); table[0] = (word)a + 24; a[2] = (word)kmalloc(40);"
    lost, _ = texts(tmp_path, body)
    assert lost == [
        (
            "memory leak: 40 bytes in 1 block possibly lost, block #2 of 40 bytes at 0x002468c8: pointed to only by block"
            " #1 of 24 bytes +0x8, which is possibly lost itself"
        ),
        f"{POSSIBLY}only the address after its end is held, by global table",
    ]


def test_of_the_blocks_of_a_loop_some_are_doubtful(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, "for (word i = 0; i < 3; i++) table[0] = (word)kmalloc(24) + 24;")
    assert [text.partition(": ")[2].partition(", block")[0] for text in lost] == [
        "72 bytes in 3 blocks, 2 definitely lost and 1 possibly lost"
    ]


def test_where_a_block_begins_another_one_s_end_proves_nothing(tmp_path: Path) -> None:
    """The second frame begins where the first one ends."""
    report = checked(tmp_path, "next_frame = 0x4bc; alloc_frame(); table[0] = alloc_frame() << 12;")
    assert [finding.details for finding in report.findings] == [("nobody points to it",)]
    assert len(report.reachable) == 1


def test_blocks_that_a_reachable_block_points_to_are_reachable(tmp_path: Path) -> None:
    body = "word *a = kmalloc(16), *b = kmalloc(24); table[0] = (word)a; a[3] = (word)b; b[0] = (word)kmalloc(8);"
    lost, reachable = texts(tmp_path, body)
    assert lost == []
    assert len(reachable) == 3
    assert reachable[0].endswith(
        "block #2 of 24 bytes at 0x002468c0: pointed to by block #1 of 16 bytes +0xc"
    )


def test_blocks_that_only_lost_blocks_point_to_are_indirectly_lost(tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, "word *a = kmalloc(16); a[1] = (word)kmalloc(24);")
    assert reachable == []
    assert lost == [
        (
            "memory leak: 24 bytes in 1 block indirectly lost, block #2 of 24 bytes at 0x002468c0: pointed to"
            " only by block #1 of 16 bytes +0x4, which is lost itself"
        ),
        "memory leak: 16 bytes in 1 block definitely lost, nobody points to it",
    ]


def test_blocks_of_one_call_site_are_one_finding(tmp_path: Path) -> None:
    body = "for (int i = 0; i < 6; i++) { word *p = kmalloc(16); if (i == 2) table[2] = (word)p; }"
    lost, reachable = texts(tmp_path, body)
    assert lost == ["memory leak: 80 bytes in 5 blocks definitely lost, nobody points to 5 blocks"]
    assert len(reachable) == 1


def test_the_largest_leak_comes_first(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, "kmalloc(16); kmalloc(400); kmalloc(24);")
    assert [text.split()[2] for text in lost] == ["400", "24", "16"]


@pytest.mark.parametrize(
    ("body", "is_lost"),
    [
        ("alloc_frame();", True),
        ("table[0] = alloc_frame();", False),
        ("table[0] = alloc_frame() << 12 | 3;", False),  # as in a page table
        ("table[0] = alloc_frame() + 1;", True),
    ],
)
def test_frames_are_known_by_number_and_by_address(body: str, is_lost: bool, tmp_path: Path) -> None:
    report = checked(tmp_path, body)
    assert (len(report.findings), len(report.reachable)) == ((1, 0) if is_lost else (0, 1))


# Memory is mapped at 0xC0000000, too, and known by addresses there; the first frame becomes the page directory.
HIGHER_HALF = """
    next_frame = 0xC0300;
    volatile word *directory = (word *)((alloc_frame() << 12) - 0xC0000000);
    for (word i = 0; i < 2; i++) directory[i] = directory[0x300 + i] = i << 22 | 0x83;
    asm volatile("mov %%cr4,%%eax; or $0x10,%%eax; mov %%eax,%%cr4; mov %0,%%cr3; mov %%cr0,%%eax; or $0x80000000,%%eax; mov %%eax,%%cr0"
                 :: "r"(directory) : "eax", "memory");
    volatile word *pages = (word *)(alloc_frame() << 12);
    table[0] = (word)pages;
"""


@pytest.mark.parametrize(
    ("entry", "is_lost"),
    [
        ("pages[9] = 0x302007;", False),
        ("pages[9] = 0x302001;", False),
        ("pages[9] = 0x302006;", True),  # not present
        ("pages[9] = 0x303007;", True),  # another page
        ("*(volatile word *)((word)pages + 37) = 0x302007;", True),  # no entry lies there
    ],
)
def test_pages_are_known_by_entries_of_page_tables(entry: str, is_lost: bool, tmp_path: Path) -> None:
    report = checked(tmp_path, f"{HIGHER_HALF} alloc_frame(); {entry}")
    assert [finding.block.address for finding in report.findings if finding.block] == [0xC0302000] * is_lost
    held = {finding.details[0].partition(": pointed to by ")[2] for finding in report.reachable}
    assert held >= {"register cr3", "global table"}


def test_the_frames_of_a_heap_are_no_leak(tmp_path: Path) -> None:
    body = "word frame = alloc_frame(); next_block = frame << 12; word *p = kmalloc(8); p[1] = (word)kmalloc(8); frame = 0; table[0] = (word)p;"
    lost, reachable = texts(tmp_path, body)
    assert lost == []
    assert len(reachable) == 2  # the two blocks


def test_frames_that_once_were_a_heap_can_be_lost(tmp_path: Path) -> None:
    body = "next_block = 0x300000; next_frame = 0x300; kmalloc(8); alloc_frame(); next_block = 0;"
    report = checked(tmp_path, body)
    assert [finding.area for finding in report.findings] == ["frames"]


def test_the_allocator_s_own_variables_hold_nothing_by_its_end(tmp_path: Path) -> None:
    body = "table[1] = (word)kmalloc(24) + 24; next_block = table[1];"
    image = KernelImage.read(
        compile_kernel(tmp_path, KERNEL.replace("BODY", body).replace("LEFT", "0"), ["-O1"])
    )
    machine, profile = Machine(image), match(PROFILE, image)
    with record_trace(machine, tmp_path / "t", profile):
        machine.run()
    trace = Trace.read(tmp_path / "t")
    states = [
        find_leaks(trace, GuestWords(machine, names)).lost[0].message.partition("block ")[2]
        for names in ([], ["table"], ["next_block", "table", "nothing"])
    ]
    assert states == ["possibly lost", "possibly lost", "definitely lost"]


SIZELESS = Profile("bump", (TracedFunction("kmalloc", "heap", Role.ALLOC, ("bytes",), Result.POINTER, 0),))


@pytest.mark.parametrize(
    ("word", "others", "lost"),
    [("0", "", 0), ("1023", "", 0), ("1030", "", 0), ("8", "next_block += 32 - 24; kmalloc(8);", 2)],
)
def test_blocks_of_unknown_size_are_scanned_up_to_the_next(
    word: str, others: str, lost: int, tmp_path: Path
) -> None:
    body = f"word *a = kmalloc(8); {others} next_block = 0x260000; table[0] = (word)a; a[{word}] = (word)kmalloc(8);"
    image = KernelImage.read(
        compile_kernel(tmp_path, KERNEL.replace("BODY", body).replace("LEFT", "0"), ["-O1"])
    )
    assert len(check_kernel(Machine(image), SIZELESS).findings) == lost


def test_a_block_of_one_byte_holds_nothing(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, "word *a = kmalloc(1); table[0] = (word)a; a[0] = (word)kmalloc(8);")
    assert [text.partition(",")[0] for text in lost] == ["memory leak: 8 bytes in 1 block definitely lost"]


def test_of_blocks_of_unknown_size_only_the_start_is_known(tmp_path: Path) -> None:
    image = KernelImage.read(
        compile_kernel(
            tmp_path,
            KERNEL.replace("BODY", "table[0] = (word)kmalloc(24) + 1;").replace("LEFT", "0"),
            ["-O1"],
        )
    )
    (finding,) = check_kernel(Machine(image), SIZELESS).findings
    assert finding.message == "memory leak: 1 block definitely lost"
    assert finding.details == (
        "nobody points to it",
        "without a known size: pointers into a block were not looked for",
    )


CACHES = """
HIDDEN void *take_object(word size) { void *p = kmalloc(size); asm volatile(""); return p; }
HIDDEN void scenario"""
"""An allocator that answers what the one below it has answered."""


@pytest.mark.parametrize(("kept", "lost"), [("", [("objects", 32)]), (" table[0] = (word)p;", [])])
def test_a_block_is_known_where_one_of_unknown_size_begins(
    kept: str, lost: list[tuple[str, int]], tmp_path: Path
) -> None:
    source = KERNEL.replace("HIDDEN void scenario", CACHES)
    source = source.replace("BODY", f"void *p = take_object(32); (void)p;{kept}").replace("LEFT", "0")
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-O1"]))
    outer = TracedFunction("take_object", "objects", Role.ALLOC, ("size",), Result.POINTER, 0)
    report = check_kernel(Machine(image), Profile("caches", (outer, *SIZELESS.functions)))
    assert [(finding.area, finding.block.size) for finding in report.findings if finding.block] == lost
    assert [finding.area for finding in report.findings] == [area for area, _ in lost]


def with_ranges(folder: Path, body: str) -> CheckReport:
    source = KERNEL.replace("HIDDEN void scenario", f"{RANGES}HIDDEN void scenario")
    return checked(folder, body, source=source)


def test_what_an_allocator_keeps_of_a_block_does_not_hold_it(tmp_path: Path) -> None:
    """Its record is taken inside the call, and in a list of the allocator's. The second of three ranges is lost."""
    body = "table[0] = take_range(32); take_range(64); next_range += 64; table[1] = take_range(128);"
    report = with_ranges(tmp_path, body)
    (leak,) = report.findings
    assert (leak.area, leak.message) == ("ranges", "memory leak: 64 bytes in 1 block definitely lost")
    held = {each.area for each in report.reachable}
    assert held == {"heap", "ranges"}, "records can be reached, by the list"


def test_what_somebody_else_keeps_of_it_does(tmp_path: Path) -> None:
    body = "word *other = kmalloc(8); table[0] = (word)other; other[0] = take_range(32);"
    assert with_ranges(tmp_path, body).findings == ()


def test_a_record_that_nothing_leads_to_is_lost_itself(tmp_path: Path) -> None:
    """Its allocator has lost it, and the range is held elsewhere."""
    (leak,) = with_ranges(tmp_path, "table[0] = take_range(32); ranges = 0;").findings
    assert (leak.area, leak.message) == ("heap", "memory leak: 8 bytes in 1 block definitely lost")


CPU_TABLES = """
    volatile word *gdt = kmalloc(64), *tss = kmalloc(104), *idt = kmalloc(256);
    word base = (word)tss;
    next_block = 0x00345670;
    word percpu = (word)kmalloc(32);
    gdt[2] = 0xffff; gdt[3] = 0xcf9a00; gdt[4] = 0xffff; gdt[5] = 0xcf9200;
    gdt[6] = base << 16 | 103; gdt[7] = (base >> 16 & 0xff) | 0x8900 | (base & 0xff000000);
    gdt[8] = percpu << 16 | 31; gdt[9] = (percpu >> 16 & 0xff) | 0x409200 | (percpu & 0xff000000);
    unsigned short gdtr[3] = {63, (unsigned short)(word)gdt, (word)gdt >> 16};
    unsigned short idtr[3] = {255, (unsigned short)(word)idt, (word)idt >> 16};
    asm volatile("lgdt %0; lidt %1" :: "m"(gdtr), "m"(idtr) : "memory");
    SWITCH
    gdt = tss = idt = 0; base = percpu = 0;
"""


@pytest.mark.parametrize("switch", ["", 'asm volatile("ltr %%ax" :: "a"(0x18));'])
def test_what_the_cpu_uses_is_held_by_it(switch: str, tmp_path: Path) -> None:
    lost, reachable = texts(tmp_path, CPU_TABLES.replace("SWITCH", switch))
    assert lost == []
    held = [text.rpartition("pointed to by ")[2] for text in reachable]
    task = "the TSS" if switch else "the descriptor 0x18 of the GDT"
    assert sorted(held) == sorted(
        f"the CPU, for {each}" for each in ("the GDT", "the IDT", task, "the descriptor 0x20 of the GDT")
    )


def test_a_descriptor_that_is_not_present_holds_nothing(tmp_path: Path) -> None:
    lost, _ = texts(tmp_path, CPU_TABLES.replace("0x409200", "0x401200").replace("SWITCH", ""))
    assert [text.split()[2] for text in lost] == ["32"]


STACK_TOP = """
    static volatile word tss[26], gdt[8];
    word base = (word)tss;
    gdt[2] = 0xffff; gdt[3] = 0xcf9a00; gdt[4] = 0xffff; gdt[5] = 0xcf9200;
    gdt[6] = base << 16 | 103; gdt[7] = (base >> 16 & 0xff) | 0x8900 | (base & 0xff000000);
    unsigned short gdtr[3] = {63, (unsigned short)(word)gdt, (word)gdt >> 16};
    asm volatile("lgdt %0; ltr %%ax" :: "m"(gdtr), "a"(0x18) : "memory");
    tss[1] = (word)kmalloc(24) + OFFSET;
    base = 0;
"""


@pytest.mark.parametrize("offset", [0, 8, 24])
@pytest.mark.parametrize("interior", [True, False])
def test_a_stack_of_the_cpu_lies_below_its_address_in_the_tss(
    offset: int, interior: bool, tmp_path: Path
) -> None:
    profile = Profile("bump", PROFILE.functions[:1], {"heap": AreaRules(interior=interior)})
    lost = states(tmp_path, STACK_TOP.replace("OFFSET", str(offset)), profile)
    assert lost == ([] if offset else ["definitely lost: nobody points to it"])


CODE = """
asm(".align 4; .globl compiled_in; compiled_in: .long 0x2468a8, 0; ret"); // in .text, which is writable here
asm(".section .rodata; .byte 1; .long 0x2468a8; .text");
extern word compiled_in[2];
HIDDEN void scenario"""


@pytest.mark.parametrize(
    ("body", "is_lost"), [("kmalloc(24);", True), ("compiled_in[1] = (word)kmalloc(24);", False)]
)
def test_a_constant_in_code_holds_nothing(body: str, is_lost: bool, tmp_path: Path) -> None:
    source = KERNEL.replace("HIDDEN void scenario", CODE).replace("BODY", body).replace("LEFT", "0")
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-O1", "-Wl,-N"]))
    report = check_kernel(Machine(image), match(PROFILE, image))
    assert bool(report.findings) == is_lost


FREE_LIST = """
static word *list, *fresh = (word *)0x300000;
HIDDEN word *get(word size)
{
    word *p = list;
    if (p)
        list = (word *)p[0];
    else
        p = fresh, fresh += 64;
    asm volatile("");
    return p;
}
HIDDEN void give(word *p) { p[0] = (word)list; list = p; asm volatile(""); }
HIDDEN void scenario"""
TWICE = "word *a = get(16), *b = get(16); give(b); give(a); a = get(16); b = get(16); table[0] = (word)a;"


@pytest.mark.parametrize(
    ("body", "lost"), [("", ["definitely lost"]), ("a[0] = (word)b;", []), ("a[1] = (word)b;", [])]
)
@pytest.mark.parametrize("is_rerun", [True, False])
def test_a_link_in_a_list_of_free_blocks_holds_nothing(
    body: str, lost: list[str], is_rerun: bool, tmp_path: Path
) -> None:
    """It lies in the first block still, which was in the list in front of the second one. It takes another run to know it."""
    source = (
        KERNEL.replace("HIDDEN void scenario", FREE_LIST).replace("BODY", TWICE + body).replace("LEFT", "0")
    )
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-O1"]))
    functions = (
        TracedFunction("get", "blocks", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("give", "blocks", Role.FREE, ("ptr",), Result.NONE),
    )
    new = (lambda: Machine(image)) if is_rerun else None
    report = check_kernel(Machine(image), match(Profile("list", functions), image), new_machine=new)
    assert [finding.message.partition("block ")[2] for finding in report.findings] == lost * is_rerun


STACKED = """
word *known[8];
static word *free_pages[8], count, *fresh = (word *)0x300000;
HIDDEN void fill(word n) { while (n--) free_pages[count++] = fresh, fresh += 2048; asm volatile(""); }
HIDDEN word *get(void)
{
    if (!count)
        fill(2);
    word *p = free_pages[--count];
    known[(word)p >> 13 & 7] = TABLE;
    asm volatile("");
    return p;
}
HIDDEN void give(word *p) { free_pages[count++] = p; asm volatile(""); }
HIDDEN word *resize(word *p, word size) { if (size > 8192) p = 0; asm volatile(""); return p; }
HIDDEN void note(word *p) { free_pages[count - 1] = p; asm volatile(""); }
HIDDEN void scenario"""
"""Free pages lie in an array. `known` has those that live, if the allocator keeps them there."""
POSSIBLY_LOST = ["memory leak: 4096 bytes in 1 block possibly lost"]


@pytest.mark.parametrize(
    ("body", "table", "lost"),
    [
        ("give(get()); get();", "0", POSSIBLY_LOST),
        ("fill(3); get();", "0", POSSIBLY_LOST),
        ("give(get()); table[0] = (word)get();", "0", []),
        ("give(get()); get();", "p", []),
        ("resize(get(), 8192);", "p", []),
        ("word *a = get(); give(a); get(); free_pages[count] = a;", "0", []),
        ("word *a = get(); give(a); note(a); get();", "0", []),
        ("get();", "0", []),
    ],
    ids=[
        "freed",
        "seeded",
        "kept",
        "table",
        "resized",
        "written by a program",
        "written by another allocator",
        "written as it is taken",
    ],
)
@pytest.mark.parametrize("is_rerun", [True, False])
def test_what_is_left_over_in_an_array_of_free_blocks_does_not_hold_them(
    body: str, table: str, lost: list[str], is_rerun: bool, tmp_path: Path
) -> None:
    """It takes another run to know it."""
    source = KERNEL.replace("HIDDEN void scenario", STACKED.replace("TABLE", table))
    image = KernelImage.read(
        compile_kernel(tmp_path, source.replace("BODY", body).replace("LEFT", "0"), ["-O1"])
    )
    functions = (
        TracedFunction("fill", "pages", Role.SEED, ("n",), Result.NONE),
        TracedFunction("get", "pages", Role.ALLOC, (), Result.POINTER, 0),
        TracedFunction("give", "pages", Role.FREE, ("ptr",), Result.NONE),
        TracedFunction("resize", "pages", Role.REALLOC, ("ptr", "size"), Result.POINTER, 0),
        TracedFunction("note", "others", Role.FREE, ("ptr",), Result.NONE),
    )
    new = (lambda: Machine(image)) if is_rerun else None
    report = check_kernel(
        Machine(image), match(Profile("stack", functions, {"pages": PAGES}), image), new_machine=new
    )
    assert [finding.message for finding in report.findings] == lost * is_rerun
    for finding in report.findings:
        assert "what the allocator noted while it was free" in finding.details[0]
        assert "global free_pages" in finding.details[0]


CUT = FREE_LIST.replace(
    "    if (p)\n",
    "    if (!p) {\n        for (p = fresh, fresh += 64; p < fresh; p += 16) p[0] = (word)list, list = p;\n        p = list;\n    }\n    if (p)\n",
).replace(
    "HIDDEN void give",
    'HIDDEN word *get_before(word size, word *next) { word *p = get(size); p[0] = (word)next; asm volatile(""); return p; }\n'
    'HIDDEN word *resize(word *p, word size) { asm volatile(""); return p; }\nHIDDEN void give',
)
CUT_FUNCTIONS = (
    TracedFunction("get", "blocks", Role.ALLOC, ("size",), Result.POINTER, 0),
    TracedFunction("get_before", "blocks", Role.ALLOC, ("size", "next"), Result.POINTER, 0),
    TracedFunction("resize", "blocks", Role.REALLOC, ("ptr", "size"), Result.POINTER, 0),
)


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ("word *a = get(16); get(16); table[0] = (word)a;", ["definitely lost"]),
        ("word *a = get(16), *b = get(16); table[0] = (word)a; a[0] = (word)b;", []),
        ("word *b = get(16), *a = get_before(16, b); table[0] = (word)a; resize(b, 8);", []),
    ],
)
def test_a_link_that_an_allocator_made_when_it_cut_memory_holds_nothing(
    body: str, lost: list[str], tmp_path: Path
) -> None:
    """But what it writes into a block for its caller may be a pointer to an older one, which has been resized since."""
    source = KERNEL.replace("HIDDEN void scenario", CUT)
    found = states(tmp_path, body, Profile("list", CUT_FUNCTIONS), source=source)
    assert [text.partition(":")[0] for text in found] == lost


def states(folder: Path, body: str, profile: Profile, *, source: str = KERNEL) -> list[str]:
    """Return how far the findings of a run are lost, and what holds them; the kernel may run twice."""
    image = KernelImage.read(
        compile_kernel(folder, source.replace("BODY", body).replace("LEFT", "0"), ["-O1"])
    )
    report = check_kernel(Machine(image), match(profile, image), new_machine=lambda: Machine(image))
    return [
        f"{finding.message.partition('block ')[2]}: {finding.details[-1].rpartition(': ')[2]}"
        for finding in report.findings
    ]


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("p", []),
        ("p + 8", ["possibly lost: only an address in it is held, by global table+0x4"]),
        ("p + 24", []),
    ],
)
def test_a_pointer_into_a_block_holds_it_where_the_profile_allows(
    pointer: str, found: list[str], tmp_path: Path
) -> None:
    starts_only = Profile("bump", PROFILE.functions[:1], {"heap": AreaRules(interior=False)})
    body = f"word p = (word)kmalloc(24); table[1] = {pointer}; next_block += 64;"
    assert states(tmp_path, body, starts_only) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("table[1] = (word)kmalloc(24) - 8;", []),
        ("table[1] = (word)kmalloc(24) - 4;", ["definitely lost: nobody points to it"]),
        ("take_range(24);", ["possibly lost: pointed to only by global table+0x4"]),
    ],
)
def test_a_pointer_to_its_header_holds_a_block(body: str, found: list[str], tmp_path: Path) -> None:
    """An allocator keeps one of each block."""
    note = 'HIDDEN word take_range(word size) { table[1] = (word)kmalloc(size) - 8; asm volatile(""); return table[1] + 8; }'
    source = KERNEL.replace("HIDDEN void scenario", f"{note} HIDDEN void scenario")
    outer = TracedFunction("take_range", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
    profile = Profile("bump", (PROFILE.functions[0], outer), {"heap": AreaRules(header=8)})
    assert states(tmp_path, body, profile, source=source) == found


PAGE_ARRAY = """
struct page { word flags, count; } pages[64];
HIDDEN struct page *get_page(void) { static word next; asm volatile(""); return &pages[next++]; }
HIDDEN void scenario"""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("table[1] = (word)get_page();", []),
        ("word *p = kmalloc(24); p[2] = (word)get_page(); table[1] = (word)p;", []),
        ("get_page(); table[1] = (word)get_page();", ["definitely lost: nobody points to it"]),
        ("get_page(); table[1] = 0x345000;", []),
    ],
)
def test_a_page_is_known_by_what_describes_it(body: str, found: list[str], tmp_path: Path) -> None:
    function = TracedFunction(
        "get_page", "pages", Role.ALLOC, (), Result.POINTER, 0, block="(result - pages) / 8 * 4096 + 0x345000"
    )
    profile = Profile("pages", (PROFILE.functions[0], function), {"pages": PAGES})
    source = KERNEL.replace("HIDDEN void scenario", PAGE_ARRAY)
    assert states(tmp_path, body, profile, source=source) == found
