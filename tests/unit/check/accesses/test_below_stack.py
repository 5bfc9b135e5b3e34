"""Accesses below ESP, in functions of a few instructions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.run.ending import Budget
from tests.helpers.below_stack_cases import FOUND, RIGHT
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.machine.machine import Machine

_KERNEL: Final = r"""
typedef unsigned int u32; typedef unsigned short u16;
static struct { u16 low, selector, kind, high; } vectors[256];
u32 blocks[64], taken;
__attribute__((noinline)) void *take(u32 size) { return blocks + (taken += size / 4); }
__attribute__((noinline)) void give(void *block) { *(volatile u32 *)block = 0; }
void kmain(void)
{
    struct { u16 limit; u32 base; } __attribute__((packed)) table = {sizeof vectors - 1, (u32)vectors};
    __asm__ volatile("lidt %0" : : "m"(table));
    give(take(16));
    START
    CALLS
    __asm__ volatile("cli; hlt");
}
u32 stack[4096];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 0, -0x1BADB002; .text; .global _start;"
        ".type _start, @function; _start: mov $stack + 16384, %esp; call kmain; hlt; .size _start, . - _start");
"""
_PROFILE: Final = '[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\n'


def kernel(folder: Path, functions: dict[str, str], start: str = "sti") -> Path:
    """Return a kernel that calls functions, after an instruction."""
    calls = "".join(
        f'__asm__ volatile("call {each}" : : : "eax", "ecx", "edx", "memory");' for each in functions
    )
    text = _KERNEL.replace("START", f'__asm__ volatile("{start}");').replace("CALLS", calls)
    for name, code in functions.items():
        text += f'__asm__(".type {name}, @function; {name}: {code}; ret; .size {name}, . - {name}");\n'
    return compile_kernel(folder, text, ["-g"])


def checked(path: Path, memory: str = "fast", *, uninitialised: bool = False) -> tuple[CheckReport, Machine]:
    machine = boot(str(path), mmu=memory)  # type: ignore[arg-type] # one of them
    profile = match(parse_profile(_PROFILE, "p"), machine.image)
    budget = Budget(max_instructions=1_000_000)
    report = check_kernel(machine, profile, budget, sanitize=True, uninitialised=uninitialised)
    assert report.ending.by_itself
    return report, machine


def described(report: CheckReport) -> dict[str, str]:
    """Return what is found, by function."""
    found = {}
    for each in report.findings:
        assert each.kind is Kind.BELOW_STACK
        assert each.area == "stack"
        assert each.call_site
        said = re.fullmatch(
            r"(\w+ of \d+) bytes? (?:to|from) 0x[0-9a-f]{8}, (\d+) bytes? below ESP, which an interrupt overwrites",
            each.message,
        )
        assert said, each.message
        assert each.call_site.function not in found
        found[each.call_site.function] = f"{said[1]}, {said[2]} below"
    return found


@pytest.mark.parametrize("memory", ["fast", "ordinary"])
@pytest.mark.parametrize("uninitialised", [False, True])
def test_accesses_below_esp_are_found_where_interrupts_are_on(
    tmp_path: Path, memory: str, *, uninitialised: bool
) -> None:
    path = kernel(tmp_path, {name: code for name, (code, _) in FOUND.items()})
    report, _machine = checked(path, memory, uninitialised=uninitialised)
    assert described(report) == {name: what for name, (_, what) in FOUND.items()}
    assert Kind.BELOW_STACK in report.checked


def test_where_interrupts_are_off_they_are_right(tmp_path: Path) -> None:
    functions = {name: code.replace("sti", "nop") for name, (code, _) in FOUND.items()}
    report, _machine = checked(kernel(tmp_path, functions, "cli"))
    assert described(report) == {}


@pytest.mark.parametrize("memory", ["fast", "ordinary"])
def test_what_accesses_nothing_below_esp_is_right(tmp_path: Path, memory: str) -> None:
    report, _machine = checked(kernel(tmp_path, RIGHT), memory)
    assert described(report) == {}


_COMPILED: Final = r"""
typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
#define apart __attribute__((noinline))
volatile u32 sink, ticks;
u32 blocks[64], taken;
apart void *take(u32 size) { return blocks + (taken += size / 4); }
apart void give(void *block) { *(volatile u32 *)block = 0; }
apart void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
static void out(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

apart u32 leaf(u32 a, u32 b) { u32 own[3] = {a, b, a ^ b}; use(own); return own[0] + own[1] + own[2]; }
apart u32 small(u32 n) { u8 own[40]; use(own); return own[n % 40] + leaf(n, 3); }
apart u32 page(u32 n) { u8 own[5000]; use(own); own[n] = 1; return own[n] + small(n); }
apart u32 pages(u32 n) { u8 own[20000]; use(own); own[n] = 1; return own[n] + page(n); }
apart u32 of_length(u32 n) { u8 own[n + 1], more[5000]; use(own); use(more); return own[n] + pages(n); }
apart u32 allocated(u32 n) { u8 *own = __builtin_alloca(n * 200 + 16); use(own); return own[n] + of_length(n); }
apart u32 aligned(u32 n) { u8 own[64] __attribute__((aligned(64))); use(own); return own[n % 64] + leaf(n, 1); }
struct large { u32 words[40]; };
apart struct large passed(struct large all) { all.words[3]++; use(&all); return all; }
apart u32 deep(u32 n) { u8 own[24]; use(own); return n ? deep(n - 1) + own[n % 24] : leaf(n, 2); }
apart double number(double x) { double own[4] = {x, x + 1, x * 2, x}; use(own); return own[0] + own[2]; }
void *saved[5];
apart void leave(u32 n) { u8 own[60]; use(own); if (n) leave(n - 1); else __builtin_longjmp(saved, 1); use(own); }
static void jumps(void) { for (volatile u32 n = 0; n < 100; n++) if (!__builtin_setjmp(saved)) leave(n % 5); }
apart void fences(void) { __sync_synchronize(); __asm__ volatile("lock addl $0, -4(%%esp)" : : : "memory", "cc"); }

static struct { u16 low, selector, kind, high; } vectors[0x30];
void tick(void) { u8 own[100]; use(own); ticks++; out(0x20, 0x20); }
extern char gate[];
__asm__(".text; gate: pusha; call tick; popa; iret");
static void interrupts_on(void)
{
    struct { u16 limit; u32 base; } __attribute__((packed)) table = {sizeof vectors - 1, (u32)vectors};
    vectors[0x20].low = (u32)gate; vectors[0x20].high = (u32)gate >> 16; vectors[0x20].kind = 0x8e00;
    __asm__("mov %%cs, %0" : "=r"(vectors[0x20].selector));
    __asm__ volatile("lidt %0; fninit" : : "m"(table));
    out(0x20, 0x11); out(0x21, 0x20); out(0x21, 4); out(0x21, 1); out(0x21, 0xfe); out(0xa1, 0xff);
    out(0x43, 0x34); out(0x40, 40); out(0x40, 0);
    __asm__ volatile("sti");
}
apart u32 stale(void) { u32 value; __asm__ volatile("pushl $7; popl %%ecx; movl -4(%%esp), %0" : "=r"(value) : : "ecx", "memory"); return value; }
void kmain(void)
{
    give(take(16));
    interrupts_on();
    for (u32 n = 0; n < 300; n++) {
        struct large all = {{n}};
        sink = allocated(n % 20) + aligned(n) + deep(n % 7) + passed(all).words[3];
        sink = (u32)number(n);
        fences();
    }
    jumps();
    if (ticks > 20) sink = stale();
    __asm__ volatile("cli; hlt");
}
__attribute__((noinline)) void *memset(void *to, int value, u32 n) { void *p = to; __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(value) : "memory"); return to; }
__attribute__((noinline)) void *memcpy(void *to, const void *from, u32 n) { void *p = to; __asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory"); return to; }
u32 stack[32768];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 0, -0x1BADB002; .text; .global _start;"
        ".type _start, @function; _start: mov $stack + 131072, %esp; call kmain; hlt; .size _start, . - _start");
"""
_BUILDS: Final = {
    f"{compiler} {' '.join(options)}": (compiler, *options)
    for compiler, *options in (
        *(("gcc", level, probes) for level in ("-O0", "-O2") for probes in (
            "-fno-stack-check", "-fstack-check=generic", "-fstack-check=specific", "-fstack-clash-protection",
        )),
        ("gcc", "-Os", "-fno-omit-frame-pointer"),
        ("gcc", "-O1", "-fno-omit-frame-pointer", "-mno-push-args", "-maccumulate-outgoing-args"),
        *(("clang", level, "-fstack-clash-protection") for level in ("-O0", "-O1", "-O2")),
    )
}  # fmt: skip


@pytest.mark.parametrize("build", _BUILDS)
def test_compilers_leave_alone_what_lies_below_esp(tmp_path: Path, build: str) -> None:
    """However they probe stacks; and after all of that a mistake is found."""
    compiler, *options = _BUILDS[build]
    path = compile_kernel(tmp_path, _COMPILED, ["-g", *options], compiler)
    report, _machine = checked(path)
    assert described(report) == {"stale": "read of 4, 4 below"}
