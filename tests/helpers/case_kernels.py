"""Kernels that hold a table of cases, mistakes of one kind or another, for each of some allocators.

A case is the body of a C function, in which ``@WRONG@RIGHT@`` stands for the defect and for what its twin does instead. One kernel has all
cases of one allocator: it runs that whose number is in ``which``, with the defect if ``defect`` is set, and halts.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.helpers.c_kernel import LINKER_SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FIRMWARE: Final = Path(__file__).parents[2] / "firmware"

COMPILERS: Final = (("gcc", "-O0"), ("gcc", "-O2"), ("clang", "-O2"))


class Case(NamedTuple):
    """A mistake.

    Attributes:
        name: Of its function, after ``wrong_`` or ``right_``.
        kind: Of the finding.
        body: Of the function, in C.
        needs: What the allocator has to have: ``sizes`` (blocks of any size), ``resize``, ``bytes`` (no whole pages), ``reuse`` (what was freed last is taken next),
            ``interrupts``, ``clears`` (a function that returns zeroed blocks), ``keeps`` (what a block holds from its 17th byte on is there after it was freed).
    """

    name: str
    kind: str
    body: str
    needs: frozenset[str] = frozenset()


def case(name: str, kind: str, body: str, *needs: str) -> Case:
    """Return a case."""
    return Case(name, kind, body, frozenset(needs))


_PRELUDE: Final = r"""
#define noipa __attribute__((noipa, noinline))
#ifdef __clang__
#undef noipa
#define noipa __attribute__((noinline, optnone))
#endif
#define apart __attribute__((noinline))
volatile u32 sink, which, defect, failed, hooked;
u8 *volatile touched;
void *volatile kept;
u8 buffer[256], zeros[256];
apart void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
apart void keep(void *p) { kept = p; }
apart void fail(void) { failed = 1; }
apart void unused(void) { __asm__ volatile(".skip 16, 0x90"); }
const char digits[] = "0123456789";
apart void stosb(void *to, u32 n) { __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory"); }
apart void stosl(void *to, u32 n) { __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0) : "memory"); }
apart void movsb(void *to, void *from, u32 n) { __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); }
apart u32 scasb(void *at, u32 n) { __asm__ volatile("repne scasb" : "+D"(at), "+c"(n) : "a"(0xee) : "memory", "cc"); return n; }
apart u32 cmpsb(void *a, void *b, u32 n) { __asm__ volatile("cmp %%eax, %%eax; repe cmpsb" : "+S"(a), "+D"(b), "+c"(n) : : "memory", "cc"); return n; }
apart u32 scasw(void *at, u32 n) { __asm__ volatile("repne scasw" : "+D"(at), "+c"(n) : "a"(0xeeee) : "memory", "cc"); return n; }
apart u32 scasl(void *at, u32 n) { __asm__ volatile("repne scasl" : "+D"(at), "+c"(n) : "a"(0xeeeeeeee) : "memory", "cc"); return n; }
apart u32 cmpsw(void *a, void *b, u32 n) { __asm__ volatile("cmp %%eax, %%eax; repe cmpsw" : "+S"(a), "+D"(b), "+c"(n) : : "memory", "cc"); return n; }
apart u32 cmpsl(void *a, void *b, u32 n) { __asm__ volatile("cmp %%eax, %%eax; repe cmpsl" : "+S"(a), "+D"(b), "+c"(n) : : "memory", "cc"); return n; }
apart u32 scasb_down(void *at, u32 n) { __asm__ volatile("std; repne scasb; cld" : "+D"(at), "+c"(n) : "a"(0xee) : "memory", "cc"); return n; }
apart void movsb_down(void *to, void *from, u32 n) { __asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(n) : : "memory", "cc"); }
#define push_at(p) __asm__ volatile("mov %%esp, %%ecx; mov %0, %%esp; push %0; mov %%ecx, %%esp" : : "a"(p) : "ecx", "memory")
"""
_INTERRUPTS: Final = r"""
apart void handler(void) { sink = *(volatile u8 *)touched; }
__asm__(".text; .global gate; .type gate, @function; gate: pusha; call handler; popa; iret; .size gate, . - gate");
extern char gate[];
static struct { u16 low, selector, kind, high; } vectors[0x31];
static void interrupts_start(void)
{
    u16 selector;
    struct { u16 limit; u32 base; } __attribute__((packed)) table = {sizeof vectors - 1, (u32)vectors};
    __asm__("mov %%cs, %0" : "=r"(selector));
    vectors[0x30].low = (u32)gate; vectors[0x30].selector = selector; vectors[0x30].kind = 0x8e00; vectors[0x30].high = (u32)gate >> 16;
    __asm__ volatile("lidt %0" : : "m"(table));
}
"""
_IN_TASK: Final = r"""
static void second(INT stacd, VP exinf)
{
    if (which < sizeof cases / sizeof *cases) cases[which][defect]();
    for (;;) __asm__ volatile("cli; hlt");
}
static void first(INT stacd, VP exinf)
{
    keep(take(N));
    start_task(2, 10, second, 0);
}
void kmain(uint32_t magic, const struct multiboot_info *info)
{
    btron_boot(magic, info);
    allocator_start();
    start_task(1, 30, first, 0);
    tasks_run();
}
"""
_TYPES: Final = "typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;\n"
_STRINGS: Final = r"""
__attribute__((noinline)) void *memset(void *at, int value, u32 n)
{
    void *to = at;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return at;
}
__attribute__((noinline)) void *memcpy(void *at, const void *from, u32 n)
{
    void *to = at;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return at;
}
"""
_START: Final = r"""
u8 stack[16384];
void kmain(void)
{
    interrupts_start();
    allocator_start();
    if (which < sizeof cases / sizeof *cases) cases[which][defect]();
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 3, -(0x1BADB002 + 3); .text\n"
        ".global _start; .type _start, @function; _start: mov $stack + 16384, %esp; call kmain; .size _start, . - _start");
