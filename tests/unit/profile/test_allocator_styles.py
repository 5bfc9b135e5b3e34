"""Kernels whose allocators say sizes and blocks in their own ways, each described by a profile and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.check.checked_run import check_kernel
from emulator.cli.machine_options import chosen_profile
from emulator.errors import UnsupportedFunction
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.trace.recording import CallLog
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.trace.table import CallTable

HEAD = """
typedef unsigned u;
#define NI __attribute__((noinline, noclone))
char stack[8192];
void *volatile kept[8];
void main(void);
__asm__(".text\\n.globl _start\\n_start: mov $stack+8192, %esp\\n call main\\n mov $0xf4, %dx\\n xor %eax, %eax\\n out %al, %dx\\n 1: hlt\\n jmp 1b\\n");
"""

SLAB = (
    HEAD
    + """
struct cache { struct { u low, object_size; } body; char *next; } small = {{0, 24}, 0}, large = {{0, 80}, 0};
char arena[4096]; u used;
NI void *cache_get(struct cache *cache, int flags)
{
    char *block = arena + used + flags;
    used += cache->body.object_size;
    return block;
}
NI void cache_put(struct cache *cache, void *block) { cache->next = block; }
void main(void)
{
    kept[0] = cache_get(&small, 0);
    kept[1] = cache_get(&large, 0);
    kept[2] = cache_get(&small, 0);
    cache_put(&large, kept[1]);
    cache_put(&small, kept[2]);
    kept[1] = kept[2] = 0;
}
"""
)

PAGES = (
    HEAD
    + """
struct page { u flags, count; };
struct page pages[64], *mem_map;
u next = 8;
NI struct page *alloc_pages(u flags, u order)
{
    struct page *page = mem_map + next;
    page->count = 1;
    page->flags = flags;
    next += 1u << order;
    return next > 64 ? 0 : page;
}
NI void put_page(struct page *page, u order) { page->count--; page->flags += order; }
NI void get_page(struct page *page) { page->count++; }
u entry;
NI void map_frame(u *pte) { if (!*pte) *pte = (next++ + 0x200) << 12 | 3; }
NI void free_frame(u *pte) { *pte = 0; }
void main(void)
{
    struct page *a, *b;
    mem_map = pages;
    kept[0] = a = alloc_pages(0, 0);
    kept[1] = b = alloc_pages(0, 2);
    get_page(a);
    put_page(a, 0);
    put_page(b, 2);
    put_page(a, 0);
    kept[2] = alloc_pages(0, 6);
    map_frame(&entry);
    map_frame(&entry);
    free_frame(&entry);
    free_frame(&entry);
}
"""
)

SEEDED = (
    HEAD
    + """
struct run { struct run *next; } *list, *waiting;
char arena[4096] __attribute__((aligned(64)));
NI void put(void *block) { struct run *run = block; run->next = list; list = run; }
NI void *get(void) { struct run *run = list; if (run) list = run->next; return run; }
NI void start(char *from, char *to) { for (; from < to; from += 64) put(from); }
NI void put_later(void *block) { struct run *run = block; run->next = waiting; waiting = run; }
NI void drain(void) { while (waiting) { struct run *run = waiting; waiting = run->next; put(run); } }
void main(void)
{
    start(arena, arena + 512);
    kept[0] = get();
    kept[1] = get();
    put_later(kept[1]);
    kept[1] = 0;
    drain();
    kept[1] = get();
    put(kept[0]);
    EXTRA
    put(kept[1]);
    kept[0] = kept[1] = 0;
}
"""
)


def checked(directory: Path, source: str, text: str, options: list[str] | None = None) -> CheckReport:
    image = KernelImage.read(compile_kernel(directory, source, ["-g"] if options is None else options))
    file = directory / "mine.toml"
    file.write_text(text)
    return check_kernel(Machine(image), match(read_profile(file), image))


def calls(directory: Path, source: str, text: str, options: list[str]) -> CallTable:
    image = KernelImage.read(compile_kernel(directory, source, options))
    file = directory / "mine.toml"
    file.write_text(text)
    machine = Machine(image)
    log = CallLog(machine, match(read_profile(file), image))
    machine.run(timeout_s=20)
    return log.calls()


SLAB_PROFILE = """
[slab]
alloc = "cache_get(cache, flags) -> ptr, size = cache->body.object_size"
free = "cache_put(cache, ptr), size = {}"
"""


def messages(report: CheckReport) -> list[str]:
    return [f"{finding.kind.value}: {finding.message}" for finding in report.findings]


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-Os"])
def test_sizes_from_a_field_of_what_an_argument_points_to(tmp_path: Path, level: str) -> None:
    report = checked(tmp_path, SLAB, SLAB_PROFILE.format("cache->body.object_size"), ["-g", level])
    assert messages(report) == []
    assert report.measures["slab"].peak_bytes == 24 + 80 + 24
    assert report.measures["slab"].end_bytes == 24


def test_without_debug_information_by_the_offset(tmp_path: Path) -> None:
    profile = SLAB_PROFILE.replace("cache->body.object_size", "*(cache + 4)").format("cache[1] + 1")
    report = checked(tmp_path, SLAB, profile, [])
    assert [line.partition(" of ")[0] for line in messages(report)] == ["wrong-size-free: free"] * 2
    with pytest.raises(
        UnsupportedFunction, match=r"^cannot watch cache_get: the kernel's debug information does not say"
    ):
        checked(tmp_path, SLAB, SLAB_PROFILE.format("24"), [])


PAGES_PROFILE = """
[pages]
pages = true
alloc = "alloc_pages(flags, order) -> ptr = (result - mem_map) / 8 * 4096"
free = "put_page(page, order), ptr = (page - mem_map) / 8 * 4096"
share = "get_page(page), ptr = (page - &pages) / 8 * 4096"

