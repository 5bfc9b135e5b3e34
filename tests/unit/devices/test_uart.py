from __future__ import annotations

import pytest

from emulator.devices.device import FastPort
from emulator.devices.uart import COM1, Uart
from tests.helpers.wires import wires

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(COM1, COM1 + 8)
FCR = IIR
SETTLE_NS, BYTE_NS = 10_000_000, 86_806
PLAIN = {DATA: FastPort(sink=True), LSR: FastPort(constant=0x60)}


class Port:
    """A UART and what it has sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.now = 0
        self.interrupts = 0
        self.uart = Uart(
            wires(send=self._receive, now_ns=lambda: self.now, interrupt=self._interrupt),
        )

    def _receive(self, data: bytes) -> None:
        self.sent += data

    def _interrupt(self) -> None:
        self.interrupts += 1

    def listen(self) -> None:
        """Ask for the line status, and wait until a first byte has come."""
        self.read(LSR)
        self.wait(SETTLE_NS)

    def wait(self, nanoseconds: int) -> None:
        end = self.now + nanoseconds
        while (due := self.uart.next_tick_ns()) is not None and due <= end:
            self.now = due
            assert self.uart.take_ticks(due) == 0
        self.now = end

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
    assert port.read(LSR) == 0x60
    port.wait(SETTLE_NS - 1)
    assert port.read(LSR) == 0x60
    port.wait(1)
    assert port.read(LSR) == 0x61
    assert [port.read(DATA), port.read(LSR)] == [ord("a"), 0x60]
    port.uart.feed(b"c")
    port.wait(BYTE_NS)
    assert port.read(DATA) == ord("b")
    port.wait(BYTE_NS)
    assert [port.read(DATA), port.read(LSR), port.read(DATA)] == [ord("c"), 0x60, ord("c")]


def test_input_waits_for_a_guest_that_sets_up_its_port(port: Port) -> None:
    port.uart.feed(b"a")
    port.wait(1000 * SETTLE_NS)
    port.out(IER, 0x01)
    assert [port.read(LSR), port.read(DATA)] == [0x60, 0]
    port.wait(SETTLE_NS // 2)
    port.out(FCR, 0x07)
    port.wait(SETTLE_NS - 1)
    assert port.interrupts == 0
    port.wait(1)
    assert (port.interrupts, port.read(IIR)) == (1, 0xC4)


def test_each_byte_raises_the_line(port: Port) -> None:
    port.uart.feed(b"abc")
    port.out(IER, 0x01)
    for number, byte in enumerate(b"abc", 1):
        port.wait(SETTLE_NS)
        assert (port.interrupts, port.read(DATA)) == (number, byte)


def test_a_buffer_asks_at_its_trigger_or_when_bytes_have_waited(port: Port) -> None:
    port.uart.feed(b"abcdef")
    port.out(FCR, 0x41)
    port.out(IER, 0x01)
    port.wait(SETTLE_NS + 2 * BYTE_NS)
    assert (port.interrupts, port.read(IIR)) == (0, 0xC1)
    port.wait(BYTE_NS)
    assert (port.interrupts, port.read(IIR)) == (1, 0xC4)
    for _ in range(4):
        port.read(DATA)
    assert port.read(IIR) == 0xC1
    port.wait(7 * BYTE_NS)
    assert (port.interrupts, port.read(IIR)) == (2, 0xCC)
    assert bytes([port.read(DATA), port.read(DATA)]) == b"ef"
    assert port.read(IIR) == 0xC1


def test_a_full_buffer_holds_up_the_line(port: Port) -> None:
    port.uart.feed(bytes(range(40)))
    port.out(FCR, 0x01)
    port.listen()
    port.wait(100 * BYTE_NS)
    assert bytes(port.read(DATA) for _ in range(16)) == bytes(range(16))
    port.wait(100 * BYTE_NS)
    assert bytes(port.read(DATA) for _ in range(16)) == bytes(range(16, 32))


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
    port.listen()
    assert (port.read(LSR), port.read(DATA)) == (0x60, 0)
    port.out(MCR, 0x00)
    port.wait(SETTLE_NS)
    assert (port.read(LSR), port.read(DATA)) == (0x61, ord("z"))


@pytest.mark.parametrize(("fcr", "room"), [(0x00, 1), (0x01, 16)])
def test_loopback_buffer_is_no_larger_than_the_hardware(port: Port, fcr: int, room: int) -> None:
    port.out(FCR, fcr)
    port.out(MCR, 0x10)
    for byte in range(1, 101):
        port.out(DATA, byte)
    assert [port.read(DATA) for _ in range(room)] == [*range(1, room + 1)]
    assert port.read(LSR) == 0x60


def test_clearing_the_buffer_keeps_what_is_on_the_line(port: Port) -> None:
    port.uart.feed(b"zy")
    port.listen()
    port.out(FCR, 0x07)
    assert port.read(LSR) == 0x60
    port.out(MCR, 0x10)
    port.out(DATA, 1)
    port.out(FCR, 0x07)
    assert port.read(LSR) == 0x60
    port.out(MCR, 0)
    port.wait(SETTLE_NS)
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
        port.wait(SETTLE_NS)
        assert [port.read(IIR), port.read(IIR)] == [0x04, 0x04]
        port.read(DATA)
        assert port.read(IIR) == 0x02


class TestFastPorts:
    def test_plain(self, port: Port) -> None:
        assert port.uart.fast_ports() == {DATA: PLAIN[DATA]}
        port.read(LSR)
        assert port.uart.fast_ports() == PLAIN

    @pytest.mark.parametrize(
        ("register", "value", "fast"),
        [
            (LCR, 0x83, {LSR: PLAIN[LSR]}),  # the divisor is accessed through the data port
            (MCR, 0x10, {LSR: PLAIN[LSR]}),  # loopback
            (IER, 0x02, {LSR: PLAIN[LSR]}),  # sending raises an interrupt reason
            (IER, 0x01, PLAIN),
        ],
    )
    def test_change_and_come_back(
        self, port: Port, register: int, value: int, fast: dict[int, FastPort]
    ) -> None:
        port.read(LSR)
        port.out(register, value)
        assert port.uart.fast_ports() == fast
        port.out(register, 0)
        assert port.uart.fast_ports() == PLAIN

    def test_status_is_fast_until_a_byte_comes(self, port: Port) -> None:
        port.uart.feed(b"a")
        assert LSR not in port.uart.fast_ports()
        port.read(LSR)
        assert port.uart.fast_ports()[LSR] == FastPort(constant=0x60, until_ns=SETTLE_NS)
        port.wait(SETTLE_NS)
        assert port.uart.fast_ports()[LSR] == FastPort(constant=0x61)
        port.read(DATA)
        assert port.uart.fast_ports() == PLAIN


class TestState:
    def test_comes_back_any_number_of_times(self, port: Port) -> None:
        port.uart.feed(b"abc")
        port.listen()
        port.read(DATA)
        port.out(SCR, 7)
        state, now = port.uart.save(), port.now
        for _ in range(2):
            port.now = now
            port.wait(BYTE_NS)
            assert [port.read(DATA), port.read(SCR), port.read(LSR)] == [ord("b"), 7, 0x60]
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
    uart = Uart(wires(), base=0x2F8)
    assert uart.ports == tuple(range(0x2F8, 0x300))
    assert uart.read_port(0x2FD, 1) == 0x60
    assert set(uart.fast_ports()) == {0x2F8, 0x2FD}
