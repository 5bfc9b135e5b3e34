"""Frames that page tables lie in or map, of a kernel that names frames by number and has few of them mapped itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.check.leaks.test_leaks import checked

if TYPE_CHECKING:
    from pathlib import Path

#: The first 4 MiB are mapped to themselves. Frames come from 0x400 on, and only what BODY maps is mapped.
START = """
    next_frame = 0x400;
    static unsigned short limit[8] = {0, 7, 0, 0};
    static word none[2];
    *(word *)&limit[2] = (word)none;
    asm volatile("lidt %0; lgdt %0" :: "m"(limit[1]));
    word directory = alloc_frame() << 12;
    *(volatile word *)directory = 0x83;
"""
PAGING = """
    asm volatile("mov %%cr4,%%eax; or $0x10,%%eax; mov %%eax,%%cr4; mov %0,%%cr3; mov %%cr0,%%eax; or $0x80000000,%%eax; mov %%eax,%%cr0"
                 :: "r"(directory) : "eax", "memory");
    directory = 0;
"""


def at(frame: int, index: int, value: str) -> str:
    return f"((volatile word *)0x{frame << 12:x})[{index}] = {value};"


def lost(folder: Path, body: str) -> list[int]:
    """Return the frames that are lost when a kernel has executed some C before paging is on."""
    report = checked(folder, f"{START} {body} {PAGING}")
    return sorted(finding.block.address >> 12 for finding in report.findings if finding.block)


def test_tables_and_what_they_map_are_held_by_cr3(tmp_path: Path) -> None:
    body = "alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x401003") + at(0x401, 7, "0x402001")
    assert lost(tmp_path, body) == []


def test_a_frame_that_no_table_maps_is_lost(tmp_path: Path) -> None:
    body = "alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x401003") + at(0x401, 7, "0x403001")
    assert lost(tmp_path, body) == [0x402]


def test_what_holds_a_mapped_frame_is_shown(tmp_path: Path) -> None:
    body = "alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x401003") + at(0x401, 7, "0x402001")
    held = [
        text
        for finding in checked(tmp_path, f"{START} {body} {PAGING}").reachable
        for text in finding.details
    ]
    assert [text.partition(" at 0x")[2] for text in held] == [
        "00400000: pointed to by register cr3",
        "00401000: pointed to by the page directory at 0x00400000",
        "00402000: pointed to by the page table entry of 0xc0007000",
    ]


def test_pointers_in_a_mapped_frame_are_followed(tmp_path: Path) -> None:
    body = "alloc_frame(); alloc_frame();" + at(0x400, 0x300, "0x401003") + at(0x401, 7, "0x402001")
    assert lost(tmp_path, body + at(0x402, 5, "(word)kmalloc(24)")) == []


def test_the_direct_map_holds_no_frame(tmp_path: Path) -> None:
    """The second 4 MiB are mapped to themselves by a table, so that all frames are mapped."""
    body = "alloc_frame(); alloc_frame(); alloc_frame();" + at(0x400, 1, "0x401003")
    body += "for (word i = 0; i < 1024; i++) ((volatile word *)0x401000)[i] = (0x400 + i) << 12 | 3;"
    assert lost(tmp_path, body + "table[0] = 0x402000;") == [0x403]


SECOND = (
    "for (int i = 0; i < 4; i++) alloc_frame();"  # a directory, a table, what is mapped, and another frame
    + at(0x401, 0, "0x83")
    + at(0x401, 0x200, "0x402007")
    + at(0x402, 9, "0x403007")
)


@pytest.mark.parametrize(
    ("holder", "frames"),
    [
        ("", [0x401, 0x402, 0x403, 0x404]),
        ("table[0] = 0x401000;", [0x404]),
        ("table[0] = 0x401;", [0x404]),
        ("word *process = kmalloc(24); table[0] = (word)process; process[2] = 0x401;", [0x404]),
        (
            "word *process = kmalloc(24); table[0] = (word)process; process[2] = 0x404;",
            [0x401, 0x402, 0x403],
        ),
        (
            "word *process = kmalloc(24); table[0] = (word)process; process[2] = 0x405;",
            [*range(0x401, 0x405)],
        ),
        ("table[0] = 0x403000;", [0x401, 0x402, 0x404]),
    ],
)
def test_another_directory_holds_what_it_maps(holder: str, frames: list[int], tmp_path: Path) -> None:
    report = checked(tmp_path, f"{START} {SECOND} {holder} {PAGING}")
    total = sum(int(finding.message.split()[2]) for finding in report.findings)
    assert total == 4096 * len(frames)
    assert {finding.block.address >> 12 for finding in report.findings if finding.block} <= set(frames)


def test_a_directory_without_the_kernel_is_none(tmp_path: Path) -> None:
    body = SECOND.replace("[0] = 0x83", "[0] = 0x400083") + "table[0] = 0x401000;"
    report = checked(tmp_path, f"{START} {body} {PAGING}")
    assert {finding.message.split()[2] for finding in report.findings} == {
        "4096"
    }  # the fifth frame: words count


def test_a_stack_that_is_a_block_ends_with_it(tmp_path: Path) -> None:
    """What is after it may have been a stack once: the fourth frame is held by nothing else."""
    body = "for (int i = 0; i < 3; i++) alloc_frame(); ((volatile word *)directory)[1] = 0x400083;"
    body += "table[0] = 0x401000;" + at(0x402, 4, "0x403000")
    leave = """asm volatile("mov $0x401ff0,%%esp; xor %%eax,%%eax; xor %%ebx,%%ebx; xor %%ecx,%%ecx; xor %%esi,%%esi;"
                            "xor %%edi,%%edi; xor %%ebp,%%ebp; mov $0xf4,%%edx; out %%eax,%%dx" ::: "memory");"""
    report = checked(tmp_path, f"{START} {body} {PAGING} {leave}")
    assert sum(int(finding.message.split()[2]) for finding in report.findings) == 2 * 4096


def test_with_pae_cr3_holds_what_it_maps(tmp_path: Path) -> None:
    body = "for (int i = 0; i < 5; i++) alloc_frame();"
    body += "*(volatile word *)directory = 0x401001;" + at(0x400, 6, "0x402001")
    body += at(0x401, 0, "0x83") + at(0x401, 2, "0x200083")
    body += at(0x402, 0, "0x403003") + at(0x403, 14, "0x404001")
    pae = PAGING.replace("$0x10", "$0x20")
    report = checked(tmp_path, f"{START} {body} {pae}")
    assert [finding.block.address >> 12 for finding in report.findings if finding.block] == [0x405]
    held = [line for finding in report.reachable for line in finding.details]
    assert any(line.endswith("0x00404000: pointed to by the page table entry of 0xc0007000") for line in held)