[frames]
pages = true
alloc = "map_frame(pte) -> frame = *pte >> 12, when = *pte == 0"
free = "free_frame(pte), frame = *pte >> 12, when = *pte != 0"
"""


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_pages_named_by_their_structures_and_by_entries(tmp_path: Path, level: str) -> None:
    report = checked(tmp_path, PAGES, PAGES_PROFILE, ["-g", level])
    assert messages(report) == []
    pages, frames = report.measures["pages"], report.measures["frames"]
    assert (pages.peak_bytes, pages.end_bytes, pages.failed) == (5 * 4096, 0, 1)
    assert (frames.peak_bytes, frames.end_bytes, frames.failed) == (4096, 0, 0)


def test_blocks_are_where_the_expression_says(tmp_path: Path) -> None:
    table = calls(tmp_path, PAGES, PAGES_PROFILE, ["-g"])
    made = [call.out for call in table if call.function == "alloc_pages"]
    assert made[:2] == [8 * 4096, 9 * 4096]
    assert [call.arguments[1] for call in table if call.function == "get_page"] == [8 * 4096]


SEEDED_PROFILE = """
[objects]
alignment = 64
alloc = "get() -> ptr, size = 64"
free = "put(ptr)"
"""
MORE = SEEDED_PROFILE + 'seed = "start(start, end)"\ndefer = "put_later(ptr)"\n'


def test_frees_that_seed_and_frees_that_are_deferred(tmp_path: Path) -> None:
    assert messages(checked(tmp_path, SEEDED.replace("EXTRA", ""), MORE)) == []


def test_without_saying_so_they_are_findings(tmp_path: Path) -> None:
    found = {
        line.partition(":")[0]
        for line in messages(checked(tmp_path, SEEDED.replace("EXTRA", ""), SEEDED_PROFILE))
    }
    assert found == {"invalid-free"}


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ("put(kept[0]);", "double-free"),
        ("put_later(kept[1]);", "double-free"),
        ("put(stack);", "invalid-free"),
    ],
)
def test_mistakes_are_found_nevertheless(tmp_path: Path, extra: str, kind: str) -> None:
    """The second one is freed at the end, which is the free that was deferred; then the first free after it is one too many."""
    source = SEEDED.replace("EXTRA", extra)
    if "later" in extra:
        source = source.replace("kept[0] = kept[1] = 0;", "put(kept[1]);")
    assert [line.partition(":")[0] for line in messages(checked(tmp_path, source, MORE))] == [kind]


@pytest.mark.parametrize(
    ("extra", "kinds"),
    [
        ("put_later(kept[1]); kept[1] = get();", []),
        ("put_later(kept[1]); put(kept[1]); kept[1] = get();", ["double-free"]),
        ("put_later(kept[1]); drain(); kept[1] = get();", []),
    ],
)
def test_what_an_allocator_frees_later_nobody_else_may_free(
    tmp_path: Path, extra: str, kinds: list[str]
) -> None:
    """The allocator frees it when the next block is taken."""
    source = SEEDED.replace("EXTRA", extra).replace(
        "NI void *get(void) {", "NI void drain(void);\nNI void *get(void) { drain();"
    )
    report = checked(tmp_path, source, MORE)
    assert [finding.kind.value for finding in report.findings] == kinds
    extra_line = source[: source.index(extra)].count("\n") + 1
    for finding in report.findings:
        assert finding.call_site is not None
        assert finding.call_site.function == "put"
        assert finding.call_site.backtrace[0].line == extra_line


def test_the_alignment_of_an_area(tmp_path: Path) -> None:
    report = checked(tmp_path, SEEDED.replace("EXTRA", ""), MORE.replace("64\n", "128\n", 1))
    assert {line.rpartition(") ")[2] for line in messages(report)} == {"is not aligned to 128 bytes"}


REGISTERS = (
    HEAD
    + """
