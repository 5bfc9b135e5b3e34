"""Every device has the shape that the machine expects; mypy checks the assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices.debug_console import DebugConsole
from emulator.devices.debug_exit import DebugExit
from emulator.devices.uart import Uart
from emulator.devices.vga.text import VgaText
from tests.helpers.wires import wires

if TYPE_CHECKING:
    from emulator.devices.device import Device


def test_fast_ports_are_ports_of_the_device() -> None:
    devices: list[Device] = [
        Uart(wires()),
        DebugConsole(lambda _: None),
        DebugExit(lambda _: None),
        VgaText(),
    ]
    for device in devices:
        assert set(device.fast_ports()) <= set(device.ports)
        for port, fast in device.fast_ports().items():
            if fast.constant is not None:
                assert device.read_port(port, 1) == fast.constant
