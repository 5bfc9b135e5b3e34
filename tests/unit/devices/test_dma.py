"""The DMA controllers, as far as tests/oracle does not see them."""

from __future__ import annotations

import pytest

from emulator.devices.dma import DmaControllers

CLEAR_FLIP_FLOP, MASKS_READ = 12, 9


def test_a_snapshot_keeps_registers_and_the_flip_flop() -> None:
    device = DmaControllers()
    for port, value in ((0, 0x34), (0, 0x12), (0x81, 0x56), (0xC0, 0x78)):
        device.write_port(port, 1, value)
    state = device.save()
    for port, value in ((0, 1), (0, 2), (0x81, 3), (0xDA, 0), (14, 0)):
        device.write_port(port, 1, value)
    device.restore(state)
    assert [device.read_port(port, 1) for port in (0, 0, 0x81, MASKS_READ, 0xD2)] == [
        0x34,
        0x12,
        0x56,
        0xFF,
        0xFE,
    ]
    device.write_port(0xC0, 1, 0x9A)  # the high byte comes next
    assert device.read_port(0xC0, 2) == 0x9A78
    with pytest.raises(TypeError, match=r"^not a state of DmaControllers: 7$"):
        device.restore(7)


def test_ports_between_page_registers_are_nobodys() -> None:
    device = DmaControllers()
    device.write_port(0x83, 2, 0x1122)
    assert (device.read_port(0x83, 2), device.read_port(0x82, 4)) == (0xFF22, 0xFFFF2200)
    assert device.fast_ports() == {}
