"""The frame buffer as memory of the machine; its registers and its planes are compared with QEMU in tests/oracle/test_devices.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from emulator.devices.board import Row
from emulator.devices.debug_exit import DebugExit
from emulator.machine.machine import Machine
from tests.helpers.guest import assemble, results_of

if TYPE_CHECKING:
    from emulator.devices.vga.ports import VgaPorts

MODE = """
        .macro  dispi index, value
        movw    $0x1ce, %dx
        movw    $\\index, %ax
        outw    %ax, %dx
        incw    %dx
        movw    $\\value, %ax
        outw    %ax, %dx
        .endm
"""
DRAW = """
        movl    0xfd000000, %eax
        put     eax
        movl    $0x11223344, 0xfd000000
        movl    $0x55667788, 0xfdfffffc
        movl    0xfd000000, %eax
        put     eax
        movl    0xfdfffffc, %eax
        put     eax
        exit    0
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_guest_finds_memory_there(mmu: str) -> None:
    machine = Machine(assemble(DRAW), mmu=mmu)  # type: ignore[arg-type]
    machine.run()
    assert results_of(machine, 3) == [0, 0x11223344, 0x55667788]
    assert machine.unanswered.lacks() == ()


def test_a_board_without_an_adapter_has_nothing_there() -> None:
    machine = Machine(assemble(DRAW), board=[Row(lambda wires: DebugExit(wires.end_run))])
    machine.run()
    assert results_of(machine, 3) == [0, 0, 0]
    assert [lack.address for lack in machine.unanswered.lacks()] == [0xFD000000, 0xFDFFFFFC]


def test_a_function_may_draw() -> None:
    machine = Machine(
        assemble("exit 0\n.globl draw\ndraw: movl $7, 0xfd000010\n movl 0xfd000010, %eax\n ret")
    )
    assert machine.call("draw") == 7


def test_snapshots_have_what_is_drawn() -> None:
    step = "movl {}, 0xfd000100\n movl {}, 0xfd400000\n hlt\n"
    machine = Machine(assemble(step.format("$1", "$2") + step.format("$3", "$4") + step.format("$5", "$6")))
    untouched = machine.snapshot()
    video = cast("VgaPorts", machine.device("VGA")).video
    seen = []

    def drawn() -> tuple[int, int]:
        first, second = (video.view()[at] for at in (0x100, 0x400000))
        return first, second

    machine.run()
    outer = machine.snapshot()
    machine.run()
    inner = machine.snapshot()
    machine.run()
    seen.append(drawn())
    inner.reset()
    seen.append(drawn())
    assert outer.page_written(0xFD000100)
    assert not outer.page_written(0xFD001000)
    inner.discard()
    seen.append(drawn())
    outer.reset()
    seen.append(drawn())
    untouched.reset()
    seen.append(drawn())
    assert seen == [(5, 6), (3, 4), (3, 4), (1, 2), (0, 0)]


WINDOW = """
        dispi   1, 640
        dispi   2, 480
        dispi   3, 8
        dispi   4, 0x41
        dispi   5, 2
        movl    $0xa1b2c3d4, 0xa0010
        hlt
        movl    0xfd020010, %eax
        put     eax
        dispi   4, 0
        movl    0xa0010, %eax
        put     eax
        exit    0
"""


def test_a_snapshot_has_what_lies_in_the_window() -> None:
    machine = Machine(assemble(MODE + WINDOW))
    machine.run()
    halted = machine.snapshot()
    ends = []
    for _ in range(2):
        machine.run()
        ends.append((results_of(machine, 2), machine.device("graphics").save()))
        halted.reset()
    assert ends[0] == ends[1]
    assert ends[0][0][0] == 0xA1B2C3D4
    assert ends[0][0][1] != 0xA1B2C3D4  # RAM again


def test_the_window_follows_paging() -> None:
    """Pages of the window are found at any linear address, and forgotten when the bank changes."""
    paging = """
        movl    $0x000a0003, table
        movl    $table + 3, directory + 4 * 0x300   # linear 0xc0000000
        movl    $0x00000083, directory
        paging  directory
        dispi   1, 640
        dispi   2, 480
        dispi   3, 8
        dispi   4, 0x41
        movl    $1, 0xc0000000
        dispi   5, 1
        movl    0xc0000000, %eax
        put     eax
        movl    $2, 0xc0000000
        dispi   5, 0
        movl    0xc0000000, %eax
        put     eax
        exit    0
        .section .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
        .text
"""
    machine = Machine(assemble(MODE + paging))
    machine.run()
    assert results_of(machine, 2) == [0, 1]


@pytest.mark.parametrize(
    "frame_buffers",
    [
        [(0x400000, 0x800000)],
        [(0xFD000800, 0xFE000800)],
        [(0xFC000000, 0xFD000000), (0xFD000000, 0xFE000000)],
    ],
)
def test_a_board_has_one_frame_buffer_outside_of_ram_on_pages(frame_buffers: list[tuple[int, int]]) -> None:
    rows = [
        Row(lambda wires: DebugExit(wires.end_run), ports=(), frame_buffer=each) for each in frame_buffers
    ]
    with pytest.raises(
        ValueError,
        match=rf"^the frame buffer 0x{frame_buffers[0][0]:08x}-0x{frame_buffers[0][1]:08x} lies in RAM, not on page"
        " boundaries below 4 GiB, or is one of several$",
    ):
        Machine(assemble("hlt"), board=rows)
