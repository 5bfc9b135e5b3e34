"""A kernel with two tasks that hand the CPU to each other, and the profile that says where they are."""

from __future__ import annotations

KERNEL = """
struct task { int pid; unsigned *esp, *lowest, stack[256]; } tasks[2] = {{1}, {2}};
volatile unsigned count[2];
char first_stack[4096];
__attribute__((naked)) void switch_to(unsigned **from, unsigned *to) {
  __asm__("mov 4(%esp), %eax; mov 8(%esp), %edx; push %ebp; push %ebx; push %esi; push %edi");
  __asm__("mov %esp, (%eax); mov %edx, %esp; pop %edi");
  __asm__("pop %esi; pop %ebx; pop %ebp; ret");
}
void work(int self) {
  for (int i = 0; i < 6; i++) {
    count[self]++;
    switch_to(&tasks[self].esp, tasks[1 - self].esp);
    count[self] += 100;
  }
  for (;;) __asm__ volatile("cli; hlt");
}
void one(void) { work(0); }
void two(void) { work(1); }
void prepare(struct task *task, void (*body)(void)) {
  task->lowest = task->stack;
  task->stack[253] = (unsigned)body;
  task->esp = &task->stack[249];
}
void *kmalloc(unsigned size) { return (void *)size; }
void start(void) {
  unsigned *nobody;
  kmalloc(4);
  prepare(&tasks[0], one);
  prepare(&tasks[1], two);
  switch_to(&nobody, tasks[0].esp);
}
__asm__(".text; .globl _start; _start: mov $first_stack + 4096, %esp; call start");
"""
"""Compiled without optimisation. Line 12 counts, 13 switches tasks, 14 counts again; line 7 has the switch."""
PROFILE = """
[tasks]
list = "tasks"
id = "pid"
stack = "lowest"
stack_size = 1024
esp = "esp"
pushed = ["edi", "esi", "ebx", "ebp", "eip"]
[heap]
alloc = "kmalloc(size)"
"""
