"""Allocators that the compiler has put into their callers: what they do there is not known, and is nobody's mistake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from emulator.cli.main import main
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

KERNEL: Final = """
typedef unsigned int u32;
#define KEEP __attribute__((noipa))
#define INLINE static inline __attribute__((always_inline))
struct block { u32 size; struct block *next; };
char stack[8192], arena[8192];
u32 used;
struct block *list;
INLINE void *take_inside(u32 size)
{
    for (struct block **link = &list; *link; link = &(*link)->next)
        if ((*link)->size == size) { struct block *found = *link; *link = found->next; return found + 1; }
    struct block *block = (struct block *)(arena + used);
    used += sizeof *block + size;
    block->size = size;
    return block + 1;
}
KEEP void *take(u32 size) { return take_inside(size); }
INLINE void give_inside(void *pointer) { struct block *block = (struct block *)pointer - 1; block->next = list; list = block; }
KEEP void give(void *pointer) { give_inside(pointer); }
void *volatile kept[8];
KEEP void take_elsewhere(int at, u32 size) { kept[at] = take_inside(size); }
KEEP void give_elsewhere(int at) { give_inside(kept[at]); kept[at] = 0; }
KEEP void work(void) { WORK }
void kmain(void)
{
    work();
    __asm__ volatile("outb %0, $0xf4" : : "a"((unsigned char)0));
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".globl _start; _start: mov $stack + 8192, %esp; call kmain; hlt");
"""
PROFILE: Final = """
[heap]
alloc = ["take(size)", "take_inside(size)"]
free = ["give(ptr)", "give_inside(ptr)UNKNOWN"]
"""
SOME: Final = "kept[0] = take(16); kept[1] = take(24); give(kept[1]); kept[1] = 0;"
TAKES: Final = "take_inside is inlined: which blocks it handles there is not known"
GIVES: Final = "give_inside is inlined: which blocks it handles there is not known"


def checked(
    folder: Path, work: str, capsys: pytest.CaptureFixture[str], *, frees_are_known: bool = True
) -> tuple[list[tuple[str, int]], dict[str, str], str]:
    """Return the kinds of findings with the bytes of their blocks, why kinds were not checked, and what was said."""
    kernel = compile_kernel(folder, KERNEL.replace("WORK", work), ["-g", "-O1"])
    file = folder / "mine.toml"
    file.write_text(PROFILE.replace("UNKNOWN", "" if frees_are_known else " -> error"))
    main(["check", str(kernel), "--profile", str(file), "--json"])
    captured = capsys.readouterr()
    document: dict[str, Any] = json.loads(captured.out)
    found = [(each["kind"], (each["block"] or {"size": 0})["size"]) for each in document["findings"]]
    return found, document["unchecked"], captured.err


def test_a_block_of_a_copy_may_be_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = f"{SOME} take_elsewhere(2, 40); give(kept[2]); take_elsewhere(3, 24); give(kept[3]);"
    found, unchecked, said = checked(tmp_path, work, capsys)
    assert found == []
    assert (unchecked["double-free"], unchecked["invalid-free"]) == (TAKES, TAKES)
    assert "leak" not in unchecked
    expected = (
        "kmemu: take_inside is inlined in take_elsewhere (1 time): which blocks it makes there is not known\n"
    )
    assert said == expected


def test_a_copy_that_is_not_executed_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, unchecked, _ = checked(tmp_path, f"{SOME} give(kept[0]); give(kept[0]);", capsys)
    assert found == [("double-free", 16)]
    assert "double-free" not in unchecked


def test_mistakes_before_a_copy_is_executed_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = f"{SOME} give(kept[0]); give(kept[0]); take_elsewhere(2, 40);"
    assert checked(tmp_path, work, capsys)[0] == [("double-free", 16)]


def test_the_inside_of_a_live_block_is_no_block_of_a_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = f"{SOME} take_elsewhere(2, 40); give((char *)kept[0] + 8);"
    assert checked(tmp_path, work, capsys)[0] == [("invalid-free", 16)]


def test_leaks_are_found_where_only_copies_that_take_are_unseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = f"{SOME} take_elsewhere(2, 40); kept[0] = 0;"
    assert checked(tmp_path, work, capsys)[0] == [("leak", 16)]


def test_frees_of_copies_are_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, unchecked, said = checked(tmp_path, f"{SOME} give_elsewhere(0);", capsys)
    assert found == []
    assert not {"leak", "overlapping-blocks"} & unchecked.keys()
    assert "give_inside" not in said


def test_what_copies_give_back_is_no_leak_and_may_be_taken_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A free that returns an error, as the profile has it, has no result in a copy."""
    work = f"{SOME} give_elsewhere(0); kept[3] = take(16); kept[4] = take(8); give_elsewhere(4);"
    found, unchecked, said = checked(tmp_path, work, capsys, frees_are_known=False)
    assert found == []
    assert (unchecked["leak"], unchecked["overlapping-blocks"]) == (GIVES, GIVES)
    assert "double-free" not in unchecked
    assert "which blocks it gives back there is not known" in said


