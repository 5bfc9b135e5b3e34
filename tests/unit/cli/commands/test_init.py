"""Kernels of several styles, each with what has to stand in the profile that is written for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator.cli.main import main
from emulator.loader.image import KernelImage
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.kasan_kernel import STUBS

if TYPE_CHECKING:
    from pathlib import Path

START = """
__attribute__((section(".multiboot"), used)) static const unsigned header[3] = {0x1badb002, 0, -0x1badb002u};
__asm__(".globl _start\\n_start: movl $stack + 16384, %esp\\ncall kmain\\nmovl $0, %eax\\nmovw $0xf4, %dx\\noutl %eax, %dx\\nhlt");
char stack[16384];
typedef unsigned int size_t;
#define KEEP __attribute__((noinline, noclone))
"""
HEAP = """
struct header { size_t size; struct header *next; };
static char arena[65536] __attribute__((aligned(16)));
static size_t used;
static struct header *free_list;
STATIC KEEP void *TAKE(size_t size) {
    struct header **link = &free_list;
    for (; *link; link = &(*link)->next)
        if ((*link)->size == size) {
            struct header *found = *link;
            *link = found->next;
            return found + 1;
        }
    struct header *new = (struct header *)(arena + used);
    used += sizeof *new + size;
    new->size = size;
    return used < sizeof arena ? new + 1 : 0;
}
STATIC KEEP void GIVE(void *pointer) {
    struct header *block = (struct header *)pointer - 1;
    block->next = free_list;
    free_list = block;
}
"""
USE = """
void *kept[64];
void kmain(void) {
    for (size_t i = 0; i < 40; ++i) kept[i] = TAKE(i % 2 ? 24 : 40);
    for (size_t i = 0; i < 40; i += 4) GIVE(kept[i]);
    for (size_t i = 0; i < 8; ++i) kept[i] = TAKE(24);
}
"""
FRAMES = """
static unsigned char used_frames[256];
KEEP unsigned long pmm_alloc_frame(void) {
    for (int i = 0; i < 256; ++i) if (!used_frames[i]) { used_frames[i] = 1; return 0x200 + i; }
    return -1;
}
KEEP int pmm_free_frame(unsigned long frame) {
    if (frame < 0x200 || !used_frames[frame - 0x200]) return -1;
    used_frames[frame - 0x200] = 0;
    return 0;
}
unsigned long frames[16];
void kmain(void) {
    for (int i = 0; i < 16; ++i) frames[i] = pmm_alloc_frame();
    for (int i = 0; i < 8; ++i) pmm_free_frame(frames[i]);
}
"""
WRAPPERS = (
    HEAP.replace("TAKE", "heap_get_block").replace("GIVE", "heap_put_block")
    + """