"""

_HEAP: Final = r"""
struct header { u32 size; struct header *next; };
static struct header *free_list;
static u32 brk, limit;
apart void heap_hook(void) { if (hooked) __asm__ volatile("int $0x30" : : : "memory"); }
apart void heap_start(u32 start, u32 end) { brk = start; limit = end; }
apart void *obtain(u32 size)
{
    struct header **link = &free_list, *one;
    u32 rounded = (size + 7) & ~7u;
    heap_hook();
    for (; (one = *link) != 0; link = &one->next)
        if (one->size >= rounded) { *link = one->next; return one + 1; }
    if (brk + sizeof *one + rounded > limit) return 0;
    one = (struct header *)brk;
    one->size = rounded;
    brk += sizeof *one + rounded;
    return one + 1;
}
apart void release(void *block)
{
    struct header *one = (struct header *)block - 1;
    memset(block, 0x5a, one->size);
    heap_hook();
    one->next = free_list;
    free_list = one;
}
apart void *resize(void *block, u32 size)
{
    struct header *one = (struct header *)block - 1;
    if (size <= one->size) return block;
    void *other = obtain(size);
    memcpy(other, block, one->size);
    release(block);
    return other;
}
apart void *obtain_cleared(u32 size) { void *block = obtain(size); memset(block, 0, size); return block; }
static void allocator_start(void) { heap_start((u32)ARENA, (u32)(ARENA + 65536)); }
#define take(size) obtain(size)
#define give(block, size) release(block)
"""
_SLAB: Final = r"""
static u8 pages[16][4096] __attribute__((aligned(4096)));
static u32 page_count;
struct object { struct object *next; };
static struct object *objects;
struct slab { struct slab *next; u32 count, pad[6]; };
static struct slab *slabs;
apart void *page_get(void) { return page_count < 16 ? pages[page_count++] : 0; }
apart void *slab_get(void)
{
    if (!objects) {
        u8 *page = page_get();
        if (!page) return 0;
        struct slab *slab = (struct slab *)page;
        slab->next = slabs; slab->count = 0; slabs = slab;
        for (u32 at = 4096 - 32; at >= sizeof *slab; at -= 32) {
            struct object *one = (struct object *)(page + at);
            one->next = objects; objects = one;
        }
    }
    struct object *one = objects;
    objects = one->next;
    ((struct slab *)((u32)one & ~4095u))->count++;
    return one;
}
apart void slab_put(void *block)
{
    struct object *one = block;
    memset(one, 0x5a, 32);
    one->next = objects; objects = one;
    ((struct slab *)((u32)one & ~4095u))->count--;
}
static void allocator_start(void) { }
#define take(size) slab_get()
#define give(block, size) slab_put(block)
"""
_PAGES: Final = r"""
static u8 memory[64][4096] __attribute__((aligned(4096)));
static u8 used[64];
apart void *page_take(u32 count)
{
    for (u32 first = 0; first + count <= 64; first++) {
        u32 n = 0;
        while (n < count && !used[first + n]) n++;
        if (n == count) { while (n) used[first + --n] = 1; return memory[first]; }
    }
    return 0;
}
apart void page_give(void *page, u32 count)
{
    u32 first = ((u8 *)page - memory[0]) / 4096;
    while (count) used[first + --count] = 0;
}
static void allocator_start(void) { }
#define take(size) page_take(((size) + 4095) / 4096)
#define give(block, size) page_give(block, ((size) + 4095) / 4096)
"""


class Allocator(NamedTuple):
    """An allocator, in a kernel of its own.

    Attributes:
        source: In C; "": LiteCore's or BTRON/386's objects are linked.
        profile: In TOML; "": the known one.
        size: Of its blocks as far as a case does not say another, ``N``.
        has: What cases may need.
        kinds: Of the findings of some cases, where they differ from the table.
    """

    source: str
    profile: str
    size: int
    has: frozenset[str]
    kinds: dict[str, str]


_ON_LITECORE: Final = r"""
#include "scenarios/litecore.h"
#define take(size) kmalloc(size)
#define give(block, size) kfree(block)
typedef uint32_t u32; typedef uint16_t u16; typedef uint8_t u8;
"""
_ON_BTRON: Final = r"""
#include "scenarios/btron.h"
typedef uint32_t u32; typedef uint16_t u16; typedef uint8_t u8;
"""
_POOL: Final = r"""
static void *pool_take(u32 size) {{ VP p; return {get} == E_OK ? p : 0; }}
static void allocator_start(void) {{ if ({create} != E_OK) check(false, "a pool is made"); }}
#define take(size) pool_take(size)
#define give(block, size) {give}
"""
_MAIN: Final = r"""
void kmain(uint32_t magic, const struct multiboot_info *info)
{
    BOOT(magic, info);
    INTERRUPTS;
    if (which < sizeof cases / sizeof *cases) cases[which][defect]();
    for (;;) __asm__ volatile("cli; hlt");
}
"""
ALLOCATORS: Final = {
    "litecore": Allocator(
        _ON_LITECORE, "", 21, frozenset({"bytes", "sizes", "interrupts", "far", "garbage", "keeps"}), {}
    ),
    "btron_kmem": Allocator(
        _ON_BTRON + "#define take(size) kmem_alloc(size)\n#define give(block, size) kmem_free(block, size)\n",
        "",
        21,
        frozenset({"bytes", "keeps"}),
        {},
    ),
    "btron_mpl": Allocator(
        _ON_BTRON
        + _POOL.format(
            create="cre_mpl(1, &(T_CMPL){.mplsz = 16384})",
            get="pget_blk(&p, 1, size)",
            give="rel_blk(1, block)",
        ),
        "",
        21,
        frozenset({"bytes", "task", "keeps"}),
        {},
    ),
    "btron_mpf": Allocator(
        _ON_BTRON
        + _POOL.format(
            create="cre_mpf(1, &(T_CMPF){.mpfcnt = 16, .blfsz = 21})",
            get="pget_blf(&p, 1)",
            give="rel_blf(1, block)",
        ),
        '[kmem]\nalloc = "kmem_alloc(size)"\nfree = "kmem_free(ptr, size) -> error"\n[mpf]\nalloc = "pget_blf(out, pool) -> error, size = 21"\n'
        'free = "rel_blf(pool, ptr) -> error"\nother = "cre_mpf(pool, packet) -> error"\n',
        21,
        frozenset({"bytes", "task", "keeps"}),
        {},
    ),
    "btron_pmem": Allocator(
        _ON_BTRON + "#define take(size) pmem_alloc(size)\n#define give(block, size) pmem_free(block, size)\n",
        "",
        4096,
        frozenset({"keeps"}),
        {},
    ),
    "heap": Allocator(
        "#define ARENA 0x200000\n" + _HEAP,
        '[heap]\nalloc = ["obtain(size)", "obtain_cleared(size)"]\nfree = "release(ptr)"\nrealloc = "resize(ptr, size)"\nseed = "heap_start(start, end)"\n',
        21,
        frozenset(
            {"bytes", "sizes", "resize", "clears", "reuse", "interrupts", "hook", "far", "screen", "garbage"}
        ),
        {},
    ),
    "seeded_array": Allocator(
        "static u8 arena[65536] __attribute__((aligned(16)));\n#define ARENA arena\n" + _HEAP,
        '[heap]\nalloc = ["obtain(size)", "obtain_cleared(size)"]\nfree = "release(ptr)"\nrealloc = "resize(ptr, size)"\nseed = "heap_start(start, end)"\n',
        21,
        frozenset(
            {"bytes", "sizes", "resize", "clears", "reuse", "interrupts", "hook", "far", "screen", "garbage"}
        ),
        {},
    ),
    "unseeded": Allocator(
        "static u8 arena[65536] __attribute__((aligned(16)));\n#define ARENA arena\n" + _HEAP,
        '[heap]\nalloc = ["obtain(size)", "obtain_cleared(size)"]\nfree = "release(ptr)"\nrealloc = "resize(ptr, size)"\n',
        21,
        frozenset({"bytes", "sizes", "resize", "clears", "reuse", "interrupts", "hook", "screen"}),
        {},
    ),
    "slab": Allocator(
        _SLAB,
        '[pages]\npages = true\nalloc = "page_get()"\n[slab]\nalloc = "slab_get() -> ptr, size = 32"\nfree = "slab_put(ptr)"\n',
        32,
        frozenset({"bytes", "reuse", "interrupts", "screen"}),
        {},
    ),
    "pages": Allocator(
        _PAGES,
        '[pages]\npages = true\nalloc = "page_take(pages)"\nfree = "page_give(ptr, pages)"\n',
        4096,
        frozenset({"interrupts", "sizes", "pages", "screen", "keeps"}),
        {},
    ),
}


def cases_of(allocator: str, cases: Sequence[Case]) -> list[Case]:
    """Return those of some cases that an allocator can have."""
    has = ALLOCATORS[allocator].has
    return [each for each in cases if each.needs <= has]


def build(  # noqa: PLR0913 - all but five have a default
    folder: Path,
    allocator: str,
    cases: Sequence[Case],
    compiler: str,
    level: str,
    *,
    options: Iterable[str] = (),
    libraries: Iterable[Path] = (),
    prelude: str = "",
) -> Path:
    """Compile the kernel with all of some cases that an allocator can have, and return its file.

    Args:
        folder: Where to put it.
        allocator: That it has.
        cases: The cases.
        compiler: ``gcc`` or ``clang``.
        level: Of optimisation.
        options: For the compiler, besides.
        libraries: That the kernel is linked with.
        prelude: In C, in front of the cases.
    """
    given = (*_OPTIONS, level, *options)
    chosen = ALLOCATORS[allocator]
    hosted = "scenarios/" in chosen.source
    interrupts = (
        _INTERRUPTS if "interrupts" in chosen.has else "" if hosted else "#define interrupts_start()\n"
    )
    functions = "".join(_functions(each) for each in cases_of(allocator, cases))
    table = ", ".join(f"{{right_{each.name}, wrong_{each.name}}}" for each in cases_of(allocator, cases))
    body = f"{prelude}{functions}\nstatic void (*const cases[][2])(void) = {{{table}}};\n"
    size = f"enum {{ N = {chosen.size} }};\n"
    if hosted:
        on_btron = "btron" in allocator
        main = _IN_TASK if "task" in chosen.has else _MAIN
        main = main.replace("BOOT", "btron_boot" if on_btron else "litecore_boot")
        main = main.replace("INTERRUPTS", "interrupts_start()" if interrupts else "")
        source = chosen.source + size + _PRELUDE + interrupts + body + main
        return _link(folder, source, [compiler, *given], "btron" if on_btron else "litecore", libraries)
    source = _TYPES + size + _PRELUDE + _STRINGS + interrupts + chosen.source + body + _START
    (folder / "kernel.c").write_text(source)
    (folder / "kernel.ld").write_text(re.sub(r"\.(rodata|data|bss) :", r".\1 : ALIGN(4096)", LINKER_SCRIPT))
    link = ("-nostdlib", "-static", "-Wl,--build-id=none,--no-warnings,-T,kernel.ld")
    _run(folder, [compiler, *given, *link, "-o", "kernel.elf", "kernel.c", *map(str, libraries)])
    return folder / "kernel.elf"


_OPTIONS: Final = (
    *("-m32", "-march=i686", "-std=gnu11", "-ffreestanding", "-g", "-fno-omit-frame-pointer", "-w"),
    *(
        "-fno-pie",
        "-no-pie",
        "-fno-stack-protector",
        "-fcf-protection=none",
        "-fno-strict-aliasing",
        "-mno-sse",
        "-mno-mmx",
    ),
)


def _functions(case: Case) -> str:
    """Return a case and its twin."""
    parts = re.split(r"@([^@]*)@([^@]*)@", case.body)
    wrong = "".join(part for index, part in enumerate(parts) if index % 3 != 2)
    right = "".join(part for index, part in enumerate(parts) if index % 3 != 1)
    return f"apart void wrong_{case.name}(void) {{ {wrong} }}\napart void right_{case.name}(void) {{ {right} }}\n"


def _link(folder: Path, source: str, compiler: list[str], kernel: str, libraries: Iterable[Path]) -> Path:
    """Compile cases, and link them with a kernel of this repository that was built."""
    (folder / "cases.c").write_text(source)
    _run(folder, [*compiler, f"-I{FIRMWARE}", "-c", "-o", "cases.o", "cases.c"])
    built = FIRMWARE / "build"
    left_out = {"paging", "vspace", "vmalloc", "heap_with_slack"} if kernel == "litecore" else set()
    objects = [
        *sorted((built / "common").glob("*.o")),
        *(each for each in sorted((built / kernel).glob("*.o")) if each.stem not in left_out),
        built / "scenarios" / "scenario.o",
        built / "scenarios" / f"{kernel}.o",
    ]
    script = FIRMWARE / kernel / "kernel.ld"
    link = ("ld", "-m", "elf_i386", "-static", "-nostdlib", "--build-id=none", "-z", "max-page-size=4096")
    _run(
        folder,
        [
            *(*link, "-z", "noexecstack", "-T", str(script), "-o", "kernel.elf", "cases.o"),
            *map(str, (*objects, *libraries)),
        ],
    )
    return folder / "kernel.elf"


def _run(folder: Path, command: list[str]) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
