"""Compares LiteCore's bitmap with the frames that are in use by the trace.

A frame is in use when it is in a live block of the trace, when `memmap_reserve` took it and nobody gave it back
since, or when the kernel itself lies there. All others have to be free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from emulator.check.area import Area
from emulator.check.faulting_writes import faulting_write_of
from emulator.check.findings import Finding, Kind, with_rest
from emulator.check.structures.flag_runs import runs_of
from emulator.check.structures.reservations import Reservation, own_reservations, reserve_calls
from emulator.replay.word import Word
from emulator.x86 import PAGE_SIZE
from kernel_model.litecore.audits import broken_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emulator.check.findings import FaultingWrite
    from emulator.machine.machine import Machine
    from emulator.replay.engine import Rerun
    from emulator.trace.table import Flags
    from emulator.trace.trace import Trace
    from kernel_model.litecore.abi import LiteCore

AREA: Final = "frames"
_FINDINGS_MAX: Final = 16
"""Of each kind: where everything is damaged, nobody needs a finding for each frame."""


class FrameCheck:
    """Checks of the frames at the end of a run.

    Args:
        machine: As the run left it.
        litecore: The models on its memory; only read from.
        trace: Of the run.
    """

    def __init__(self, machine: Machine, litecore: LiteCore, trace: Trace) -> None:
        self._machine = machine
        self._memmap = litecore.memmap
        self._area = Area(trace, AREA)
        fields = self._memmap.fields()
        start, end = litecore.heap.bounds()
        own = [(each.physical, each.end, "for the kernel's image") for each in machine.image.segments]
        if broken_field(fields, len(machine.memory)) is None:
            self._window = range(fields.start_frame, fields.end_frame)
            own.append((fields.bitmap, fields.bitmap + fields.bitmap_bytes, "for the bitmap"))
        else:
            self._window = range(0)  # a defect of the struct, and none of a frame
        own.append((start, end, "for the heap"))
        self._bitmap = fields.bitmap
        self._own = own_reservations(self._area, [each for each in own if each[0] < each[1]])
        self._reserved = reserve_calls(self._area)

    def handed_out(self, rerun: Rerun | None) -> list[Finding]:
        """Return the allocations that got frames that are reserved, one for each call stack."""
        had = [each for each in (*self._own, *self._reserved) if each.was_had(self._area)]
        if not had:
            return []
        blocks = self._area.blocks
        first = blocks.address // PAGE_SIZE
        stop = first + blocks.size // PAGE_SIZE
        found: dict[int, Finding] = {}
        for reserved in had:
            for row in reserved.taken_by(first, stop, blocks.born).tolist():
                stack = int(blocks.stack[row])
                if stack not in found:
                    found[stack] = self._handed_out(reserved, row, rerun)
        return sorted(found.values(), key=lambda finding: finding.call_site.event if finding.call_site else 0)

    def _handed_out(self, reserved: Reservation, row: int, rerun: Rerun | None) -> Finding:
        blocks = self._area.blocks
        call_site = self._area.call_sites.exit(int(blocks.born_call[row]))
        first, pages = int(blocks.address[row]) // PAGE_SIZE, int(blocks.size[row]) // PAGE_SIZE
        low = max(first, reserved.first)
        frames = _frames(low, min(first + pages, reserved.stop))
        message = f"{call_site.function} handed out {frames}, reserved {reserved.name}"
        faulting_write = self._faulting_write(low, rerun)
        return Finding(
            Kind.RESERVED,
            AREA,
            message,
            call_site,
            self._area.call_sites.history(blocks, row),
            faulting_write,
        )

    def mismatches(self, rerun: Rerun | None) -> list[Finding]:
        """Return the frames whose state in the bitmap contradicts the trace."""
        if not self._window:
            return []
        used = self._used_in_bitmap()
        live, reserved = self._live(), self._held(self._reserved)
        nobodys = used & ~live & ~reserved & ~self._held(self._own)
        return [
            *self._first(live & ~used, lambda *run: self._lost(*run, is_live=True, rerun=rerun)),
            *self._first(reserved & ~live & ~used, lambda *run: self._lost(*run, is_live=False, rerun=rerun)),
            *self._first(nobodys, lambda *run: self._nobodys(*run, rerun=rerun)),
        ]

    def _first(self, flags: Flags, finding_of: Callable[[int, int], Finding]) -> list[Finding]:
        """Return the findings of the first runs of frames; if there are more, the first finding says so."""
        start = self._window.start
        runs = [(first + start, stop + start) for first, stop in runs_of(flags)]
        found = [finding_of(*run) for run in runs[:_FINDINGS_MAX]]
        return with_rest(found, len(runs))

    def _lost(self, first: int, stop: int, *, is_live: bool, rerun: Rerun | None) -> Finding:
        what = "live" if is_live else "reserved"
        message = f"{_frames(first, stop)}: {what}, but free in the bitmap"
        block = self._area.live_block_at(first * PAGE_SIZE) if is_live else None
        return Finding(Kind.BITMAP, AREA, message, None, block, self._faulting_write(first, rerun))

    def _nobodys(self, first: int, stop: int, *, rerun: Rerun | None) -> Finding:
        message = f"{_frames(first, stop)}: in use in the bitmap, but nobody has {'it' if stop - first == 1 else 'them'}"
        return Finding(Kind.BITMAP, AREA, message, None, None, self._faulting_write(first, rerun))

    # Frames of the window, a flag each.

    def _used_in_bitmap(self) -> Flags:
        fields = self._memmap.fields()
        packed = np.frombuffer(self._machine.memory.read(fields.bitmap, fields.bitmap_bytes), np.uint8)
        return np.unpackbits(packed, count=fields.max_frames, bitorder="little").view(np.bool_)

    def _live(self) -> Flags:
        blocks = self._area.trace.live(None, AREA)
        first = blocks.address // PAGE_SIZE
        return self._covered(zip(first.tolist(), (first + blocks.size // PAGE_SIZE).tolist(), strict=True))

    def _held(self, reservations: Iterable[Reservation]) -> Flags:
        return self._covered(run for each in reservations for run in each.still_held())

    def _covered(self, runs: Iterable[tuple[int, int]]) -> Flags:
        start = self._window.start
        flags = np.zeros(len(self._window), np.bool_)
        for first, last in runs:
            flags[max(first - start, 0) : max(last - start, 0)] = True
        return flags

    # The faulting write.

    def _faulting_write(self, frame: int, rerun: Rerun | None) -> FaultingWrite | None:
        """Return what left the bit of a frame wrong, if it is found.

        A frame that was handed out although it was reserved is wrong before that, and right again while somebody has it.
        """
        if rerun is None:
            return None
        from emulator.replay.bisect import Bisection  # few kernels need it

        blocks = self._area.blocks
        first = blocks.address // PAGE_SIZE
        taken = [
            int(self._area.trace.calls.entered[blocks.born_call[row] - 1])
            for each in self._reserved
            for row in each.taken_by(first, first + blocks.size // PAGE_SIZE, blocks.born).tolist()
            if first[row] <= frame < first[row] + blocks.size[row] // PAGE_SIZE
        ]
        replay = rerun.replay()
        machine = replay.machine
        index = frame - self._window.start
        word = Word(self._bitmap + index // 8, 1)

        def wrong(event: int) -> Word | None:
            if self._memmap.fields() != self._fields_of(machine):
                return None  # not set up yet
            bit = machine.memory.load_u8(word.address) >> index % 8 & 1
            return word if bool(bit) != self._in_use_at(frame, self._area.settled(event)) else None

        bisection = Bisection(replay, wrong, self._area.any_call_open_at)
        damage = bisection.find(0, min(taken, default=self._area.trace.event_count))
        write = None if damage is None else bisection.faulting_write(damage)
        return faulting_write_of(machine, write, word.address)

    def _fields_of(self, machine: Machine) -> object:
        address = machine.address_of("memmap")
        return machine.memory.load_words(address, len(self._memmap.fields()))

    def _in_use_at(self, frame: int, event: int) -> bool:
        blocks = self._area.trace.live(event, AREA)
        address = np.uint32(frame * PAGE_SIZE)
        live = (blocks.address <= address) & (address - blocks.address < blocks.size)
        return bool(live.any()) or any(each.holds(frame, event) for each in self._reserved)


def _frames(first: int, stop: int) -> str:
    return f"frame 0x{first:05x}" if stop - first == 1 else f"frames 0x{first:05x}..0x{stop - 1:05x}"