char arena[4096]; u used;
static NI void *take(u size, u unused) { char *block = arena + used; used += size; return block; }
void main(void) { kept[0] = take(100, 1); kept[1] = take(200, 2); }
"""
)


def test_places_that_the_profile_names(tmp_path: Path) -> None:
    found = calls(tmp_path, REGISTERS, '[heap]\nalloc = "take(size @ eax, low @ esp+0)"\n', [])
    assert [call.arguments[0] for call in found] == [100, 200]


def test_what_is_not_known_is_marked(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, REGISTERS, []))
    file = tmp_path / "mine.toml"
    file.write_text('[heap]\nalloc = "take(size, unused)"\n')
    profile = match(read_profile(file), image)
    (function,) = profile.functions
    assert set(function.unknown) == {"size", "unused"}
    report = check_kernel(Machine(image), profile)
    assert report.measures["heap"].peak_bytes == 0
    assert {(each.function, each.parameter) for each in report.unknown} == {
        ("take", "size"),
        ("take", "unused"),
    }
    assert all(each.reason for each in report.unknown)


def test_a_block_that_cannot_be_known_is_refused(tmp_path: Path) -> None:
    source = REGISTERS.replace(
        "void main(void) {", "static NI void drop(void *p) { kept[2] = p; }\nvoid main(void) { drop(arena);"
    )
    with pytest.raises(
        UnsupportedFunction,
        match=r"^cannot watch drop: its parameter ptr is not known: .*; say where it is, such as ptr @ eax$",
    ):
        checked(tmp_path, source, '[heap]\nalloc = "take(size)"\nfree = "drop(ptr)"\n', [])


def test_functions_of_which_no_call_was_seen(tmp_path: Path) -> None:
    source = SEEDED.replace("EXTRA", "").replace("put_later(kept[1]);", "")
    assert checked(tmp_path, source, MORE).never_called == ("put_later",)


RECORDS = (
    HEAD
    + """
struct record { struct record *next; char *block; u size; } *records;
char arena[16384]; u used;
void *kmalloc(u size);
void kfree(void *block);
NI static void note(char *block, u size)
{
    struct record *record = kmalloc(sizeof *record);
    record->block = block, record->size = size, record->next = records, records = record;
}
NI void *kmalloc(u size)
{
    char *block = arena + used;
    used += size;
    if (size != sizeof(struct record))
        note(block, size);
    return block;
}
NI void kfree(void *block)
{
    *(char *)block = 0;
    for (struct record **at = &records; *at; at = &(*at)->next)
        if ((*at)->block == block) {
            struct record *record = *at;
            *at = record->next;
            FORGET
            return;
        }
}
void main(void)
{
    for (u i = 0; i < 4; i++)
        kept[i] = kmalloc(100 + i);
    for (u i = 0; i < 3; i++) {
        kfree(kept[i]);
        kept[i] = 0;
    }
    EXTRA
}
"""
)
RECORDS_PROFILE = '[heap]\nalignment = 1\nalloc = "kmalloc(size)"\nfree = "kfree(ptr)"\n'


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-Os"])
def test_records_that_an_allocator_takes_from_itself(tmp_path: Path, level: str) -> None:
    source = RECORDS.replace("FORGET", "kfree(record);").replace(
        "EXTRA", "struct record *last = records; records = 0; kfree(last);"
    )
    report = checked(tmp_path, source, RECORDS_PROFILE, ["-g", level, "-fno-optimize-sibling-calls"])
    assert messages(report) == []
    measures = report.measures["heap"]
    assert (measures.peak_bytes, measures.end_bytes) == (100 + 101 + 102 + 103 + 4 * 12, 103)


def test_records_that_are_forgotten_are_lost(tmp_path: Path) -> None:
    source = RECORDS.replace("FORGET", "record->block = 0;").replace("EXTRA", "")
    report = checked(tmp_path, source, RECORDS_PROFILE)
    assert messages(report) == ["leak: memory leak: 36 bytes in 3 blocks definitely lost"]


ERRORS = (
    HEAD
    + """
