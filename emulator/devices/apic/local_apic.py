"""The local APIC of the only CPU, as QEMU has it and a BIOS leaves it: priorities, interrupts to itself, a timer of 1 GHz.

Messages to other CPUs reach nobody, as there are none. Vectors wait in `requests` (IRR) until the CPU takes them, and are in
service (ISR) until their end. Sets of vectors are numbers of 256 bits here: the most urgent vector is the highest bit.

LINT0 passes the 8259's interrupts as ExtINT, or makes an NMI of them, or one of its own vector, which follows the 8259's in QEMU. Nothing is at LINT1. An INIT resets the
PC, as the CPU starts in its BIOS then; an SMI has no effect, as the BIOS's handler leaves none.

Source: Intel SDM vol. 3A, chapter 11 (11.4 registers, 11.5.4 timer, 11.6 commands, 11.8 priorities); QEMU 7.2 where that differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.devices.apic.bus import DeliveryMode, Message
from emulator.devices.apic.local_apic_timer import MASKED, LocalApicTimer
from emulator.devices.device import WithoutPorts
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.apic.bus import ApicBus


class Register:
    """Offsets of registers in memory. No enumeration: that takes a millisecond of each start."""

    ID = 0x20
    VERSION = 0x30
    TASK_PRIORITY = 0x80
    ARBITRATION_PRIORITY = 0x90
    PRIORITY = 0xA0
    END = 0xB0
    LOGICAL_ID = 0xD0
    FORMAT = 0xE0
    SPURIOUS = 0xF0
    IN_SERVICE = 0x100  # 8 registers, as TRIGGER and REQUESTS
    TRIGGER = 0x180
    REQUESTS = 0x200
    ERRORS = 0x280
    COMMAND = 0x300
    COMMAND_HIGH = 0x310
    TIMER = 0x320
    THERMAL = 0x330  # the first of 5 local vectors besides the timer's
    LINT0 = 0x350
    LINT1 = 0x360
    INITIAL_COUNT = 0x380
    CURRENT_COUNT = 0x390
    DIVIDE = 0x3E0


_VERSION = 0x00050014
_BYTE = 0xFF
_STEP, _SET_SIZE = 0x10, 0x80  # from one register or set of vectors to the next
_LVT_END = 0x380
_REGISTERS = frozenset(offset for name, offset in vars(Register).items() if name.isupper()) - {
    Register.IN_SERVICE,
    Register.TRIGGER,
    Register.REQUESTS,
}
_ENABLED = 1 << 8  # of SPURIOUS
_LEVEL, _ASSERT = 1 << 15, 1 << 14
_LOGICAL = 1 << 11
_ILLEGAL_REGISTER = 1 << 7
_FLAT, _CLUSTER = 0xF, 0x0
_EVERYBODY = 0xFF
_TO_SELF, _TO_ALL = 1, 2

# As a BIOS leaves them: on, the 8259 at LINT0, and what it sent to other CPUs.
_BIOS_SPURIOUS, _BIOS_COMMAND = _ENABLED | _BYTE, 0x000C4610
_BIOS_LVT = (
    MASKED,
    MASKED,
    _LEVEL | DeliveryMode.EXTINT << 8,
    _LEVEL | DeliveryMode.NMI << 8,
    MASKED,
)  # without the timer's


class LocalApic(WithoutPorts):
    """The local APIC.

    Args:
        bus: Is connected with it.
        now_ns: Returns the virtual time.
        moved: Called when the timer's next tick may have moved.
        reset: Resets the PC.
    """

    _KEPT = (
        *("_id", "_task_priority", "_logical_id", "_format", "_spurious", "_errors"),
        *("_command", "_command_high", "_lvt", "_in_service", "_trigger", "_requests"),
    )

    def __init__(
        self,
        bus: ApicBus,
        now_ns: Callable[[], int],
        moved: Callable[[], None],
        reset: Callable[[], None],
    ) -> None:
        self._bus, self._moved, self._reset = bus, moved, reset
        self._id = self._task_priority = self._logical_id = self._errors = self._command_high = 0
        self._format = _FLAT
        self._spurious, self._command = _BIOS_SPURIOUS, _BIOS_COMMAND
        self._lvt: tuple[int, ...] = _BIOS_LVT
        self._in_service = self._trigger = self._requests = 0
        self._timer = LocalApicTimer(now_ns)
        self._fast = {Register.ID: 0}
        self._readers = self._readable()
        bus.local = self

    # -- what the CPU is asked for -------------------------------------------------------------------

    def priority(self) -> int:
        """Return the processor priority (PPR), 0 to 255: vectors of its class and below it wait."""
        served = max(self._in_service.bit_length() - 1, 0)
        return self._task_priority if self._task_priority >> 4 >= served >> 4 else served & 0xF0

    def is_waiting(self) -> bool:
        """Tell whether the CPU is asked for an interrupt."""
        if not self._spurious & _ENABLED or self._requests <= 1:  # vector 0 is none
            return False
        priority = self.priority()
        return not priority or (self._requests.bit_length() - 1) >> 4 > priority >> 4

    def passes_8259(self) -> bool:
        """Tell whether interrupts of the 8259 reach the CPU: whatever the priorities, and whether this APIC is on."""
        return not self._lint0 & MASKED and _mode(self._lint0) in (DeliveryMode.EXTINT, DeliveryMode.FIXED)

    def takes_8259(self) -> bool:
        """Tell whether the 8259's line makes an interrupt of this APIC's own."""
        return not self._lint0 & MASKED and _mode(self._lint0) in (DeliveryMode.FIXED, DeliveryMode.NMI)

    @property
    def _lint0(self) -> int:
        return self._lvt[(Register.LINT0 - Register.THERMAL) // _STEP]

    def pulse_lint0(self) -> None:
        """The 8259 raises its line."""
        self._take_local(self._lint0)

    def _take_local(self, entry: int) -> None:
        """Take an interrupt of a local vector that is not masked."""
        if _mode(entry) == DeliveryMode.NMI:
            self._bus.nmi()
        elif _mode(entry) == DeliveryMode.FIXED:
            self._request(entry & _BYTE, is_level=bool(entry & _LEVEL))

    def switch_off(self) -> None:
        """The CPU switches it off, in the register that has its base."""
        self._spurious &= ~_ENABLED
        self._bus.changed()

    def acknowledge(self) -> int:
        """The CPU takes the most urgent interrupt: its vector. If none is left, it is the spurious one."""
        if not self.is_waiting():
            return self._spurious & _BYTE
        vector = self._requests.bit_length() - 1
        self._requests ^= 1 << vector
        self._in_service |= 1 << vector
        self._bus.changed()
        if vector == self._timer.entry & _BYTE:
            self._timer.lose_ticks()  # there were none while one waited
            self._moved()
        return vector

    def receive(self, message: Message) -> None:
        """Take a message, if it is meant for this one."""
        if self._is_meant(message.destination, is_logical=message.is_logical):
            self._take(message)

    def _is_meant(self, destination: int, *, is_logical: bool) -> bool:
        if not is_logical:
            return destination in (self._id, _EVERYBODY)
        if self._format == _FLAT:
            return bool(destination & self._logical_id)
        if self._format == _CLUSTER:
            return destination >> 4 == self._logical_id >> 4 and bool(destination & self._logical_id & 0xF)
        return False

    def _take(self, message: Message) -> None:
        if message.mode in (DeliveryMode.FIXED, DeliveryMode.LOWEST_PRIORITY):
            self._request(message.vector, is_level=message.is_level)
        elif message.mode == DeliveryMode.NMI:
            self._bus.nmi()
        elif message.mode == DeliveryMode.INIT:
            self._reset()

    def _request(self, vector: int, *, is_level: bool) -> None:
        bit = 1 << vector
        self._requests |= bit
        self._trigger = self._trigger | bit if is_level else self._trigger & ~bit
        self._bus.changed()

    def _end(self) -> None:
        if not self._in_service:
            return
        vector = self._in_service.bit_length() - 1
        self._in_service ^= 1 << vector
        if self._trigger >> vector & 1:
            self._bus.end(vector)

    # -- commands ------------------------------------------------------------------------------------

    def _send(self) -> None:
        command = self._command
        shorthand = command >> 18 & 3
        if _mode(command) == DeliveryMode.INIT and command & (_LEVEL | _ASSERT) == _LEVEL:
            return  # the end of an INIT
        message = Message(
            command & _BYTE,
            _mode(command),
            bool(command & _LEVEL),
            self._command_high >> 24,
            bool(command & _LOGICAL),
        )
        if shorthand in (_TO_SELF, _TO_ALL):
            self._take(message)
        elif not shorthand:
            self._bus.send(message)

    # -- the timer -----------------------------------------------------------------------------------

    def next_tick_ns(self) -> int | None:
        """Return when the timer asks next; None: never, or it has asked already and that waits."""
        return None if self._requests >> (self._timer.entry & _BYTE) & 1 else self._timer.next_tick_ns()

    def take_ticks(self, now_ns: int) -> int:
        """Let the timer ask, if its time has come. Return 0: no line of the board is raised."""
        if self.next_tick_ns() is not None and self._timer.take_tick(now_ns):
            self._take_local(self._timer.entry & ~_LEVEL)
        return 0

    # -- registers -----------------------------------------------------------------------------------

    def read_memory(self, offset: int, size: int) -> int:
        """Answer a load; one of other than 4 bytes gives 0."""
        register = offset & ~(_STEP - 1)
        if size < 4:  # noqa: PLR2004 - bytes
            return 0
        if Register.IN_SERVICE <= register < Register.ERRORS:
            sets = (self._in_service, self._trigger, self._requests)
            return sets[(register - Register.IN_SERVICE) // _SET_SIZE] >> 2 * (register & 0x70) & WORD_MAX
        if Register.THERMAL <= register < _LVT_END:
            return self._lvt[(register - Register.THERMAL) // _STEP]
        if register not in _REGISTERS:
            self._errors |= _ILLEGAL_REGISTER
            return 0
        return self._readers[register]()

    def fast_words(self) -> Mapping[int, int]:
        """Its ID is fast: kernels ask with it which CPU they run on."""
        return self._fast

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Take a store; one of other than 4 bytes has no effect."""
        register = offset & ~(_STEP - 1)
        if size < 4:  # noqa: PLR2004 - bytes
            return
        if Register.THERMAL <= register < _LVT_END:
            number = (register - Register.THERMAL) // _STEP
            self._lvt = (*self._lvt[:number], value, *self._lvt[number + 1 :])
        elif register in _REGISTERS:
            self._write(register, value)
        elif not Register.IN_SERVICE <= register < Register.ERRORS:
            self._errors |= _ILLEGAL_REGISTER
        self._bus.changed()

    def _readable(self) -> dict[int, Callable[[], int]]:
        readers: dict[int, Callable[[], int]] = {register: lambda: 0 for register in _REGISTERS}
        readers |= {
            Register.ID: lambda: self._id << 24,
            Register.VERSION: lambda: _VERSION,
            Register.TASK_PRIORITY: lambda: self._task_priority,
            Register.PRIORITY: self.priority,
            Register.LOGICAL_ID: lambda: self._logical_id << 24,
            Register.FORMAT: lambda: self._format << 28 | 0x0FFFFFFF,
            Register.SPURIOUS: lambda: self._spurious,
            Register.ERRORS: lambda: self._errors,
            Register.COMMAND: lambda: self._command,
            Register.COMMAND_HIGH: lambda: self._command_high,
            Register.TIMER: lambda: self._timer.entry,
            Register.INITIAL_COUNT: lambda: self._timer.initial,
            Register.CURRENT_COUNT: self._timer.current,
            Register.DIVIDE: lambda: self._timer.divide,
        }
        return readers

    def _write(self, register: int, value: int) -> None:
        match register:
            case Register.ID:
                self._id = value >> 24
                self._fast = {Register.ID: self._id << 24}
            case Register.TASK_PRIORITY:
                self._task_priority = value & _BYTE
            case Register.END:
                self._end()
            case Register.LOGICAL_ID:
                self._logical_id = value >> 24
            case Register.FORMAT:
                self._format = value >> 28
            case Register.SPURIOUS:
                self._spurious = value & 0x1FF
            case Register.COMMAND:
                self._command = value
                self._send()
            case Register.COMMAND_HIGH:
                self._command_high = value
            case Register.TIMER | Register.INITIAL_COUNT | Register.DIVIDE:
                self._set_timer(register, value)

    def _set_timer(self, register: int, value: int) -> None:
        if register == Register.TIMER:
            self._timer.set_entry(value)
        elif register == Register.INITIAL_COUNT:
            self._timer.set_initial(value)
        else:
            self._timer.set_divide(value)
        self._moved()

    # -- snapshots -----------------------------------------------------------------------------------

    def save(self) -> object:
        """Return all registers."""
        return tuple(getattr(self, name) for name in self._KEPT), self._timer.save()

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (tuple(registers), tuple(timer)):
                self._timer.restore(timer)
                for name, value in zip(self._KEPT, registers, strict=True):
                    setattr(self, name, value)
                self._fast = {Register.ID: self._id << 24}
            case _:
                raise TypeError(f"not a state of LocalApic: {state!r}")
        self._bus.changed()
        self._moved()


def _mode(entry: int) -> int:
    """Return the delivery mode of a local vector or a command."""
    return entry >> 8 & 7
