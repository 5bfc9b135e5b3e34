"""Sessions of gdb itself, forwards and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator.debug.gdb.target import COMMANDS
from tests.helpers.c_kernel import compile_kernel
from tests.helpers.gdb import gdb_transcript

if TYPE_CHECKING:
    from pathlib import Path

DEMO, TASKS = "demo", "btron_pools_wait"
QUIET = "set logging enabled off"


def lines(text: str, pattern: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(pattern, line)]


def test_gdb_knows_the_machine_from_its_first_instruction_on() -> None:
    text = gdb_transcript(DEMO, ["info registers eip cr0 gdt_limit", "info threads", "info float", "p $xmm0"])
    assert "_start () at firmware/common/entry.S" in text
    assert lines(text, r"^cr0 +0x11 +\[ PE ET \]$")
    assert lines(text, r"^\* 1 +Thread 1 \"CPU\"")
    assert lines(text, r"^Control Word:")
    assert "v4_int32 = {0, 0, 0, 0}" in text


def test_gdb_goes_on_and_back_and_twice_the_same_way() -> None:
    script = [
        "break kmalloc",
        "continue",
        "bt 2",
        "finish",
        "reverse-stepi",
        "info registers eip",
        "reverse-continue",
        "reverse-continue",
        "continue",
        "reverse-finish",
        "nexti",
        "step",
        "next",
        "reverse-step",
        "reverse-next",
        "delete",
        "continue",
        "reverse-stepi",
        "info registers eip",
    ]
    text = gdb_transcript(DEMO, script)
    assert len(lines(text, "^Breakpoint 1, kmalloc")) == 4
    assert lines(text, "^Value returned is ")
    assert len(lines(text, "^No more reverse-execution history")) == 2, "at the start, and at the end"
    assert lines(text, "^kmemu: the run has ended: ")
    assert len(lines(text, "hello from port 0xE9")) == 1, "output comes once"
    assert gdb_transcript(DEMO, script) == text


def test_gdb_goes_back_to_who_wrote() -> None:
    script = [
        *(
            "break kfree",
            "continue",
            "p heap_free_list",
            "watch heap_free_list",
            "reverse-continue",
            "x/i $pc",
        ),
        *("bt 1", "reverse-continue", "reverse-continue", "reverse-continue", "reverse-continue"),
        *(
            "delete",
            "watch heap_free_list",
            "continue",
            "continue",
            "delete",
            "rwatch heap_free_list",
            "continue",
        ),
        *("delete", "awatch heap_free_list", "reverse-continue", "info watchpoints"),
    ]
    text = gdb_transcript(DEMO, script)
    values = [line.rpartition(" ")[2] for line in lines(text, "^(Old|New) value = ")]
    written = ["0x0", "0x10c000", "0x10c018", "0x10c120", "0x10c510"]
    back = [each for pair in zip(written[:0:-1], written[-2::-1], strict=True) for each in pair]
    assert values == [*back, *written[:2], *written[1:3]]
    assert len(lines(text, r"^90\t    \*link = next;$")) == 3
    assert lines(text, r"^=> 0x102fed <take\+61>:\tmov    %esi,\(%ebx\)$")
    assert len(lines(text, "^No more reverse-execution history")) == 1
    assert lines(text, "^Value = ")
    assert gdb_transcript(DEMO, script) == text


def test_gdb_lets_conditions_be_evaluated_here() -> None:
    text = gdb_transcript(DEMO, ["break kmalloc if size > 500", "continue", "p size", "info breakpoints"])
    assert "(target evals)" in text
    assert "$1 = 1000" in text


def test_gdb_changes_registers_and_memory_and_calls_functions() -> None:
    script = [
        *("break kfree", "continue", "p ((char *(*)(unsigned))kmalloc)(16)", "set var $ebx = 77", "p $ebx"),
        *("set var *(int *)0x200000 = 5", "p *(int *)0x200000", "p *(int *)0xf0000000", "p $cr3 = 1"),
    ]
    text = gdb_transcript(DEMO, script)
    assert lines(text, r"^\$1 = 0x10[0-9a-f]+")
    assert "$2 = 77" in text
    assert "$3 = 5" in text
    assert "Cannot access memory at address 0xf0000000" in text
    assert 'Could not write register "cr3"' in text


def test_tasks_are_threads() -> None:
    script = [
        "break mpl_get",
        "ignore 1 8",
        "continue",
        "info threads",
        "thread 4",
        "bt 2",
        "p $eax",
        "delete",
        "stepi",
        "info threads",
    ]
    text = gdb_transcript(TASKS, script)
    current, stepped = lines(text, r"^\* ")
    assert re.search(r'Thread 3 "task 3" \(running, priority [0-9]+\) ', stepped), (
        "it was stepped where it runs"
    )
    assert re.search(r'"task [0-9]+" \(running, priority [0-9]+\) +mpl_get', current)
    assert lines(text, r'"kernel" \(idle\) +dispatch \(\)')
    assert lines(text, r'"task [0-9]+" \(waits for memory pool [0-9]+, priority [0-9]+\) +dispatch \(\)')
    assert lines(text, "^#1 .* in task_wait")
    assert "$1 = <unavailable>" in text, (
        "of a task that waits only those registers are known that it goes on with"
    )


DESCRIBED = """
struct task { int pid; char comm[8]; unsigned *esp; struct task *next; };
static unsigned stack[8] = {1, 2};
struct task two = {2, "waits", stack, 0}, one = {1, "runs", 0, &two};
struct task *tasks = &one, *current = &one;
void wait(void) { __asm__ volatile(""); }
void *kmalloc(unsigned size) { return (void *)size; }
void _start(void) { stack[1] = (unsigned)wait; for (;;) kmalloc((unsigned)tasks + (unsigned)current); }
"""
PROFILE = """
[tasks]
list = "tasks"
next = "next"
id = "pid"
name = "comm"
current = "current"
esp = "esp"
pushed = ["ebx", "eip"]
[heap]
alloc = "kmalloc(size)"
"""


def test_a_profile_may_say_where_tasks_are(tmp_path: Path) -> None:
    kernel = compile_kernel(tmp_path, DESCRIBED, ["-g", "-O0"])
    profile = tmp_path / "profile.toml"
    profile.write_text(PROFILE)
    script = ["break kmalloc", "continue", "info threads", "thread 2", "p $ebx"]
    text = gdb_transcript(str(kernel), script, "--profile", str(profile))
    assert lines(text, r'^\* 1 +Thread 1 "task 1 runs" \(running\) +kmalloc ')
    assert lines(text, r'^  2 +Thread 2 "task 2 waits" \(waits\) +(0x[0-9a-f]+ in )?wait \(\)')
    assert "$1 = 1" in text
    profile.write_text(PROFILE.replace('"tasks"', '"nothing"'))
    text = gdb_transcript(str(kernel), [], "--profile", str(profile))
    assert "its debug information has no variable nothing, which the profile's [tasks] names" in text


def test_with_its_commands_gdb_sees_where_the_machine_has_gone() -> None:
    around = (
        "break kmalloc",
        "continue",
        "bt 2",
        "monitor goto @2000",
    )  # what bt reads of the stack is kept by gdb
    text = gdb_transcript(DEMO, [f"source {COMMANDS}", *around, "p $pc", "bt", "monitor goto start", "p $pc"])
    assert lines(text, r"^\$1 = .* <set_frames\+131>$")
    found = [re.search(r"([a-z_]+) \(", each) for each in lines(text, "^#")]
    callers = [each[1] for each in found if each is not None]
    assert callers[2:] == ["set_frames", "memmap_reserve", "memory_init", "litecore_boot", "kmain", "_start"]
    assert lines(text, r"^\$2 = .* <_start>$")
    assert "flush" not in text.lower()
    assert "as they were before" not in text


def test_without_them_it_is_said_and_they_help_at_once() -> None:
    script = [
        "break kmalloc",
        "continue",
        "bt 2",
        "monitor goto @2000",
        "p $pc",
        f"source {COMMANDS}",
        "bt 2",
    ]
    text = gdb_transcript(DEMO, script)
    assert lines(text, "^gdb shows registers and the stack as they were before")
    assert lines(text, f"^source {COMMANDS}$")
    assert lines(text, r"^\$1 = .* <kmalloc>$")
    assert lines(text, r"^#1 .* memmap_reserve \(")


def test_gdb_asks_for_what_only_kmemu_knows() -> None:
    script = [
        *("monitor help", "monitor info", "break kfree", "continue", "monitor checkpoint", "monitor heap"),
        *(
            "monitor goto 2",
            "maintenance flush register-cache",
            "p $pc",
            "monitor goto c1",
            "monitor checkpoints",
        ),
        *(
            "monitor phys 0x100000",
            "monitor break-alloc 4",
            "monitor break-alloc 5",
            "monitor goto start",
            "continue",
        ),
        *("continue",),
        *("monitor goto c1", "monitor who heap_free_list", "monitor who 0x10c018 8", "monitor who 0x300000"),
        *(
            "monitor who 0xf0000000",
            "monitor break-alloc 4 off",
            "monitor nothing",
            "monitor goto",
            "monitor phys 0xf0000000",
        ),
    ]
    text = gdb_transcript(DEMO, script)
    assert lines(text, r"^monitor phys ADDRESS \[SIZE\] +physical memory$")
    assert lines(text, r"^after 0 instructions: _start\+0x0")
    assert lines(text, r"^checkpoint c1: after [0-9]+ instructions, after event [0-9]+: kfree\+0x0")
    assert lines(text, r"^Heap 0x0010c000-0x0011c000")
    assert lines(text, r"^after [0-9]+ instructions, after event 2: memory_init\+")
    assert lines(text, r"^\$1 = .* <memory_init\+")
    assert lines(text, r"^c1  after [0-9]+ instructions$")
    assert lines(text, r"^to go back, kmemu keeps 1 state, whose pages take [0-9.]+ KiB$")
    assert lines(text, r"^0x00100000  02 b0 ad 1b ")
    assert lines(
        text, r"^0x0010b334: 0x0010c120 became 0x0010c510, after [0-9]+ instructions, after event 87$"
    )
    assert lines(text, r"^  mov dword ptr \[ebx\], esi$")
    assert lines(text, r"^  heap.c:90  \*link = next;$")
    assert lines(text, r"^  1  kmalloc\+0x50 heap.c:178$")
    assert lines(text, r"^0x0010c018: 00 01 00 00 00 00 00 00 became 00 01 00 00 01 00 00 00, after ")
    assert lines(text, r"^nobody has written to 0x00300000 since the start$")
    assert lines(text, r"^there is no RAM at 0xf0000000$")
    assert lines(text, r"^kmemu: event 4: mem_init\(0x[0-9a-f]+, 0x[0-9a-f]+\) returns$")
    assert lines(text, r"^kmemu: event 5: memmap_reserve\(0x[0-9a-f]+, 0x[0-9a-f]+\) is entered$")
    assert lines(text, r"^heap: 3 live blocks, 1,269 bytes$")
    assert lines(text, r"^  0x0010c020 +256  call #43  show_heap\+0x2f demo.c:107$")
    assert lines(text, r"^there is no command 'nothing'; monitor help lists all$")
    assert lines(text, r"^usage: monitor goto EVENT")
    assert lines(text, r"^0xf0000000, 16 bytes, is not in RAM, which ends at 0x00500000$")


def test_gdb_stops_in_front_of_bad_accesses() -> None:
    script = [
        "continue",
        "bt 2",
        "monitor until-finding off",
        "reverse-continue",
        "monitor until-finding",
        "continue",
    ]
    text = gdb_transcript("bad_overflow", script, "--sanitize")
    reports = lines(
        text, "^BUG: out-of-bounds write of 1 byte to 0x0010b018, 0 bytes after a block of 16 bytes"
    )
    assert len(reports) == 2, "the second one after the way back"
    assert len(lines(text, "^No more reverse-execution history")) == 1
    assert len(lines(text, r"^0x00101014 in copy_name \(")) == 2
    assert gdb_transcript("bad_overflow", script, "--sanitize") == text