char arena[256]; u used;
NI void *take(u size)
{
    char *block = arena + used;
    if (!size)
        return 0;
    if (size > sizeof arena)
        return (void *)-22;
    if (used + size > sizeof arena)
        return (void *)-12;
    used += size;
    return block;
}
void main(void)
{
    u sizes[] = {100, 0, 100, 1000, 100};
    for (u i = 0; i < 5; i++)
        kept[i] = take(sizes[i]);
}
"""
)


def test_results_that_are_errors_are_no_blocks(tmp_path: Path) -> None:
    profile = "[heap]\n{}alloc = 'take(size)'\n"
    report = checked(tmp_path, ERRORS, profile.format("failure = [-12, 0, '-4095..-1']\n"))
    assert messages(report) == []
    assert (report.measures["heap"].failed, report.measures["heap"].end_bytes) == (3, 200)
    assert any("bad result: " in line for line in messages(checked(tmp_path, ERRORS, profile.format(""))))


INLINED = (
    HEAD
    + """
char arena[4096]; u used; int live;
#define INLINE static inline __attribute__((always_inline))
INLINE void *fast(u size) { char *block = arena + used; used += size; live++; return block; }
NI void *slow(u size) { return fast(size); }
INLINE void drop(void *block) { if (block) { live--; *(char *)block = 1; } }
NI void work(void *block) { kept[3] = block; drop(block); kept[3] = 0; }
void main(void)
{
    kept[0] = slow(12);
    kept[1] = slow(20);
    kept[2] = fast(32);
    work(kept[0]);
    work(kept[1]);
    kept[0] = kept[1] = 0;
}
"""
)
INLINED_PROFILE = '[heap]\nalloc = ["slow(size)", "fast(size)"]\nfree = "drop(ptr)"\n'


FREES_KNOWN = {("gcc", "-O1"), ("gcc", "-O2"), ("gcc", "-O3")}
"""Where the debug information says where the parameter of `drop` is when a copy of it begins."""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
def test_frees_that_the_compiler_has_put_into_their_callers(
    tmp_path: Path, compiler: str, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are recorded, or it is said by name that they are not known."""
    file = tmp_path / "mine.toml"
    file.write_text(INLINED_PROFILE)
    image = KernelImage.read(compile_kernel(tmp_path, INLINED, ["-g", level], compiler))
    profile = chosen_profile(image, str(file))
    machine = Machine(image)
    log = CallLog(machine, profile)
    machine.run(timeout_s=20)
    *made, fast, first, second = log.calls()
    assert [(call.function, call.arguments) for call in made] == [("slow", (12,)), ("slow", (20,))]
    assert fast.function == "fast.inlined"
    assert fast.arguments == ((0,) if level == "-O0" else (32,))
    is_known = (compiler, level) in FREES_KNOWN
    for call, block in zip((first, second), made, strict=True):
        assert call.function == ("drop" if is_known else "drop.inlined")
        assert call.arguments == ((block.result,) if is_known else (0,))
    assert all((call.left, call.result) == (call.entered, 0) for call in (fast, first, second))
    said = ["fast is inlined in main (1 time): which blocks it makes there is not known"]
    if not is_known:
        said.insert(0, "drop is inlined in work (1 time): which blocks it gives back there is not known")
    assert capsys.readouterr().err == "".join(f"kmemu: {line}\n" for line in said)
    report = check_kernel(Machine(image), profile)
    assert report.measures["heap"].end_bytes == (0 if is_known else 12 + 20)
    assert messages(report) == []