def test_instructions_are_shown_of_a_run_with_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = f"{SOME} take_elsewhere(2, 40); give_elsewhere(0); give(kept[2]);"
    kernel = compile_kernel(tmp_path, KERNEL.replace("WORK", work), ["-g", "-O1"])
    file = tmp_path / "mine.toml"
    file.write_text(PROFILE.replace("UNKNOWN", ""))
    arguments = ["trace", str(kernel), "--profile", str(file), "--insn", "--calls", "5..7"]
    assert main(arguments) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    assert [line.split()[1].partition("(")[0] for line in lines] == [
        "take_inside.inlined",
        "give_inside",
        "give",
    ]


SEED: Final = """
typedef unsigned int u32;
struct run { struct run *next; };
struct run *list;
char stack[8192], memory[256], other[64];
void *volatile kept;
__attribute__((noipa)) void give(void *pointer) { struct run *run = pointer; run->next = list; list = run; }
__attribute__((noipa)) void *take(u32 size) { struct run *found = list; list = found->next; return found; }
static inline __attribute__((always_inline)) void add_memory(char *start, u32 size) { for (u32 at = 0; at < size; at += 64) give(start + at); }
void kmain(void)
{
    add_memory(memory, sizeof memory);
    kept = take(64);
    give(kept);
    kept = 0;
    give(other);
    __asm__ volatile("outb %0, $0xf4" : : "a"((unsigned char)0));
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".globl _start; _start: mov $stack + 8192, %esp; call kmain; hlt");
"""


@pytest.mark.parametrize("seed", ["add_memory(start, n)", "add_memory()"])
def test_what_a_copy_gives_to_the_allocator_is_no_wrong_free(
    tmp_path: Path, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = compile_kernel(tmp_path, SEED, ["-g", "-O2"])
    file = tmp_path / "mine.toml"
    file.write_text(f'[heap]\nalloc = "take(size)"\nfree = "give(ptr)"\nseed = "{seed}"\n')
    main(["check", str(kernel), "--profile", str(file), "--json"])
    captured = capsys.readouterr()
    document: dict[str, Any] = json.loads(captured.out)
    assert [(each["kind"], each["place"]["stack"][0]["function"]) for each in document["findings"]] == [
        ("invalid-free", "kmain")
    ]
    assert not {"leak", "overlapping-blocks", "invalid-free"} & document["unchecked"].keys()
    assert captured.err.endswith(": which memory it gives to the allocator there is not known\n")


CPP: Final = """
typedef unsigned int size_t;
char stack[8192], arena[8192];
size_t used;
namespace mm { struct Arena { char *next; void *alloc(size_t size) { char *block = next; next += size; return block; } }; Arena heap = {arena}; }
void *operator new(size_t size) { return mm::heap.alloc(size); }
struct Packet { int length; char data[60]; };
__attribute__((noinline)) Packet *receive(int length) { Packet *packet = new Packet; packet->length = length; return packet; }
Packet *volatile kept;
extern "C" void kmain() {
    kept = receive(3);
    __asm__ volatile("outb %0, $0xf4" : : "a"((unsigned char)0));
    for (;;) __asm__ volatile("cli; hlt");
}
__asm__(".globl _start; _start: mov $stack + 8192, %esp; call kmain; hlt");
"""


@pytest.mark.parametrize(
    ("alloc", "name", "arguments"),
    [
        ("operator new(size)", "operator new(unsigned int)", "64"),
        ("_Znwj(size)", "operator new(unsigned int)", "64"),
        ("operator new(unsigned int)(size)", "operator new(unsigned int)", "64"),
        ("mm::Arena::alloc(this, size)", "mm::Arena::alloc", "0x"),
        ("_ZN2mm5Arena5allocEj(this, size)", "_ZN2mm5Arena5allocEj", "0x"),
    ],
)
def test_functions_of_cpp_are_known_by_each_of_their_names(
    tmp_path: Path, alloc: str, name: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = compile_kernel(tmp_path, CPP, ["-g", "-O2", "-fno-exceptions", "-x", "c++"])
    file = tmp_path / "mine.toml"
    file.write_text(f'[heap]\nalloc = "{alloc}"\n')
    assert main(["trace", str(kernel), "--profile", str(file)]) == 0
    captured = capsys.readouterr()
    assert f"{name}.inlined({arguments}" in captured.out
    assert f"{name} is inlined in " in captured.err
