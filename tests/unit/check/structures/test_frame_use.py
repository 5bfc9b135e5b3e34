"""The bitmap of frames against the trace, and reserved frames that are handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.findings import Kind
from tests.helpers.checked import checked
from tests.unit.check.structures.test_corruption import go_to, put_stub

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine


def set_bits(machine: Machine, first: int, stop: int, *, used: bool) -> None:
    words = machine.memory.load_words(machine.address_of("memmap"), 5)
    for index in range(first - words[2], stop - words[2]):
        address = words[4] + index // 8
        byte = machine.memory.load_u8(address)
        bit = 1 << index % 8
        machine.memory.store_u8(address, byte | bit if used else byte & ~bit)


def messages(findings: list[Finding]) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("first", "stop", "used", "message"),
    [
        (0x200, 0x201, True, "frame 0x00200: in use in the bitmap, but nobody has it"),
        (0x200, 0x210, True, "frames 0x00200..0x0020f: in use in the bitmap, but nobody has them"),
        (0x100, 0x103, False, "frames 0x00100..0x00102: reserved, but free in the bitmap"),
    ],
)
def test_bits_that_are_wrong(first: int, stop: int, used: bool, message: str, tmp_path: Path) -> None:
    run = checked("demo", tmp_path, at_end=lambda machine: set_bits(machine, first, stop, used=used))
    assert messages(run.checks.at_end(run.trace)) == [(Kind.BITMAP, message)]


@pytest.mark.parametrize(
    ("field", "value"),
    [(8, 0x02020202), (12, 0xFFFFFFFF), (16, 0x02020202), (16, 0xFFFFFFF0)],
    ids=["start_frame", "max_frames", "bitmap outside", "bitmap at the end"],
)
def test_a_memmap_that_makes_no_sense_says_nothing_of_frames(field: int, value: int, tmp_path: Path) -> None:
    def spoil(machine: Machine) -> None:
        machine.memory.store_u32(machine.address_of("memmap") + field, value)

    run = checked("demo", tmp_path, at_end=spoil)
    assert run.checks.at_end(run.trace) == []
    assert [defect.location.object for defect in run.checks.audit()] == ["memmap"]


def test_a_live_frame_whose_bit_is_clear_has_a_story(tmp_path: Path) -> None:
    run = checked("bad_bitmap", tmp_path)
    (finding,) = run.checks.at_end(run.trace, run.rerun)
    assert finding.message == "frame 0x0011b: live, but free in the bitmap"
    assert finding.block is not None
    assert (finding.block.address, finding.block.size) == (0x11B000, 4096)
    assert finding.faulting_write is not None
    assert finding.faulting_write.backtrace[0].function == "clear_flag"
    assert finding.faulting_write.before & ~finding.faulting_write.after == 1 << (0x11B - 0x100) % 8


def test_a_reserved_frame_that_is_handed_out(tmp_path: Path) -> None:
    run = checked("bad_reserved", tmp_path)
    (handed_out,) = run.checks.at_end(run.trace, run.rerun)
    assert handed_out.kind is Kind.RESERVED
    assert handed_out.message.startswith("alloc_frame handed out frame 0x0011b, reserved by call #")
    assert handed_out.call_site is not None
    assert handed_out.call_site.backtrace[0].function == "kmain"
    assert handed_out.faulting_write is not None
    assert handed_out.faulting_write.backtrace[0].function == "clear_flag"


def test_a_frame_of_the_kernel_itself_that_is_handed_out(tmp_path: Path) -> None:
    done = boot("firmware:overflow")
    done.run()
    bitmap = done.memory.load_u32(done.address_of("memmap") + 16)

    def prepare(machine: Machine) -> None:
        code = b"\xc6\x05" + bitmap.to_bytes(4, "little") + b"\xfe"  # mov byte [bitmap], 0xfe
        code += go_to(b"\xe9", len(code), machine.address_of("alloc_frame"))
        put_stub(machine, code)

    run = checked("overflow", tmp_path, prepare=prepare)
    messages = [finding.message for finding in run.checks.at_end(run.trace, run.rerun)]
    assert messages == ["alloc_frame handed out frame 0x00100, reserved for the kernel's image"]


def test_many_mismatches_are_cut_short(tmp_path: Path) -> None:
    def every_other(machine: Machine) -> None:
        for frame in range(0x200, 0x300, 2):
            set_bits(machine, frame, frame + 1, used=True)

    run = checked("demo", tmp_path, at_end=every_other)
    found = run.checks.at_end(run.trace)
    line = "the first 16 of 128 like this are listed"
    assert [finding.details for finding in found] == [(line,), *[()] * 15]


def test_nothing_is_compared_while_the_lock_is_held(tmp_path: Path) -> None:
    def spoil(machine: Machine) -> None:
        set_bits(machine, 0x200, 0x201, used=True)
        machine.memory.store_u32(machine.address_of("memmap_lock"), 1)

    run = checked("demo", tmp_path, at_end=spoil)
    assert run.checks.at_end(run.trace) == []


@pytest.mark.parametrize("kernel", ["bad_bitmap_ok", "bad_reserved_ok"])
def test_the_twins_are_clean(kernel: str, tmp_path: Path) -> None:
    run = checked(kernel, tmp_path)
    assert run.checks.at_end(run.trace, run.rerun) == []
