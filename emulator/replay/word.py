"""Watch some bytes while a machine goes on, and tell which writes changed them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from emulator.machine.core.observed import LastWrite
    from emulator.replay.engine import Position, Replay


class Word(NamedTuple):
    """Some bytes of memory, 1 to 4, by the physical address of the first."""

    address: int
    size: int = WORD_SIZE


def changes_to(replay: Replay, word: Word, position: Position) -> tuple[LastWrite, LastWrite] | None:
    """Go on to a position, and return the first and the last write on the way that changed some bytes; None: none did."""
    with replay.machine.observers.watch(*word) as watchpoint:
        replay.go_to_position(position)
        return watchpoint.changes()


def last_change_of_run(replay: Replay, word: Word) -> LastWrite | None:
    """Return the last write of the whole run that changed some bytes; the machine stands at the end of the run then.

    Args:
        replay: It stands at the start.
        word: The bytes.
    """
    with replay.machine.observers.watch(*word) as watchpoint:
        replay.run_to_end()
        changes = watchpoint.changes()
    return None if changes is None else changes[1]
