"""The interval timer of a PC: 8254, channel 0 on interrupt line 0, channel 2 for the speaker.

Time comes from the machine's virtual clock, in nanoseconds, never from the host.

Source: Intel 8254 data sheet; IBM PC/AT Technical Reference (wiring, port 0x61).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.devices.device import read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.devices.device import FastPort, Interval

CHANNEL_0, CHANNEL_2, COMMAND, SPEAKER = 0x40, 0x42, 0x43, 0x61
FREQUENCY_HZ = 1_193_182
_NS = 1_000_000_000
_LATCH, _LOW, _HIGH, _BOTH = 0, 1, 2, 3
_READ_BACK = 3
_SPEAKER_GATE, _SPEAKER_OUT, _SPEAKER_WRITABLE = 0x01, 0x20, 0x03
_PERIODIC = (2, 3, 6, 7)  # rate generator, square wave; bit 2 of the mode does not count for them


class _Channel(NamedTuple):
    """One counter."""

    access: int = _BOTH
    mode: int = 3
    reload: int = 0  # 0 means 65536, and nothing was written yet while started_ns is None
    started_ns: int | None = None
    write_low: int | None = None  # the low byte of a pair, until the high one comes
    read_high_next: bool = False
    latched: int | None = None

    @property
    def period(self) -> int:
        """Clocks from load to end."""
        return self.reload or 0x10000

    @property
    def is_periodic(self) -> bool:
        return self.mode in _PERIODIC

    def elapsed(self, now_ns: int) -> int:
        """Clocks since the counter was loaded."""
        return 0 if self.started_ns is None else (now_ns - self.started_ns) * FREQUENCY_HZ // _NS

    def shown(self, now_ns: int) -> int:
        """What the counter shows."""
        elapsed = self.elapsed(now_ns)
        return (self.period - elapsed % self.period if self.is_periodic else self.period - elapsed) & 0xFFFF


class Pit:
    """The timer.

    Args:
        now_ns: The virtual clock.
        interval: Raises the line of channel 0.
    """

    ports = (CHANNEL_0, 0x41, CHANNEL_2, COMMAND, SPEAKER)

    def __init__(self, now_ns: Callable[[], int], interval: Interval) -> None:
        self._now_ns = now_ns
        self._interval = interval
        self._channels: tuple[_Channel, ...] = (_Channel(), _Channel(), _Channel())
        self._speaker = 0

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`."""
        return read_bytes(self._read, port, size)

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`."""
        write_bytes(self._write, port, size, value)

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Nothing is fast."""
        return {}

    def save(self) -> object:
        """Return all counters."""
        return self._channels, self._speaker

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        match state:
            case (tuple(channels), int(speaker)):
                self._channels, self._speaker = channels, speaker
            case _:
                raise TypeError(f"not a state of Pit: {state!r}")

    def _set(self, number: int, channel: _Channel) -> None:
        self._channels = (*self._channels[:number], channel, *self._channels[number + 1 :])

    def _read(self, port: int) -> int:
        if port == SPEAKER:
            channel = self._channels[2]
            done = channel.started_ns is not None and channel.elapsed(self._now_ns()) >= channel.period
            return self._speaker | (_SPEAKER_OUT if done else 0)
        if not CHANNEL_0 <= port <= CHANNEL_2:
            return 0xFF
        number = port - CHANNEL_0
        channel = self._channels[number]
        value = channel.shown(self._now_ns()) if channel.latched is None else channel.latched
        if channel.access == _BOTH:
            high = channel.read_high_next
            latched = channel.latched if not high else None
            self._set(number, channel._replace(read_high_next=not high, latched=latched))
        else:
            high = channel.access == _HIGH
            self._set(number, channel._replace(latched=None))
        return value >> 8 if high else value & 0xFF

    def _write(self, port: int, byte: int) -> None:
        if port == SPEAKER:
            self._speaker = byte & _SPEAKER_WRITABLE
        elif port == COMMAND:
            self._command(byte)
        elif CHANNEL_0 <= port <= CHANNEL_2:
            self._load(port - CHANNEL_0, byte)

    def _command(self, byte: int) -> None:
        number, access = byte >> 6, byte >> 4 & 3
        if number == _READ_BACK:
            return
        channel = self._channels[number]
        if access == _LATCH:
            self._set(number, channel._replace(latched=channel.shown(self._now_ns())))
        else:
            self._set(number, _Channel(access=access, mode=byte >> 1 & 7))
            if number == 0:
                self._interval.stop()

    def _load(self, number: int, byte: int) -> None:
        channel = self._channels[number]
        if channel.access == _BOTH and channel.write_low is None:
            self._set(number, channel._replace(write_low=byte))
            return
        reload = {_LOW: byte, _HIGH: byte << 8}.get(channel.access, byte << 8 | (channel.write_low or 0))
        loaded = channel._replace(reload=reload, write_low=None, started_ns=self._now_ns())
        self._set(number, loaded)
        if number == 0:
            self._interval.start(self._now_ns(), loaded.period, FREQUENCY_HZ, periodic=loaded.is_periodic)
