"""Who broke the heap: the instruction, its line, the block it meant."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.blame import Seen, blame
from emulator.check.findings import Kind
from emulator.check.rerun import Rerun
from emulator.loader.known_profiles import matching_profile
from kernel_model.defect import Defect
from tests.helpers.checked import checked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.machine.machine import Machine
    from emulator.trace.events import Frame


def lines(stack: Sequence[Frame]) -> list[str]:
    return [f"{frame.function} {PurePosixPath(frame.file).name}:{frame.line}" for frame in stack]


@pytest.mark.parametrize("every", [0, 1, 7])
def test_an_overflow_is_found_where_it_happens(every: int, tmp_path: Path) -> None:
    finding = checked("overflow", tmp_path, every=every).blamed()
    assert (finding.kind, finding.area) == (Kind.CORRUPTION, "heap")
    assert finding.message == "heap metadata corrupted: header at 0x0010b020: size 0x41414141"
    assert finding.details == ("0x0010b020 size = 0x41414141: not a multiple of 8",)
    culprit = finding.culprit
    assert culprit is not None
    assert lines(culprit.stack)[:2] == ["memset string.c:22", "kmain overflow.c:28"]
    assert (culprit.text, culprit.address) == ("rep stosd dword ptr es:[edi], eax", 0x10B020)
    assert (culprit.before, culprit.after, culprit.stack[0].address) == (40, 0x41414141, culprit.eip)
    assert finding.place is not None
    assert (finding.place.function, finding.place.event) == ("kmalloc", culprit.event)
    assert finding.block is not None
    assert (finding.block.address, finding.block.size, finding.block.freed) == (0x10B008, 24, None)
    assert finding.picture[2] == ">0x0010b020: 41 41 41 41 41 41 41 41 00 00 00 00 00 00 00 00"


def test_a_use_after_free_is_found_where_it_happens(tmp_path: Path) -> None:
    finding = checked("use_after_free", tmp_path).blamed()
    assert finding.message == "heap metadata corrupted: header at 0x0010b048: next 0x206f6f74"
    assert finding.culprit is not None
    assert lines(finding.culprit.stack)[:2] == ["memcpy string.c:33", "kmain use_after_free.c:29"]
    assert finding.block is not None
    assert (finding.block.address, finding.block.freed is None) == (0x10B050, False)


def test_without_a_trace_there_is_no_place(tmp_path: Path) -> None:
    run = checked("overflow", tmp_path)
    seen = Seen(0, run.trace.event_count, run.checks.look())
    finding = blame(run.rerun, seen, None)
    assert (finding.place, finding.block) == (None, None)
    assert finding.culprit is not None


def test_what_does_not_break_again_is_told_without_culprit(tmp_path: Path) -> None:
    run = checked("leak", tmp_path)
    defects = [Defect(0x10B000, "size", 5, "not a multiple of 8")] * 7
    finding = blame(run.rerun, Seen(0, 20, defects), run.trace)
    assert finding.message == "heap metadata corrupted: header at 0x0010b000: size 0x00000005"
    assert finding.culprit is None
    assert finding.place is not None
    assert finding.place.event == 20
    assert finding.details[-2:] == (
        "and 2 more broken rules",
        "it did not break when the kernel was run once more",
    )


def test_a_kernel_of_which_nothing_is_known_cannot_be_blamed() -> None:
    machine = boot("firmware:btron_demo")
    rerun = Rerun(lambda: boot("firmware:demo"), matching_profile(machine.image))
    with pytest.raises(ValueError, match=r"demo\.elf: no structures are known$"):
        blame(rerun, Seen(0, 1, [Defect(0, "size", 5, "")]), None)


def test_a_late_write_names_the_line_of_the_late_writer(tmp_path: Path) -> None:
    run = checked("bad_late_write", tmp_path)
    finding = run.blamed()
    assert finding.culprit is not None
    assert lines(finding.culprit.stack)[0] == "tick bad_late_write.c:24"
    assert finding.culprit.text == "inc dword ptr [eax]"


STUB = 0x8000
USED = 0x10B004
"""Of the first block."""


def put_stub(machine: Machine, code: bytes) -> None:
    """Let kmain call other code instead of memset."""
    kmain, memset = machine.image.symbol("kmain"), machine.address_of("memset")
    assert kmain is not None
    body = machine.memory.read(kmain.address, kmain.size)
    (place,) = (
        kmain.address + offset
        for offset in range(len(body) - 4)
        if body[offset] == 0xE8
        and int.from_bytes(body[offset + 1 : offset + 5], "little", signed=True)
        == memset - (kmain.address + offset + 5)
    )
    machine.memory.write(place + 1, (STUB - place - 5).to_bytes(4, "little", signed=True))
    machine.memory.write(STUB, code)


def test_a_broken_rule_about_an_unchanged_word_blames_what_was_changed(tmp_path: Path) -> None:
    code = (
        bytes.fromhex("8325") + USED.to_bytes(4, "little") + bytes.fromhex("00c3")
    )  # and dword [USED], 0; ret
    finding = checked("overflow", tmp_path, prepare=lambda machine: put_stub(machine, code)).blamed()
    assert finding.message.startswith("heap metadata corrupted: heap_free_list 0x")
    assert finding.culprit is not None
    culprit = finding.culprit
    assert (culprit.eip, culprit.address, culprit.before, culprit.after) == (STUB, USED, 1, 0)
    assert finding.details[-1] == "what was changed is heap block 0x0010b000 .used"
    assert finding.block is not None
    assert finding.block.address == 0x10B008


def test_of_several_writes_the_first_that_changed_the_word_is_blamed(tmp_path: Path) -> None:
    size = (0x10B020).to_bytes(4, "little")
    write = bytes.fromhex("c705") + size  # mov dword [size], ...
    code = b"".join(write + value.to_bytes(4, "little") for value in (40, 5, 6)) + b"\xc3"
    finding = checked("overflow", tmp_path, prepare=lambda machine: put_stub(machine, code)).blamed()
    assert finding.culprit is not None
    assert finding.culprit.eip == STUB + 10
    assert (finding.culprit.before, finding.culprit.after) == (40, 6)
