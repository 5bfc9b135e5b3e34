"""Return addresses that are overwritten, in a kernel that does with its stacks what kernels do."""

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
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.machine.machine import Machine

SOURCE: Final = r"""
typedef unsigned u32; typedef unsigned char u8; typedef unsigned short u16;
#define apart __attribute__((noinline))
void *memset(void *, int, u32); void *memcpy(void *, const void *, u32);
static u8 arena[65536] __attribute__((aligned(16))); static u32 used;
apart void *take(u32 size) { void *p = arena + used; used += (size + 31) & ~15u; return p; }
apart void give(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
volatile u32 sink, bad;
void *volatile at;
apart void use(void *p) { at = p; }
apart u8 *opaque(void *p) { at = p; return at; }

/* Two tasks that switch in assembly, the second of which begins by `ret`. */
static u32 *stacks[2];
void switch_to(u32 **from, u32 *to);
__asm__(".text; .type switch_to, @function; switch_to: .cfi_startproc; pushl %ebp; .cfi_adjust_cfa_offset 4; pushl %ebx; .cfi_adjust_cfa_offset 4;"
        "pushl %esi; .cfi_adjust_cfa_offset 4; pushl %edi; .cfi_adjust_cfa_offset 4; movl 20(%esp), %eax; movl 24(%esp), %edx;"
        "movl %esp, (%eax); movl %edx, %esp; popl %edi; .cfi_adjust_cfa_offset -4; popl %esi; .cfi_adjust_cfa_offset -4; popl %ebx;"
        ".cfi_adjust_cfa_offset -4; popl %ebp; .cfi_adjust_cfa_offset -4; ret; .cfi_endproc; .size switch_to, . - switch_to");
apart void below(u32 n) { u8 own[100]; memset(own, (int)n, 100); use(own); if (n) below(n - 1); use(own); }
static void second(void) { for (;;) { below(3); switch_to(&stacks[1], stacks[0]); } }
apart u32 *new_stack(u8 *memory, void (*begin)(void))
{
    u32 *top = (u32 *)(memory + 2048);
    *--top = 0; *--top = (u32)begin; top -= 4;
    return top;
}
static void tasks(void)
{
    u8 *memory = take(2048);
    for (u32 i = 0; i < 5; i++) {
        stacks[1] = new_stack(memory, second); /* over what the task has left there */
        for (u32 j = 0; j < 4; j++) { switch_to(&stacks[0], stacks[1]); below(2); }
        memset(memory, 0, 2048);
    }
    give(memory);
}

/* Jumps out of functions, also of handlers. */
void *saved[5];
apart void leave(u32 n) { u8 own[60]; memset(own, 1, 60); use(own); if (n) leave(n - 1); else __builtin_longjmp(saved, 1); use(own); }
static void jumps(void)
{
    for (volatile u32 i = 0; i < 20; i++) { if (!__builtin_setjmp(saved)) leave(i % 5); below(i % 3); }
}

/* Thunks: one that says where it is, one that goes elsewhere by a return address that it stores, one that takes its arguments off the stack. */
u32 where(void), twice(u32 value); void by_return(void);
__asm__(".text; where: .cfi_startproc; movl (%esp), %eax; ret; .cfi_endproc;"
        "by_return: .cfi_startproc; call 1f; 2: jmp 2b; 1: .cfi_def_cfa_offset 8; movl %eax, (%esp); ret; .cfi_endproc;"
        "twice: .cfi_startproc; popl %edx; .cfi_def_cfa_offset 0; popl %eax; addl %eax, %eax; pushl %eax; pushl %edx; .cfi_def_cfa_offset 8; ret; .cfi_endproc;"
        "elsewhere: .cfi_startproc; incl sink; ret; .cfi_endproc");
void (*volatile indirect)(u32) = below;
static void thunks(void)
{
    for (u32 i = 0; i < 10; i++) {
        indirect(i);
        sink = where();
        __asm__ volatile("movl $elsewhere, %%eax; call by_return" : : : "eax", "memory");
        sink = twice(i);
        __asm__ volatile("call 1f; 1: popl %%eax" : : : "eax", "memory");
    }
}

/* What reads and writes back its own return address, as profilers and stack checks do, and as a tracer that comes back another way. */
apart void hook(u32 *place, u32 to) { *place = to; }
apart u32 walk(void) { u32 sum = 0, *frame = __builtin_frame_address(0); for (u32 i = 0; i < 16; i++) sum += ((volatile u32 *)frame)[i]; return sum; }
apart void traced(void)
{
    u32 sum = walk();
    for (u32 i = 0; i < 10; i++) if (walk() - sum > 100) sink = 2; /* but for what its caller calls from */
    u32 *place = (u32 *)__builtin_frame_address(0) + 1, was = *place;
    hook(place, (u32)traced); sink = 1; hook(place, was); hook(place, *place);
    memcpy(opaque(place - 1), opaque(place - 1), 8);
}

/* Interrupts: on the stack of what they interrupt; one that goes on elsewhere, and one whose handler calls much. */
static struct { u16 low, selector, kind, high; } vectors[0x40];
apart void handler(u32 *frame) { below(4); if (bad == 2) { frame[0] += 2; bad = 0; } }
__asm__(".text; .global gate; gate: pusha; leal 32(%esp), %eax; pushl %eax; call handler; addl $4, %esp; popa; iret;"
        "faulty: pusha; addl $32, %esp; addl $4, %esp; addl $2, (%esp); iret");
extern char gate[], faulty[];
static void set(u32 n, char *to) { vectors[n].low = (u32)to; vectors[n].high = (u32)to >> 16; vectors[n].kind = 0x8e00; __asm__("mov %%cs, %0" : "=r"(vectors[n].selector)); }
apart void interrupted(u32 n) { __asm__ volatile("int $0x30" : : : "memory"); if (n) interrupted(n - 1); __asm__ volatile("int $0x30" : : : "memory"); }
static void interrupts(void)
{
    struct { u16 limit; u32 base; } __attribute__((packed)) table = {sizeof vectors - 1, (u32)vectors};
    set(0x30, gate); set(13, faulty);
    __asm__ volatile("lidt %0" : : "m"(table));
    interrupted(4);
    bad = 2;
    __asm__ volatile("int $0x30; ud2" : : : "memory");
}

/* An aligned frame, arrays of variable length, large structures by value. */
struct large { u32 words[40]; };
apart struct large passed(struct large all) { all.words[3] = 1; use(&all); return all; }
apart void aligned(u32 n)
{
    u8 own[32] __attribute__((aligned(64))), of_length[n + 1];
    memset(own, 1, 32); memset(of_length, 2, n + 1); use(own); use(of_length);
    struct large all; memset(&all, 0, sizeof all);
    sink = passed(all).words[3];
}
apart void smashed(u8 *name, u32 n) { memset(name, 0x41, n); }
apart void named(u32 n) { u8 name[8]; use(name); smashed(name, n); __asm__ volatile("cli; hlt"); use(name); }
void kmain(void)
{
    give(take(16));
    tasks(); jumps(); thunks(); traced(); interrupts();
    for (u32 n = 0; n < 40; n++) aligned(n);
    named(WRITTEN);
}
__attribute__((noinline)) void *memset(void *to, int value, u32 n) { void *p = to; __asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(value) : "memory"); return to; }
__attribute__((noinline)) void *memcpy(void *to, const void *from, u32 n) { void *p = to; __asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory"); return to; }
u8 stack[16384];
__asm__(".section .multiboot, \"a\"; .align 4; .long 0x1BADB002, 0, -0x1BADB002; .text; .global _start; _start: mov $stack + 16384, %esp; call kmain; hlt");
"""
PROFILE: Final = '[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\n'
BUILDS: Final = {
    "gcc -O0": ("gcc", "-g", "-O0"),
    "gcc -O2": ("gcc", "-g", "-O2"),
    "gcc with thunks": ("gcc", "-g", "-O2", "-mindirect-branch=thunk"),
    "gcc with frame pointers": ("gcc", "-g", "-O1", "-fno-omit-frame-pointer"),
    "gcc with frame pointers only": (
        "gcc",
        "-O2",
        "-fno-omit-frame-pointer",
        "-fno-asynchronous-unwind-tables",
    ),
    "gcc -O0 with frame pointers only": ("gcc", "-O0", "-fno-asynchronous-unwind-tables"),
    "clang -O2": ("clang", "-g", "-O2"),
}


