"""The port that resets the PC, and those where nothing happens."""

from __future__ import annotations

import pytest

from emulator.devices.silent_ports import SilentPorts
from emulator.devices.system_control import SystemControl


def test_system_control_resets_the_pc_when_bit_0_goes_up() -> None:
    ended: list[int] = []
    port = SystemControl(ended.append)
    assert port.read_port(0x92, 1) == 0x02
    port.write_port(0x92, 1, 0x00)
    assert (port.read_port(0x92, 1), port.read_port(0x92, 2), ended) == (0x00, 0xFF00, [])
    port.write_port(0x92, 1, 0x03)
    assert (port.fast_ports()[0x92].constant, ended) == (0x03, [0])
    port.write_port(0x92, 1, 0x01)
    assert ended == [0]
    state = port.save()
    port.write_port(0x92, 1, 0x02)
    port.restore(state)
    assert port.read_port(0x92, 1) == 0x01
    with pytest.raises(TypeError, match=r"^not a state of SystemControl: None$"):
        port.restore(None)


def test_disk_controllers_without_drives_read_0() -> None:
    ports = SilentPorts()
    assert [ports.read_port(port, 1) for port in (0x1F7, 0x177, 0x3F6, 0x376)] == [0] * 4
    assert ports.read_port(0x1F0, 2) == 0
    assert ports.read_port(0x80, 1) == 0xFF
    assert {fast.constant for fast in ports.fast_ports().values()} == {0, 0xFF}
