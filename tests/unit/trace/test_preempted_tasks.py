"""Call stacks in and around interrupts, in code of every style that gcc makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.reader import read_profile
from emulator.run.recorded import record_trace
from emulator.trace.trace import Trace
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

# The first task's stack is `stack`; those of the others lie further up. isr and _start have no call frame information.
SOURCE = r"""
asm(".section .multiboot, \"a\"\n .long 0x1badb002, 0, -0x1badb002\n .text\n"
    ".globl _start\n_start: movl $stack + 4096, %esp\n movl $gdt_place, %eax\n lgdt (%eax)\n ljmp $8, $1f\n"
    "1: movl $16, %eax\n movl %eax, %ds\n movl %eax, %es\n movl %eax, %ss\n xorl %ebp, %ebp\n call kmain\n hlt\n"
    "isr: pusha\n call tick\n popa\n iret\n"
    "switch_to: movl 4(%esp), %eax\n movl 8(%esp), %edx\n pushl %ebp\n pushl %ebx\n pushl %esi\n pushl %edi\n"
    "movl %esp, (%eax)\n movl %edx, %esp\n popl %edi\n popl %esi\n popl %ebx\n popl %ebp\n ret\n"
    ".data\n.align 8\ngdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\ngdt_place: .word 23\n .long gdt\n"
    "idt_place: .word 263\n .long idt\n.text\n");
#define REAL __attribute__((noinline, noclone))
#define REST asm volatile("" : : : "memory")
typedef unsigned u;
static struct { u stack[1024], second[1024], third[1024]; } room asm("stack");
u idt[66] __attribute__((aligned(8)));
static u saved[3], task, done, taken;
void isr(void);
void switch_to(u *from, u to);
static void out(unsigned short port, unsigned char value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
void tick(void)
{
    u from = task;
    out(0x20, 0x20);
    task = (task + 1) % 3;
    switch_to(&saved[from], saved[task]);
}
REAL u kmalloc(u size) { return __atomic_add_fetch(&taken, size, __ATOMIC_RELAXED); }
#define TASK(name) \
    REAL void name##_leaf(void) { for (volatile u i = 0; i < 100; i++) REST; kmalloc(8); REST; } \
    REAL void name##_task(void) \
    { \
        asm volatile("sti"); \
        for (u i = 0; i < 50; i++) { for (volatile u k = 0; k < 100; k++) REST; name##_leaf(); } \
        __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED); \
        while (*(volatile u *)&done < 3) REST; \
        asm volatile("outl %0, $0xf4" : : "a"(0)); \
    }
TASK(a)
TASK(b)
TASK(c)
void kmain(void)
{
    static const unsigned char settings[][2] = {{0x20, 0x11}, {0x21, 32}, {0x21, 4}, {0x21, 1}, {0x21, 0xfe},
                                                {0x43, 0x34}, {0x40, 200}, {0x40, 0}};
    u handler = (u)isr;
    idt[64] = 8 << 16 | (handler & 0xffff), idt[65] = (handler & 0xffff0000) | 0x8e00;
    asm volatile("lidt idt_place");
    for (u i = 0; i < 8; i++)
        out(settings[i][0], settings[i][1]);
    room.second[1022] = (u)b_task, room.third[1022] = (u)c_task;
    saved[1] = (u)&room.second[1018], saved[2] = (u)&room.third[1018];
    a_task();
    REST;
}
"""
FRAMES = ["-fomit-frame-pointer", "-fno-omit-frame-pointer"]
RULES = ["-fasynchronous-unwind-tables", "-fno-asynchronous-unwind-tables"]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_no_stack_goes_on_in_that_of_an_interrupted_task(
    level: str, frames: str, rules: str, tmp_path: Path
) -> None:
    (tmp_path / "tasks.toml").write_text('[heap]\nother = "kmalloc(size)"\n')
    machine = Machine(KernelImage.read(compile_kernel(tmp_path, SOURCE, (level, frames, rules))))
    with record_trace(machine, tmp_path / "run.kmt", read_profile(tmp_path / "tasks.toml")):
        assert machine.run(timeout_s=10).exit_value == 0
    trace = Trace.read(tmp_path / "run.kmt")
    stacks = [[frame.function for frame in trace.frames(call.stack) if frame.address] for call in trace]
    whole = [["a_leaf", "a_task", "kmain", "_start"], ["b_leaf", "b_task"], ["c_leaf", "c_task"]]
    if frames == FRAMES[0] and rules == RULES[1]:
        whole = [stack[:1] for stack in whole]
    assert sorted(stacks) == [stack for stack in whole for _ in range(50)]


HANDLER = r"""
asm(".section .multiboot, \"a\"\n .long 0x1badb002, 0, -0x1badb002\n .text\n"
    ".globl _start\n_start: movl $stack + 4096, %esp\n movl $gdt_place, %eax\n lgdt (%eax)\n ljmp $8, $1f\n"
    "1: movl $16, %eax\n movl %eax, %ds\n movl %eax, %es\n movl %eax, %ss\n xorl %ebp, %ebp\n call kmain\n hlt\n"
    ".data\n.align 8\ngdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\ngdt_place: .word 23\n .long gdt\n"
    "idt_place: .word 527\n .long idt\n.text\n");
#define REAL __attribute__((noinline, noclone))
#define REST asm volatile("" : : : "memory")
typedef unsigned u;
char stack[4096];
u idt[132] __attribute__((aligned(8)));
REAL u kmalloc(u size) { static u taken; return taken += size; }
__attribute__((interrupt, target("general-regs-only"))) void handler(void *frame) { (void)frame; kmalloc(8); }
REAL void inner(u size) { volatile u room[9]; room[size & 7] = 1; asm volatile("int $0x41" : : : "memory"); kmalloc(room[0]); }
REAL void outer(u size) { volatile u room[5]; room[size & 3] = 1; inner(room[0]); REST; }
void kmain(void)
{
    idt[130] = 8 << 16 | ((u)handler & 0xffff), idt[131] = ((u)handler & 0xffff0000) | 0x8e00;
    asm volatile("lidt idt_place");
    outer(3);
    asm volatile("outl %0, $0xf4" : : "a"(0));
}
"""


@pytest.mark.parametrize(
    ("frames", "rules"), [(FRAMES[0], RULES[0]), (FRAMES[1], RULES[0]), (FRAMES[1], RULES[1])]
)
@pytest.mark.parametrize("level", ["-O0", "-O2", "-Os"])
def test_a_handler_in_c_has_interrupted_the_whole_stack(
    level: str, frames: str, rules: str, tmp_path: Path
) -> None:
    (tmp_path / "handler.toml").write_text('[heap]\nother = "kmalloc(size)"\n')
    machine = Machine(KernelImage.read(compile_kernel(tmp_path, HANDLER, (level, frames, rules))))
    with record_trace(machine, tmp_path / "run.kmt", read_profile(tmp_path / "handler.toml")):
        assert machine.run(timeout_s=10).exit_value == 0
    trace = Trace.read(tmp_path / "run.kmt")
    first = [frame.function for frame in trace.frames(next(iter(trace)).stack)]
    assert first == ["handler", "inner", "outer", "kmain", "_start"]