def compiled(folder: Path, build: str, *, smashes: bool) -> Path:
    compiler, *options = BUILDS[build]
    return compile_kernel(folder, SOURCE, [*options, f"-DWRITTEN={64 if smashes else 8}"], compiler)


def checked(path: Path, memory: str = "fast") -> tuple[CheckReport, Machine]:
    machine = boot(str(path), mmu=memory)  # type: ignore[arg-type] # one of them
    profile = match(parse_profile(PROFILE, "p"), machine.image)
    return check_kernel(machine, profile, Budget(max_instructions=10_000_000), sanitize=True), machine


@pytest.mark.parametrize("build", BUILDS)
def test_what_kernels_do_with_stacks_is_right(tmp_path: Path, build: str) -> None:
    report, _machine = checked(compiled(tmp_path, build, smashes=False))
    assert [each.message for each in report.findings] == []
    assert report.ending.by_itself
    assert Kind.RETURN_WRITE in report.checked


@pytest.mark.parametrize("build", BUILDS)
def test_after_all_of_that_a_mistake_is_found(tmp_path: Path, build: str) -> None:
    report, _machine = checked(compiled(tmp_path, build, smashes=True))
    [found] = report.findings
    assert found.kind is Kind.RETURN_WRITE
    assert found.call_site is not None
    functions = [each.function for each in found.call_site.backtrace]
    assert functions[:3] == ["memset", "smashed", "named"]


