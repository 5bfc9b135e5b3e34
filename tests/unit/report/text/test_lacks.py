"""What kmemu does not have, as lines."""

from __future__ import annotations

from emulator.machine.unanswered import Lack
from emulator.report.text.lacks import lack_lines, lacks_line


def port(number: int, reads: int = 1, writes: int = 0) -> Lack:
    return Lack(number, None, reads, writes, 0x100000, "probe+0x4")


def test_a_port_has_its_device_and_how_often_it_was_accessed() -> None:
    assert list(lack_lines([port(0x64, 2_500_000), port(0x1234, 0, 1), port(0x3F0, 1, 2)])) == [
        "kmemu does not have port 0x64 (keyboard controller): read 2,500,000 times, first at probe+0x4",
        "kmemu does not have port 0x1234: written 1 time, first at probe+0x4",
        "kmemu does not have port 0x3f0 (floppy disk): read 1 time and written 2 times, first at probe+0x4",
    ]


def test_neighbouring_ports_are_one_line_in_the_order_of_the_first_access() -> None:
    assert list(lack_lines([port(0x1F7, 3), port(0x80), port(0x1F6, 0, 1), port(0x1F5)])) == [
        "kmemu does not have ports 0x1f5-0x1f7 (first IDE channel): read 4 times and written 1 time, first at probe+0x4",
        "kmemu does not have port 0x80 (diagnostics): read 1 time, first at probe+0x4",
    ]


def test_memory_near_the_end_of_ram_hints_at_more_of_it() -> None:
    assert list(
        lack_lines(
            [
                Lack(None, 0x500000, 1, 1, 0x100000, "sizing+0x1", ram_end=0x500000),
                Lack(None, 0xFEC00010, 2, 0, 0x100000, "smp+0x1"),
                Lack(None, None, 1000, 0, 0x100000, "wild+0x1"),
            ]
        )
    ) == [
        (
            "kmemu does not have memory at 0x00500000: read 1 time and written 1 time, first at sizing+0x1; "
            "RAM ends at 0x00500000, see --ram"
        ),
        "kmemu does not have memory at 0xfec00010 (I/O APIC): read 2 times, first at smp+0x1",
        "kmemu does not have memory in other pages: read 1,000 times, first at wild+0x1",
    ]


def test_of_many_the_most_accessed_are_shown() -> None:
    lines = list(lack_lines([port(0x1000 + 16 * number, number) for number in range(1, 21)]))
    assert len(lines) == 9
    assert lines[0] == "kmemu does not have port 0x10d0: read 13 times, first at probe+0x4"
    assert lines[-1] == "kmemu does not have 12 more of what was accessed less often"


def test_one_line_names_what_was_accessed_most() -> None:
    most = "does not have port 0x278 (LPT2): read 3 times, first at probe+0x4"
    assert lacks_line([port(0x278, 3)]) == most
    assert lacks_line([port(0x64), port(0x278, 3)]) == f"{most}; nor 1 more of what was accessed less often"


def test_an_instruction_is_always_shown() -> None:
    instruction = Lack(None, None, 0, 0, 0x100010, "checksum+0x10", instruction="SSE4.2: crc32")
    lines = list(lack_lines([*(port(0x1000 + 16 * number, 5) for number in range(20)), instruction]))
    assert len(lines) == 9
    assert lines[7] == "kmemu does not have SSE4.2: crc32, executed at checksum+0x10"
