"""Find the newest write to some bytes, whoever has made it: an instruction, the CPU by itself, a device, or a model.

The run is searched from its checkpoints, the newest first. A piece in which no page of the bytes was written is left out; in the others the bytes are watched, which costs
time where their page is written. The machine then goes to the write itself, to see who is calling whom.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.errors import Cancelled
from emulator.machine.call_stack import callers
from emulator.machine.core.observed import LastWrite
from emulator.machine.core.stops import Stopping
from emulator.replay.moment import Moment
from emulator.replay.travel import Halt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.stops import Hit, Watch
    from emulator.replay.travel import Checkpoint, Travel


def newest_write(travel: Travel, spans: Sequence[range]) -> LastWrite | None:
    """Return the newest write to some bytes before where the machine stands; it stands there again afterwards.

    Args:
        travel: The machine.
        spans: Where the bytes lie, physical.

    Returns:
        None: they have not been written since the start. `before` and `after` are the bytes of the span that was written; `writes` counts from a checkpoint on.

    Raises:
        Cancelled: The machine stands somewhere.
        HostError: See `Travel.forward`.
    """
    here = travel.moment
    found = _newest_hit(travel, spans)
    write = None if found is None else _details(travel, *found)
    _go_to(travel, here)
    return write


def _newest_hit(travel: Travel, spans: Sequence[range]) -> tuple[Hit, range] | None:
    end = travel.moment._replace(entered=False)  # calls are paused: nothing is entered
    pieces = [each for each in travel.checkpoints if each.moment < end]
    with ExitStack() as stack:
        stack.enter_context(travel.machine.calls.paused())
        stack.callback(travel.back_to, travel.start)
        watches = [travel.machine.stops.keep_writes(each[0], len(each)) for each in spans]
        for number in reversed(range(len(pieces))):
            piece = pieces[number]
            if number == len(pieces) - 1 or _has_written(piece, spans):
                travel.back_to(piece.moment)
                _check(travel.pass_to(end))
                hits = [(hit, span) for watch, span in zip(watches, spans, strict=True) if (hit := watch.hit)]
                if hits:
                    return _closed(watches, max(hits, key=lambda each: each[0].instant))
            end = piece.moment
        return _closed(watches, None)


def _closed(watches: Sequence[Watch], found: tuple[Hit, range] | None) -> tuple[Hit, range] | None:
    for each in watches:
        each.close()
    return found


def _has_written(piece: Checkpoint, spans: Sequence[range]) -> bool:
    return any(piece.snapshot.page_written(at) for each in spans for at in (each[0], each[-1]))


def _details(travel: Travel, hit: Hit, span: range) -> LastWrite:
    """Go to a write, and see what is known there."""
    machine = travel.machine
    _go_to(travel, Moment(*hit.instant))
    event = machine.calls.event_count
    is_instruction = (
        machine.registers().pc == hit.pc
    )  # else the CPU has written, before the handler begins at which it stands
    calling = callers(machine).return_addresses
    if is_instruction:
        with machine.stops.mode_for(Stopping.IGNORES):
            travel.forward(steps=1)
    after = machine.memory.read(span[0], len(span))
    if hit.is_models and machine.calls.event_count > event:  # its call was recorded before it did its work
        event += 1
    before, now = (int.from_bytes(each, "little") for each in (hit.before, after))
    return LastWrite(hit.eip, hit.pc, event, before, now, calling, hit.accesses)


def _go_to(travel: Travel, moment: Moment) -> None:
    _check(travel.go_to(moment))


def _check(halt: Halt) -> None:
    if halt in (Halt.CANCELLED, Halt.TIME):
        raise Cancelled