def test_a_finding_says_whose_return_address_it_is_and_what_lies_below(tmp_path: Path) -> None:
    report, machine = checked(compiled(tmp_path, "gcc -O0", smashes=True))
    [found] = report.findings
    instruction, leads_to, array = found.details[:3]
    slot = int(leads_to.split()[4], 16)
    assert instruction.startswith("by rep stosb byte ptr es:[edi], al at 0x")
    assert found.message == f"write of 1 byte to 0x{slot:08x}, over the return address of named"
    assert found.area == "stack"
    assert leads_to.partition(" leads to ")[2].startswith("kmain+0x")
    where, _, extent = array.partition(", ")
    start = int(extent[:10], 16)
    assert where == f"{slot - start - 8} bytes after name of 8 bytes"
    assert extent == f"0x{start:08x}-0x{start + 8:08x}, in a frame of named"
    assert found.hex_dump[-1].endswith("A return address")
    assert "AAAA" in next(line for line in found.hex_dump if line.startswith(">"))
    assert machine.memory.read(slot, 4) == b"AAAA"


def test_it_takes_fast_memory_which_is_said(tmp_path: Path) -> None:
    report, _machine = checked(compiled(tmp_path, "gcc -O2", smashes=True), "ordinary")
    assert Kind.RETURN_WRITE not in {each.kind for each in report.findings} | report.checked
    assert report.unchecked[Kind.RETURN_WRITE].startswith("it takes fast memory, and to know the frames")


def test_where_neither_rules_nor_frame_pointers_are_nothing_is_found(tmp_path: Path) -> None:
    source = re.sub(r'\.cfi_[^;"]*;?', "", SOURCE)
    options = ("-DWRITTEN=64", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables")
    report, _machine = checked(compile_kernel(tmp_path, source, options))
    assert report.findings == ()
    assert Kind.RETURN_WRITE not in report.checked
