from __future__ import annotations

import pytest

from emulator.devices.device import FastPort
from emulator.devices.uart import COM1, Uart

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(COM1, COM1 + 8)
FCR = IIR
PLAIN = {DATA: FastPort(sink=True), LSR: FastPort(constant=0x60)}


class Port:
    """A UART and what it has sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.uart = Uart(self._receive)

    def _receive(self, data: bytes) -> None:
        self.sent += data

    def out(self, port: int, value: int) -> None:
        self.uart.write_port(port, 1, value)

    def read(self, port: int) -> int:
        return self.uart.read_port(port, 1)


@pytest.fixture
def port() -> Port:
    return Port()


def test_sends(port: Port) -> None:
    for byte in b"hello\n":
        assert port.read(LSR) == 0x60
        port.out(DATA, byte)
    assert port.sent == b"hello\n"


def test_receives_what_is_fed(port: Port) -> None:
    assert port.read(DATA) == 0
    port.uart.feed(b"ab")
    assert port.read(LSR) == 0x61
    assert port.read(DATA) == ord("a")
    port.uart.feed(b"c")
    assert [port.read(DATA), port.read(DATA), port.read(LSR), port.read(DATA)] == [
        ord("b"),
        ord("c"),
        0x60,
        0,
    ]


def test_divisor_hides_data_and_ier(port: Port) -> None:
    port.out(IER, 0x0F)
    port.out(LCR, 0x83)
    port.out(DATA, 0x01)
    port.out(IER, 0x02)
    assert (port.read(DATA), port.read(IER)) == (0x01, 0x02)
    port.out(LCR, 0x03)
    assert (port.read(LCR), port.read(IER), port.sent) == (0x03, 0x0F, b"")


@pytest.mark.parametrize(
    ("register", "value", "kept"), [(IER, 0xFF, 0x0F), (MCR, 0xFF, 0x1F), (SCR, 0xA5, 0xA5)]
)
def test_registers_keep_their_bits(port: Port, register: int, value: int, kept: int) -> None:
    port.out(register, value)
    assert port.read(register) == kept


def test_status_registers_are_read_only(port: Port) -> None:
    port.out(LSR, 0)
    port.out(MSR, 0)
    assert (port.read(LSR), port.read(MSR)) == (0x60, 0xB0)


def test_self_test_in_loopback_mode(port: Port) -> None:
    """The sequence of OSDev's "Serial Ports"."""
    for register, value in [
        (IER, 0),
        (LCR, 0x80),
        (DATA, 3),
        (IER, 0),
        (LCR, 3),
        (FCR, 0xC7),
        (MCR, 0x0B),
        (MCR, 0x1E),
    ]:
        port.out(register, value)
    port.out(DATA, 0xAE)
    assert (port.read(LSR), port.read(DATA), port.read(LSR)) == (0x61, 0xAE, 0x60)
    port.out(MCR, 0x0F)
    port.out(DATA, ord("x"))
    assert port.sent == b"x"


def test_loopback_connects_the_modem_lines(port: Port) -> None:
    states = []
    for lines in range(16):
        port.out(MCR, 0x10 | lines)
        states.append(port.read(MSR))
    assert [states[1], states[2], states[4], states[8], states[15]] == [0x20, 0x10, 0x40, 0x80, 0xF0]


def test_loopback_disconnects_the_line(port: Port) -> None:
    port.uart.feed(b"z")
    port.out(MCR, 0x10)
    assert (port.read(LSR), port.read(DATA)) == (0x60, 0)
    port.out(MCR, 0x00)
    assert (port.read(LSR), port.read(DATA)) == (0x61, ord("z"))


@pytest.mark.parametrize(("fcr", "room"), [(0x00, 1), (0x01, 16)])
def test_loopback_buffer_is_no_larger_than_the_hardware(port: Port, fcr: int, room: int) -> None:
    port.out(FCR, fcr)
    port.out(MCR, 0x10)
    for byte in range(1, 101):
        port.out(DATA, byte)
    assert [port.read(DATA) for _ in range(room + 1)] == [*range(1, room + 1), 0]


def test_clearing_the_buffer_keeps_what_is_on_the_line(port: Port) -> None:
    port.uart.feed(b"z")
    port.out(MCR, 0x10)
    port.out(DATA, 1)
    port.out(FCR, 0x07)
    assert port.read(LSR) == 0x60
    port.out(MCR, 0)
    assert port.read(DATA) == ord("z")


class TestInterruptIdentification:
    def test_none(self, port: Port) -> None:
        assert port.read(IIR) == 0x01
        port.out(FCR, 0x01)
        assert port.read(IIR) == 0xC1

    def test_transmitter_empty_is_reported_once(self, port: Port) -> None:
        port.out(IER, 0x02)
        assert [port.read(IIR), port.read(IIR)] == [0x02, 0x01]
        port.out(DATA, 0)
        assert [port.read(IIR), port.read(IIR)] == [0x02, 0x01]

    def test_received_comes_first_and_stays(self, port: Port) -> None:
        port.out(IER, 0x03)
        port.uart.feed(b"a")
        assert [port.read(IIR), port.read(IIR)] == [0x04, 0x04]
        port.read(DATA)
        assert port.read(IIR) == 0x02


class TestFastPorts:
    def test_plain(self, port: Port) -> None:
        assert port.uart.fast_ports() == PLAIN

    @pytest.mark.parametrize(
        ("register", "value", "fast"),
        [
            (LCR, 0x83, {LSR: PLAIN[LSR]}),  # the divisor is accessed through the data port
            (MCR, 0x10, {}),  # loopback
            (IER, 0x02, {LSR: PLAIN[LSR]}),  # sending raises an interrupt reason
            (IER, 0x01, PLAIN),
        ],
    )
    def test_change_and_come_back(
        self, port: Port, register: int, value: int, fast: dict[int, FastPort]
    ) -> None:
        port.out(register, value)
        assert port.uart.fast_ports() == fast
        port.out(register, 0)
        assert port.uart.fast_ports() == PLAIN

    def test_status_is_asked_for_while_input_waits(self, port: Port) -> None:
        port.uart.feed(b"a")
        assert port.uart.fast_ports() == {DATA: PLAIN[DATA]}
        port.read(DATA)
        assert port.uart.fast_ports() == PLAIN


class TestState:
    def test_comes_back_any_number_of_times(self, port: Port) -> None:
        port.uart.feed(b"abc")
        port.read(DATA)
        port.out(SCR, 7)
        state = port.uart.save()
        for _ in range(2):
            assert [port.read(DATA), port.read(DATA), port.read(SCR)] == [ord("b"), ord("c"), 7]
            port.out(MCR, 0x10)
            port.out(SCR, 9)
            port.uart.restore(state)

    def test_refuses_another_devices(self, port: Port) -> None:
        with pytest.raises(TypeError, match=r"^not a state of Uart: 'x'$"):
            port.uart.restore("x")


def test_wide_accesses_go_to_consecutive_ports(port: Port) -> None:
    port.uart.write_port(SCR, 2, 0x1234)
    assert port.uart.read_port(SCR, 2) == 0xFF34
    assert port.uart.read_port(LSR, 4) == 0xFF34_B060


def test_another_base() -> None:
    uart = Uart(lambda _: None, base=0x2F8)
    assert uart.ports == tuple(range(0x2F8, 0x300))
    assert set(uart.fast_ports()) == {0x2F8, 0x2FD}
