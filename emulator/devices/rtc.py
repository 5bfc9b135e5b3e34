"""The real-time clock of a PC with its battery-backed memory: MC146818, index at port 0x70, data at 0x71, interrupt line 8.

The clock starts at a date that the user gives, or else at a fixed one, and goes on in virtual time. Of its interrupts that at each
change of the time, the alarm and the periodic one are there. The memory holds what a PC's firmware finds out: how much RAM there
is, and what disks there are.

Source: Motorola MC146818 data sheet; the bytes from 0x0E up as QEMU, hw/i386/pc.c, leaves them.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.devices import addresses
from emulator.devices.device import FastPort, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emulator.devices.board import Wires
    from emulator.devices.ide.disk import DiskContents

INDEX, DATA = addresses.RTC

_SECONDS, _SECONDS_ALARM, _MINUTES, _MINUTES_ALARM, _HOURS, _HOURS_ALARM = range(6)
_WEEKDAY, _DAY, _MONTH, _YEAR = range(6, 10)
_A, _B, _C, _D = range(0x0A, 0x0E)
_CENTURY: Final = 0x32
_DISK_TYPES, _TRANSLATIONS = 0x12, 0x39
_OWN_TYPE: Final = 47  # of a disk with another geometry than those of the AT
_FEW_HEADS: Final = 8
_TIME: Final = (_SECONDS, _MINUTES, _HOURS, _WEEKDAY, _DAY, _MONTH, _YEAR, _CENTURY)
_ALARMS: Final = (_HOURS_ALARM, _MINUTES_ALARM, _SECONDS_ALARM)
_ANY: Final = 0xC0  # of an alarm, and above: each second, minute or hour

_UPDATING, _RATE, _DIVIDER, _RUNS = 0x80, 0x0F, 0x70, 0x20
_SET, _PERIODIC, _ALARM, _CHANGED, _BINARY, _24_HOURS = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
_INTERRUPTS: Final = _PERIODIC | _ALARM | _CHANGED
_INTERRUPT: Final = 0x80
_VALID: Final = 0x80
_AFTERNOON: Final = 0x80

_S: Final = 1_000_000_000
_CLOCK_HZ: Final = 32768
_FAST_RATES: Final = 2  # which mean 256 and 128 Hz
_UPDATE_NS: Final = 244_000  # so long before it changes, the time is not to be read
_DAY_S: Final = 86400
_KIB, _MIB = 1 << 10, 1 << 20
_16_MIB: Final = 16 << 20


def memory_at_start(ram_end: int, disks: Sequence[DiskContents]) -> bytes:
    """Return what a PC's firmware leaves: 128 bytes, those of the time not set.

    Args:
        ram_end: End of RAM, in bytes.
        disks: What IDE disks hold, the first two on the first channel.
    """
    memory = bytearray(128)
    extended = min((ram_end - _MIB) // _KIB, 0xFFFF)
    above = min(max(ram_end - _16_MIB, 0) // (64 * _KIB), 0xFFFF)
    memory[_A], memory[_B], memory[_D] = 0x26, _24_HOURS, _VALID
    memory[0x14] = 0x06  # equipment: an FPU, a mouse, no drive
    memory[0x15:0x17] = (640).to_bytes(2, "little")
    memory[0x17:0x19] = memory[0x30:0x32] = extended.to_bytes(2, "little")
    memory[0x34:0x36] = above.to_bytes(2, "little")
    memory[0x37] = 0x20  # the century, at the PS/2's address
    memory[0x38], memory[0x3D] = 0x30, 0x12  # where to boot from
    if disks:
        _describe(memory, disks)
    return bytes(memory)


def _describe(memory: bytearray, disks: Sequence[DiskContents]) -> None:
    """Say what disks there are: type and geometry of the first two, translations of all."""
    import struct

    from emulator.devices.ide.identity import guess_geometry, guess_translation

    for number, disk in enumerate(disks):
        memory[_TRANSLATIONS] |= guess_translation(disk) << 2 * number
    for disk, types, type_at, start in zip(disks, (0xF0, 0x0F), (0x19, 0x1A), (0x1B, 0x24), strict=False):
        cylinders, heads, sectors = guess_geometry(disk)
        control = 0xC8 if heads > _FEW_HEADS else 0xC0
        memory[_DISK_TYPES] |= types
        memory[type_at] = _OWN_TYPE
        memory[start : start + 9] = struct.pack(
            "<HBHBHB", cylinders, heads, 0xFFFF, control, cylinders, sectors
        )


class _State(NamedTuple):
    """What snapshots keep of the clock."""

    memory: bytes  # of the time, what was written while it stood
    offset_ns: int  # the time shown since 1970, less virtual time
    selected: int = 0  # register
    flags: int = 0  # of register C, without the interrupt's
    seen_ns: int = 0  # until when flags were looked for


class Rtc:
    """The clock.

    Args:
        wires: What it is connected to.
        start_s: Date and time at the start, in seconds since 1970, without leap seconds.
        disks: What IDE disks hold, the first two on the first channel.
    """

    ports = addresses.RTC

    def __init__(self, wires: Wires, start_s: int, disks: Sequence[DiskContents] = ()) -> None:
        self._wires = wires
        self._state = _State(memory_at_start(wires.ram_end, disks), start_s * _S)

    def next_tick_ns(self) -> int | None:
        """Return when it raises its line next."""
        if self._asks:
            return None
        return self._next_flag_ns(self._state.memory[_B] & _INTERRUPTS)

    def take_ticks(self, now_ns: int) -> int:
        """Return whether it has raised its line."""
        asked = self._asks
        self._notice(now_ns)
        return int(self._asks and not asked)

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Each register is fast until it changes by itself, or is changed by reading it."""
        state, now = self._state, self._wires.now_ns()
        index = state.selected
        until: int | None = None
        if index == _C:
            if state.flags:
                return {}
            until = self._next_flag_ns(_INTERRUPTS)
            return {} if until is not None and until <= now else {DATA: FastPort(constant=0, until_ns=until)}
        if self._runs and index == _A:
            second = now + self._until_second(now)
            until = second if self._updates(now) else second - _UPDATE_NS
        elif self._runs and index in _TIME:
            until = now + self._until_second(now)
        return {DATA: FastPort(constant=self._register(index, now), until_ns=until)}

    def save(self) -> object:
        """Return the state."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of Rtc: {state!r}")
        self._state = state

    # -- the time ---------------------------------------------------------------------------------

    @property
    def _runs(self) -> bool:
        memory = self._state.memory
        return not memory[_B] & _SET and memory[_A] & _DIVIDER <= _RUNS

    def _until_second(self, now_ns: int) -> int:
        """Return the nanoseconds until the time changes, 1 or more."""
        return _S - (now_ns + self._state.offset_ns) % _S

    def _updates(self, now_ns: int) -> bool:
        return self._runs and self._until_second(now_ns) <= _UPDATE_NS

    def _shown(self, now_ns: int) -> dict[int, int]:
        """Return what the registers of the time hold."""
        now = time.gmtime((now_ns + self._state.offset_ns) // _S)
        numbers = (now.tm_sec, now.tm_min, (now.tm_wday + 1) % 7 + 1, now.tm_mday, now.tm_mon)
        seconds, minutes, weekday, day, month = map(self._encode, numbers)
        hours = now.tm_hour
        if self._state.memory[_B] & _24_HOURS:
            hour = self._encode(hours)
        else:
            hour = self._encode(hours % 12 or 12) | (_AFTERNOON if hours >= 12 else 0)  # noqa: PLR2004 - noon
        century, year = map(self._encode, divmod(now.tm_year, 100))
        values = (seconds, minutes, hour, weekday, day, month, year, century)
        return dict(zip(_TIME, values, strict=True))

    def _encode(self, number: int) -> int:
        return number if self._state.memory[_B] & _BINARY else number // 10 << 4 | number % 10

    def _decode(self, byte: int) -> int:
        return byte if self._state.memory[_B] & _BINARY else (byte >> 4) * 10 + (byte & 15)

    def _decode_hour(self, byte: int) -> int:
        hour = self._decode(byte & ~_AFTERNOON)
        if self._state.memory[_B] & _24_HOURS:
            return hour
        return hour % 12 + (12 if byte & _AFTERNOON else 0)

    def _stand(self, now_ns: int) -> None:
        """Keep the time that is shown in the memory."""
        memory = bytearray(self._state.memory)
        for register, value in self._shown(now_ns).items():
            memory[register] = value
        self._state = self._state._replace(memory=bytes(memory))

    def _go(self, now_ns: int) -> None:
        """Go on from the time that is in the memory."""
        from datetime import UTC, datetime, timedelta  # few kernels set the time

        memory = self._state.memory
        number = self._decode
        year = min(max(number(memory[_CENTURY]) * 100 + number(memory[_YEAR]), 1), 9998)
        month = min(max(number(memory[_MONTH]), 1), 12)
        since = timedelta(
            days=number(memory[_DAY]) - 1,
            hours=self._decode_hour(memory[_HOURS]),
            minutes=number(memory[_MINUTES]),
            seconds=number(memory[_SECONDS]),
        )
        date = datetime(year, month, 1, tzinfo=UTC) + since
        self._state = self._state._replace(offset_ns=int(date.timestamp()) * _S - now_ns)

    # -- interrupts -------------------------------------------------------------------------------

    @property
    def _asks(self) -> bool:
        """Whether the interrupt line is up."""
        return bool(self._state.flags & self._state.memory[_B])

    def _period_ns(self) -> tuple[int, int]:
        """Return the length of a period as a fraction: nanoseconds and by what to divide them; 0: there is none."""
        memory = self._state.memory
        rate = memory[_A] & _RATE
        if not memory[_B] & _PERIODIC or not rate or memory[_A] & _DIVIDER > _RUNS:
            return 0, 1
        return _S << (rate + 6 if rate <= _FAST_RATES else rate - 1), _CLOCK_HZ

    def _next_flag_ns(self, kinds: int) -> int | None:
        """Return when a flag of these kinds is set that is not yet; None: never."""
        state = self._state
        seen, kinds = state.seen_ns, kinds & ~state.flags
        times = []
        length, divisor = self._period_ns()
        if kinds & _PERIODIC and length:
            times.append(-(-(seen * divisor // length + 1) * length // divisor))
        if kinds & _CHANGED and self._runs:
            times.append(seen + self._until_second(seen))
        if kinds & _ALARM and self._runs and (wait := self._until_alarm(seen)):
            times.append(seen + self._until_second(seen) + (wait - 1) * _S)
        return min(times, default=None)

    def _until_alarm(self, now_ns: int) -> int:
        """Return the changes of the time until the alarm rings, 1 or more; 0: it never does."""
        memory = self._state.memory
        hour, minute, second = (memory[register] for register in _ALARMS)
        return _until(
            (now_ns + self._state.offset_ns) // _S % _DAY_S,
            None if hour >= _ANY else self._decode_hour(hour),
            None if minute >= _ANY else self._decode(minute),
            None if second >= _ANY else self._decode(second),
        )

    def _notice(self, now_ns: int) -> None:
        """Set the flags of what has happened until now."""
        flags = 0
        for kind in (_PERIODIC, _CHANGED, _ALARM):
            at = self._next_flag_ns(kind)
            if at is not None and at <= now_ns:
                flags |= kind
        self._state = self._state._replace(flags=self._state.flags | flags, seen_ns=now_ns)

    # -- the ports --------------------------------------------------------------------------------

    def _read(self, port: int) -> int:
        if port != DATA:
            return 0xFF
        now = self._wires.now_ns()
        if self._state.selected != _C:
            return self._register(self._state.selected, now)
        self._notice(now)
        flags = self._state.flags | (_INTERRUPT if self._asks else 0)
        self._state = self._state._replace(flags=0)
        self._wires.moved()
        return flags

    def _register(self, index: int, now_ns: int) -> int:
        if index in _TIME and self._runs:
            return self._shown(now_ns)[index]
        value = self._state.memory[index]
        return value | (_UPDATING if index == _A and self._updates(now_ns) else 0)

    def _write(self, port: int, byte: int) -> None:
        if port == INDEX:
            self._state = self._state._replace(selected=byte & 0x7F)
        elif port == DATA:
            now = self._wires.now_ns()
            self._notice(now)
            self._set(self._state.selected, byte, now)
            self._wires.moved()

    def _set(self, index: int, byte: int, now_ns: int) -> None:
        if index in {_C, _D}:
            return
        asked, ran = self._asks, self._runs
        if ran:
            self._stand(now_ns)
        if index == _A:
            byte &= ~_UPDATING
        elif index == _B and byte & _SET:
            byte &= ~_CHANGED
        memory = self._state.memory
        self._state = self._state._replace(memory=memory[:index] + bytes((byte,)) + memory[index + 1 :])
        if self._runs and (not ran or index in _TIME):
            self._go(now_ns)
        if self._asks and not asked:
            self._wires.interrupt()


@lru_cache(maxsize=64)
def _until(now: int, hour: int | None, minute: int | None, second: int | None) -> int:
    """Return the seconds until an alarm, 1 or more; 0: it never rings.

    Args:
        now: Second of the day.
        hour: Of the alarm; None: each.
        minute: The same.
        second: The same.
    """
    for start in range(now + 1 - (now + 1) % 60, now + 1 + _DAY_S + 60, 60):
        at_hour, at_minute = divmod(start % _DAY_S // 60, 60)
        if at_hour != (at_hour if hour is None else hour) or at_minute != (
            at_minute if minute is None else minute
        ):
            continue
        first = max(now + 1, start)
        if second is None:
            return first - now
        if second < 60 and start + second >= first:  # noqa: PLR2004 - seconds
            return start + second - now
    return 0