KEEP void *kmalloc(size_t size, int flags) { void *it = heap_get_block(size); if (it && flags) *(char *)it = 0; return it; }
KEEP void kfree(void *pointer) { if (pointer) heap_put_block(pointer); used += 0; __asm__ volatile(""); }
void *kept[64];
void kmain(void) {
    for (size_t i = 0; i < 20; ++i) kept[i] = kmalloc(24, i % 2);
    for (size_t i = 0; i < 20; i += 2) kfree(kept[i]);
}
"""
)
POOL = """
struct cell { struct cell *next; };
struct pool { struct cell *free; size_t object_size; char cells[4096]; };
static struct pool things;
KEEP int pool_take(struct pool *pool, void **out) {
    if (!pool->free) return -1;
    *out = pool->free;
    pool->free = pool->free->next;
    return 0;
}
KEEP void pool_give(struct pool *pool, void *object) { ((struct cell *)object)->next = pool->free; pool->free = object; }
void *held[8];
void kmain(void) {
    things.object_size = 32;
    for (int i = 0; i < 4096; i += 32) { struct cell *it = (void *)&things.cells[i]; it->next = things.free; things.free = it; }
    for (int i = 0; i < 8; ++i) pool_take(&things, &held[i]);
    for (int i = 0; i < 8; i += 2) pool_give(&things, held[i]);
}
"""
LONELY = """
static char memory[4096];
static size_t brk;
KEEP void *early_alloc(size_t n) { void *it = memory + brk; brk += (n + 7) & -8; return it; }
KEEP int alloc_pid(void) { static int last; return ++last; }
KEEP size_t free_memory_size(void) { return sizeof memory - brk; }
void kmain(void) { for (int i = 1; i < 9; ++i) { *(char *)early_alloc(i * 4) = alloc_pid(); brk += free_memory_size() == 0; } }
"""
CPP = """
char memory[65536];
size_t used;
void *last;
KEEP void *operator new(size_t size) {
    if (void *it = last) { last = nullptr; return it; }
    used += (size + 15) & ~15u;
    return memory + used;
}
KEEP void operator delete(void *pointer) noexcept { last = pointer; }
KEEP void operator delete(void *pointer, size_t) noexcept { last = pointer; }
struct thing { int a[6]; };
thing *things[8];
extern "C" void kmain(void) {
    for (int i = 0; i < 8; ++i) { things[i] = new thing; __asm__ volatile("" ::: "memory"); }
    for (int i = 0; i < 8; ++i) { __asm__ volatile("" ::: "memory"); delete things[i]; }
}
"""
SEEDED = """
struct run { struct run *next; };
static struct run *freelist;
char pages[32 * 4096] __attribute__((aligned(4096)));
KEEP void kfree(char *v) { struct run *r = (struct run *)v; r->next = freelist; freelist = r; }
KEEP char *kalloc(void) { struct run *r = freelist; if (r) freelist = r->next; return (char *)r; }
KEEP void freerange(char *start, char *end) { for (; start < end; start += 4096) kfree(start); }
char *mine[8];
void kmain(void) {
    freerange(pages, pages + sizeof pages);
    for (int i = 0; i < 8; ++i) mine[i] = kalloc();
    for (int i = 0; i < 8; i += 2) kfree(mine[i]);
}
"""

PAGES = """
struct page { int references; struct page *next; };
struct page mem_map[64];
char memory[64 * 4096] __attribute__((aligned(4096)));
KEEP struct page *alloc_pages(int flags, unsigned order) {
    static unsigned next = 16;
    struct page *found = &mem_map[next];
    next += 1u << order;
    found->references = flags;
    return found;
}
KEEP void free_pages(struct page *page, unsigned order) { page->references -= order; }
struct page *mine[4];
void kmain(void) {
    for (int i = 0; i < 4; ++i) mine[i] = alloc_pages(1, i);
    for (int i = 0; i < 4; ++i) free_pages(mine[i], i);
}
"""


def heap(take: str, give: str, *, static: bool) -> str:
    return (
        (HEAP + USE).replace("TAKE", take).replace("GIVE", give).replace("STATIC", "static" if static else "")
    )


STYLES = {
    "kmalloc": (heap("kmalloc", "kfree", static=False), {"kmalloc(size) -> ptr", "kfree(ptr)"}),
    "static": (heap("mem_alloc", "mem_free", static=True), {"mem_alloc(size) -> ptr", "mem_free(ptr)"}),
    "camel case": (
        heap("pvPortMalloc", "vPortFree", static=False),
        {"pvPortMalloc(size) -> ptr", "vPortFree(ptr)"},
    ),
    "frames": (FRAMES, {"pmm_alloc_frame() -> frame", "pmm_free_frame(frame) -> error"}),
    "pool": (POOL, {"pool_take(pool, out) -> error, size = pool->object_size", "pool_give(pool, ptr)"}),
    "pages by their structures": (
        PAGES,
        {
            "alloc_pages(flags, order) -> ptr = (result - mem_map) / 8 * 4096",
            "free_pages(page, order), ptr = (page - mem_map) / 8 * 4096",
        },
    ),
    "no free": (LONELY, {"early_alloc(size) -> ptr"}),
}


def built(folder: Path, source: str, *options: str) -> str:
    return str(compile_kernel(folder, START + source, options))


def written(folder: Path, kernel: str, *options: str) -> tuple[dict[str, set[str]], Path]:
    """Write a profile and return the functions of each of its areas, and the file."""
    path = folder / "written.toml"
    assert main(["init", kernel, "-o", str(path), *options]) == 0
    profile = match(read_profile(path), KernelImage.read(kernel))
    areas: dict[str, set[str]] = {area: set() for area in profile.areas}
    for each in profile.functions:
        areas[each.area].add(each.name)
    return areas, path


def signatures(path: Path) -> set[str]:
    """Return the signatures in a profile."""
    lines = (line.strip() for line in path.read_text().splitlines())
    quoted = (line.partition('"')[2].rpartition('"')[0] for line in lines if not line.startswith("#"))
    return {each for each in quoted if "(" in each}


@pytest.mark.parametrize("style", STYLES)
def test_what_a_kernel_s_functions_do_is_found(tmp_path: Path, style: str) -> None:
    source, expected = STYLES[style]
    _, path = written(tmp_path, built(tmp_path, source, "-g", "-O0"))
    assert signatures(path) == expected


@pytest.mark.parametrize("style", ["kmalloc", "static", "frames"])
def test_optimised_kernels_are_no_different(tmp_path: Path, style: str) -> None:
    source, expected = STYLES[style]
    _, path = written(tmp_path, built(tmp_path, source, "-g", "-O2"))
    assert signatures(path) == expected


@pytest.mark.parametrize("style", ["kmalloc", "camel case"])
def test_without_debug_information_names_and_the_run_have_to_do(tmp_path: Path, style: str) -> None:
    source, expected = STYLES[style]
    _, path = written(tmp_path, built(tmp_path, source, "-O0"))
    assert signatures(path) == expected
    assert "no prototype is known" in path.read_text()


TWO_ARGUMENTS = """
static char arena[4096];
static unsigned used;
int frees;
CONVENTION KEEP void *mem_alloc(size_t size) { used += size; return arena + used - size; }
CONVENTION KEEP void mem_free(int *count, void *pointer) { *(char *)pointer = 0; *count += 1; }
void *kept[40];
void kmain(void) {
    for (size_t i = 0; i < 40; ++i) kept[i] = mem_alloc(i % 2 ? 24 : 40);
    for (size_t i = 0; i < FREED; i += 4) mem_free(&frees, kept[i]);
}
"""


def by_convention(convention: str, freed: int = 40) -> str:
    return TWO_ARGUMENTS.replace("CONVENTION", convention).replace("FREED", str(freed))


@pytest.mark.parametrize(
    ("convention", "alloc", "free"),
    [
        ("static", "size @ eax", "ptr @ edx"),
        ("__attribute__((fastcall))", "size @ ecx", "ptr @ edx"),
        ("", "size", "ptr @ esp+8"),
    ],
)
def test_a_run_shows_which_argument_is_the_block(
    tmp_path: Path, convention: str, alloc: str, free: str
) -> None:
    kernel = built(tmp_path, by_convention(convention), "-O2")
    _, path = written(tmp_path, kernel)
    text = path.read_text()
    assert f'alloc = "mem_alloc({alloc}) -> ptr"\n' in text
    assert f'\nfree = "mem_free({free})"\n' in text
    assert "was a block in 10 calls, gave back 10 blocks" in " ".join(text.replace("# ", "").split())


FROM_A_POOL = """
static char memory[4096];
static struct pool { char *next; } pool = {memory};
KEEP void *pmalloc(struct pool *from, size_t size, int flags) {
    char *block = flags & 8 ? 0 : from->next;
    from->next += size;
    return block;
}
KEEP void pfree(struct pool *from, void *block, size_t size) {
    if ((char *)block + size == from->next) from->next = block;
}
KEEP void *prealloc(struct pool *from, void *block, size_t size) {
    return size > 64 ? pmalloc(from, size, 0) : block;
}
void *kept[40];
void kmain(void) {
    for (size_t i = 0; i < 40; ++i) kept[i] = pmalloc(&pool, 8 * (i % 7 + 1), i % 3);
    for (size_t i = 0; i < 40; i += 2) kept[i] = prealloc(&pool, kept[i], 4 * i);
    for (size_t i = 40; i--;) pfree(&pool, kept[i], 4);
}
"""


@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_a_run_shows_which_argument_is_the_size(tmp_path: Path, level: str) -> None:
    _, path = written(tmp_path, built(tmp_path, FROM_A_POOL, level))
    assert signatures(path) == {
        "pmalloc(size @ esp+8) -> ptr",
        "prealloc(ptr @ esp+8, size @ esp+12) -> ptr",
        "pfree(ptr @ esp+8)",
    }


def test_an_argument_s_usual_place_is_a_guess_without_a_run(tmp_path: Path) -> None:
    _, path = written(tmp_path, built(tmp_path, FROM_A_POOL, "-O1"), "--no-run")
    assert signatures(path) == {"pmalloc(size) -> ptr", "prealloc(ptr, size) -> ptr", "pfree(ptr)"}
    assert path.read_text().count(": guess; ") == 3


def test_what_is_not_called_is_a_comment_where_its_argument_is_a_guess(tmp_path: Path) -> None:
    source = FROM_A_POOL.replace("prealloc(&pool, kept[i], 4 * i)", "kept[i]")
    _, path = written(tmp_path, built(tmp_path, source, "-O1"))
    assert signatures(path) == {"pmalloc(size @ esp+8) -> ptr", "pfree(ptr @ esp+8)"}


def test_arguments_that_no_run_has_shown_are_not_guessed(tmp_path: Path) -> None:
    kernel = built(tmp_path, by_convention("static", freed=8), "-O2")
    for options in ((), ("--no-run", "--force")):
        functions, path = written(tmp_path, kernel, *options)
        assert functions == {"mem": {"mem_alloc"}}
        text = " ".join(path.read_text().replace("# ", "").split())
        assert "which of its arguments is the block, in eax or edx, is not known" in text


def test_functions_that_do_the_work_of_others_are_of_one_area(tmp_path: Path) -> None:
    areas, path = written(tmp_path, built(tmp_path, WRAPPERS.replace("STATIC", ""), "-g", "-O0"))
    assert list(areas.values()) == [{"kmalloc", "kfree", "heap_get_block", "heap_put_block"}]
    assert "does the work of kmalloc" in path.read_text()


def test_allocators_of_cpp_are_named_as_people_write_them(tmp_path: Path) -> None:
    _, path = written(tmp_path, built(tmp_path, CPP, "-g", "-O1", "-x", "c++", "-std=c++17", "-w"))
    assert signatures(path) == {"operator new(size) -> ptr", "operator delete(ptr)"}


def test_functions_that_give_memory_to_an_allocator_are_its_seed(tmp_path: Path) -> None:
    kernel = built(tmp_path, SEEDED, "-g", "-O0")
    _, path = written(tmp_path, kernel)
    assert signatures(path) == {"kalloc() -> ptr", "kfree(ptr)", "freerange()"}
    assert "# freerange: kfree is given 32 blocks inside that nobody had taken" in path.read_text()
    assert "pages = true" in path.read_text().splitlines()
    assert main(["check", kernel, "--profile", str(path), "--ignore", "memory-leak"]) == 0


def test_bytes_between_blocks_are_a_header(tmp_path: Path) -> None:
    _, path = written(tmp_path, built(tmp_path, STYLES["kmalloc"][0], "-g"))
    assert "header = 8" in path.read_text().splitlines()


def test_the_summary_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = built(tmp_path, STYLES["kmalloc"][0], "-g")
    _, path = written(tmp_path, kernel)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}: 2 functions"
    assert lines[1].split() == ["heap", "sure:", "kmalloc,", "kfree"] or "sure: kmalloc, kfree" in lines[1]
    assert lines[-1] == f"next: kmemu check {kernel} --profile {path}"


def test_what_a_short_run_has_not_reached_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = built(tmp_path, STYLES["kmalloc"][0], "-g")
    written(tmp_path, kernel, "--max-instructions", "5")
    said = "kmemu: the run ended, by its budget, before it had called any function of "
    assert said in " ".join(capsys.readouterr().err.split())
    written(tmp_path, kernel, "--force")
    assert capsys.readouterr().err == ""


def test_a_file_is_not_overwritten_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    assert main(["init", "firmware:demo", "-o", str(path)]) == 2
    assert capsys.readouterr().err == f"kmemu: {path} exists already; --force overwrites it\n"
    assert path.read_text() == "mine"
    assert main(["init", "firmware:demo", "-o", str(path), "--force", "--no-run"]) == 0
    assert "kmalloc" in path.read_text()


def test_a_kernel_without_allocators_has_no_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = built(tmp_path, "void kmain(void) {}", "-g")
    assert main(["init", kernel, "-o", str(tmp_path / "k.toml")]) == 3
    assert "no function looks like one that allocates" in capsys.readouterr().err
    assert not (tmp_path / "k.toml").exists()


def test_what_the_run_refutes_is_in_no_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lies = "char here[64]; KEEP void *kmalloc(size_t n) { here[0] = n; return here; } void *last; void kmain(void) { for (int i = 1; i < 9; ++i) last = kmalloc(i); }"
    assert main(["init", built(tmp_path, lies, "-g"), "-o", str(tmp_path / "k.toml")]) == 3
    assert (
        "no function that looks like one that allocates has turned out to be one" in capsys.readouterr().err
    )


def test_standard_output_gets_the_profile_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "firmware:demo", "-o", "-", "--no-run"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "# Written by kmemu init for demo.elf, from names and prototypes only: it was not run."
    )
    assert main(["init", "firmware:demo", "-o", "-", "--json"]) == 2


def test_the_same_kernel_gives_the_same_profile(tmp_path: Path) -> None:
    kernel = built(tmp_path, STYLES["kmalloc"][0], "-g")
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        texts.append(written(tmp_path / name, kernel)[1].read_bytes())
    assert texts[0] == texts[1]


def test_json_says_how_sure_each_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = built(tmp_path, STYLES["frames"][0], "-g")
    assert main(["init", kernel, "-o", str(tmp_path / "k.toml"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (area,) = document["areas"]
    assert (document["version"], document["calls"], area["pages"]) == (1, 24, True)
    assert [(each["name"], each["role"], each["sureness"], each["taken"]) for each in area["functions"]] == [
        ("pmm_alloc_frame", "alloc", "sure", True),
        ("pmm_free_frame", "free", "sure", True),
    ]
    assert "gave back 8 blocks" in area["functions"][1]["reasons"]


def test_the_stubs_for_kasan_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--kasan-stubs"]) == 0
    assert "libkasan_stubs.a: link your kernel with it" in capsys.readouterr().out
    assert (tmp_path / "libkasan_stubs.a").read_bytes() == STUBS.read_bytes()
    assert main(["init", "--kasan-stubs"]) == 2
    assert "libkasan_stubs.a exists already; --force overwrites it" in capsys.readouterr().err
    assert main(["init", "--kasan-stubs", "--force", "-o", "libkasan_stubs.a"]) == 0
    assert main(["init", "--kasan-stubs", "kernel.elf"]) == 2
    assert "--kasan-stubs goes with no kernel" in capsys.readouterr().err
    assert main(["init"]) == 2
    assert "which kernel? kmemu init KERNEL.elf" in capsys.readouterr().err
