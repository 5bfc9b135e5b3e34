"""The port that resets the PC, and the one where nothing happens."""

from __future__ import annotations

import pytest

from emulator.devices.post_port import PostPort
from emulator.devices.system_control import SystemControl


def test_system_control_resets_the_pc_when_bit_0_goes_up() -> None:
    resets: list[None] = []
    a20: list[bool] = []
    port = SystemControl(lambda: resets.append(None), a20.append)
    assert port.read_port(0x92, 1) == 0x02
    port.write_port(0x92, 1, 0x00)
    assert (port.read_port(0x92, 1), port.read_port(0x92, 2), resets) == (0x00, 0xFF00, [])
    port.write_port(0x92, 1, 0x03)
    assert (port.fast_ports()[0x92].constant, resets) == (0x03, [None])
    port.write_port(0x92, 1, 0x01)
    assert resets == [None]
    state = port.save()
    port.write_port(0x92, 1, 0x02)
    port.restore(state)
    assert port.read_port(0x92, 1) == 0x01
    assert a20 == [False, True, False, True]
    with pytest.raises(TypeError, match=r"^not a state of SystemControl: None$"):
        port.restore(None)


def test_nothing_happens_at_port_0x80() -> None:
    port = PostPort()
    port.write_port(0x80, 1, 0x42)
    assert (port.read_port(0x80, 1), port.read_port(0x80, 4)) == (0xFF, 0xFFFFFFFF)
    assert port.fast_ports()[0x80].constant == 0xFF
    port.restore(port.save())
