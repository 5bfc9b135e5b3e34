from __future__ import annotations

import pytest

from emulator.devices.debug_console import DebugConsole
from emulator.devices.debug_exit import DebugExit, exit_code
from emulator.devices.device import FastPort


class TestDebugConsole:
    def test_writes_are_characters(self) -> None:
        sent = bytearray()
        console = DebugConsole(sent.extend)
        console.write_port(0xE9, 1, ord("k"))
        console.write_port(0xE9, 2, 0x2178)  # the second byte goes to port 0xEA, where nobody is
        assert sent == b"kx"

    def test_reads_show_that_it_is_there(self) -> None:
        console = DebugConsole(lambda _: None)
        assert console.read_port(0xE9, 1) == 0xE9
        assert console.read_port(0xE9, 2) == 0xFFE9

    def test_is_fast(self) -> None:
        console = DebugConsole(lambda _: None)
        assert console.fast_ports() == {0xE9: FastPort(sink=True, constant=0xE9)}
        assert console.ports == (0xE9,)
        console.restore(console.save())


class TestDebugExit:
    @pytest.mark.parametrize(
        ("value", "code"), [(0, 1), (1, 3), (0x10, 0x21), (0x7F, 0xFF), (0x80, 1), (0xFFFF_FFFF, 0xFF)]
    )
    def test_code_is_qemus(self, value: int, code: int) -> None:
        assert exit_code(value) == code

    @pytest.mark.parametrize("port", [0xF4, 0xF5, 0xF6, 0xF7])
    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_a_write_of_any_size_to_any_port_ends_the_run_once(self, port: int, size: int) -> None:
        ends: list[int] = []
        DebugExit(ends.append).write_port(port, size, 0x10)
        assert ends == [0x21]

    def test_reads_are_zero_and_fast(self) -> None:
        device = DebugExit(lambda _: None)
        assert device.read_port(0xF4, 4) == 0
        assert device.ports == (0xF4, 0xF5, 0xF6, 0xF7)
        assert device.fast_ports() == dict.fromkeys(device.ports, FastPort(constant=0))
        device.restore(device.save())
