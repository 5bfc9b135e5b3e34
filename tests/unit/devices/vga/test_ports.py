"""Its registers are compared with QEMU in tests/oracle/test_port_devices.py; here is what depends on time."""

from __future__ import annotations

import pytest

from emulator.devices.device import FastPort
from emulator.devices.vga.ports import STATUS, VgaPorts
from tests.helpers.video_memory import FakeVideoMemory

FRAME_NS = 1_000_000_000 // 70
RETRACE_NS = FRAME_NS // 20


@pytest.mark.parametrize(
    ("now", "status", "until"),
    [
        (0, 0x00, FRAME_NS - RETRACE_NS),
        (FRAME_NS - RETRACE_NS - 1, 0x00, FRAME_NS - RETRACE_NS),
        (FRAME_NS - RETRACE_NS, 0x09, FRAME_NS),
        (FRAME_NS - 1, 0x09, FRAME_NS),
        (5 * FRAME_NS, 0x00, 6 * FRAME_NS - RETRACE_NS),
    ],
)
def test_the_beam_returns_70_times_a_second(now: int, status: int, until: int) -> None:
    vga = VgaPorts(lambda: now, FakeVideoMemory())
    assert vga.read_port(STATUS, 1) == status
    assert vga.fast_ports() == {STATUS: FastPort(constant=status, until_ns=until)}


def test_reading_the_status_makes_the_next_attribute_byte_an_index() -> None:
    vga = VgaPorts(lambda: 0, FakeVideoMemory())
    vga.write_port(0x3C0, 1, 0x05)
    assert vga.fast_ports() == {}
    vga.read_port(STATUS, 1)
    vga.write_port(0x3C0, 1, 0x07)
    assert vga.read_port(0x3C1, 1) == 0x07


def test_a_state_comes_back() -> None:
    vga = VgaPorts(lambda: 0, FakeVideoMemory())
    state = vga.save()
    vga.write_port(0x3C4, 2, 0x0F02)
    assert vga.read_port(0x3C5, 1) == 0x0F
    vga.restore(state)
    vga.write_port(0x3C4, 1, 0x02)
    assert vga.read_port(0x3C5, 1) == 0x03
    with pytest.raises(TypeError, match=r"^not a state of VgaPorts: 3$"):
        vga.restore(3)
