"""What connects the I/O APIC with the local APIC of the CPU, and both with the CPU and the lines of the board.

Source: Intel SDM vol. 3A, 11.2 (system bus), 11.6.1 (interrupt command register: delivery modes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 16
"""Interrupt lines of the board. The next number is the line from the 8259 to the CPU, which is LINT0."""


class DeliveryMode:
    """How an interrupt reaches a CPU: numbers of the modes."""

    FIXED = 0
    LOWEST_PRIORITY = 1
    SMI = 2
    NMI = 4
    INIT = 5
    STARTUP = 6
    EXTINT = 7


class Message(NamedTuple):
    """An interrupt on its way to local APICs.

    Attributes:
        vector: 0 to 255.
        mode: One of `DeliveryMode`, or 3, which is reserved.
        is_level: It stays until its end is broadcast.
        destination: 0 to 255; an ID, 0xFF being everybody, or a set of logical ones.
        is_logical: Which of the two.
    """

    vector: int
    mode: int
    is_level: bool
    destination: int
    is_logical: bool


class Receiver(Protocol):
    """A local APIC, as others see it."""

    def receive(self, message: Message) -> None:
        """Take a message, if it is meant for this one."""

    def is_waiting(self) -> bool:
        """Tell whether the CPU is asked for an interrupt."""

    def passes_8259(self) -> bool:
        """Tell whether interrupts of the 8259 reach the CPU."""

    def takes_8259(self) -> bool:
        """Tell whether the 8259's line makes an interrupt of this APIC's own."""

    def pulse_lint0(self) -> None:
        """The 8259 raises its line."""

    def switch_off(self) -> None:
        """The CPU switches it off."""

    def acknowledge(self) -> int:
        """The CPU takes the interrupt: its vector."""


class Router(Protocol):
    """An I/O APIC, as others see it."""

    def open_lines(self) -> int:
        """Return the lines of the board that can get through, one bit each."""

    def pulse(self, line: int) -> None:
        """A device raises its line (0 to 15), and lets it go."""

    def end(self, vector: int) -> None:
        """An interrupt that stays until its end has ended."""


class ApicBus:
    """The connections. Where a board has no APIC, the 8259 is the CPU's only interrupt controller.

    Args:
        changed: Called when one of the first three answers below may have changed.
        nmi: Sends the CPU an NMI.

    Attributes:
        local: The local APIC, once the board has connected it.
        io: The I/O APIC.
    """

    def __init__(self, changed: Callable[[], None], nmi: Callable[[], None]) -> None:
        self.changed, self.nmi = changed, nmi
        self.local: Receiver | None = None
        self.io: Router | None = None

    def is_waiting(self) -> bool:
        """Tell whether the local APIC asks the CPU for an interrupt."""
        return self.local is not None and self.local.is_waiting()

    def passes_8259(self) -> bool:
        """Tell whether interrupts of the 8259 reach the CPU."""
        return self.local is None or self.local.passes_8259()

    def open_lines(self) -> int:
        """Return the lines that are to be told of, one bit each: of the board through the I/O APIC, and the 8259's."""
        if self.local is None:
            return 0
        lines = 0 if self.io is None else self.io.open_lines()
        return lines | self.local.takes_8259() << LINES

    def acknowledge(self) -> int:
        """The CPU takes the interrupt that the local APIC asks for: its vector."""
        assert self.local is not None  # noqa: S101 - else it does not ask
        return self.local.acknowledge()

    def pulse(self, line: int) -> None:
        """A device raises its line (0 to 15), or the 8259 its own, and lets it go."""
        if line == LINES and self.local is not None:
            self.local.pulse_lint0()
        elif self.io is not None:
            self.io.pulse(line)

    def switch_off(self) -> None:
        """The CPU switches the local APIC off."""
        if self.local is not None:
            self.local.switch_off()

    def send(self, message: Message) -> None:
        """Bring a message to the local APIC."""
        if self.local is not None:
            self.local.receive(message)

    def end(self, vector: int) -> None:
        """Broadcast the end of an interrupt that stays until then."""
        if self.io is not None:
            self.io.end(vector)
