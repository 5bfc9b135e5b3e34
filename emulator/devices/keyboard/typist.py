"""Keys that wait to be typed, and when the guest is ready for the next one.

Typing begins when the guest listens, and goes on at the pace of a quick typist, in virtual time; a key is pressed only while the
guest listens. A guest that takes interrupts listens while it would take the keyboard's, or takes the timer's; it has to have done
so for half a second before the first key, because kernels let interrupts in before they have a driver. A guest that polls listens
when it has asked in vain for a while and has sent no command meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

_MS = 1_000_000
_PACE_NS = 25 * _MS  # between two movements of keys
_WAIT_NS = 1000 * _MS
_LOOK_NS = 10 * _MS  # between two looks whether the guest takes interrupts
_LOOK_AGAIN_NS = (
    101_000  # after one that found that it does not: a scheduler may let them in for moments only
)
_LOOKS = 50
_POLLED_NS = 50 * _MS


class _State(NamedTuple):
    """What snapshots keep of a typist."""

    waiting: tuple[bytes, ...] = ()
    due_ns: int = 0  # of the next key
    look_ns: int = 0  # when to look next
    looks: int = 0  # that found the guest listening
    polled_from_ns: int | None = None  # it has polled since then


class Typist:
    """Hands out movements of keys when it is time for them.

    Args:
        events: What is typed; see `emulator.devices.keyboard.key_text.key_events`.
    """

    def __init__(self, events: tuple[bytes, ...] = ()) -> None:
        self._state = _State(events)

    @property
    def waits(self) -> int:
        """Movements of keys that are left to be made."""
        return len(self._state.waiting)

    def type(self, events: tuple[bytes, ...]) -> None:
        """Type this, too, after what waits."""
        self._state = self._state._replace(waiting=self._state.waiting + events)

    def next_look_ns(self) -> int | None:
        """Return when to call `look`, in virtual time; None: nothing waits."""
        state = self._state
        return max(state.due_ns, state.look_ns) if state.waiting else None

    def look(self, now_ns: int, *, heard: bool) -> bytes:
        """Return the key that moves now, of a guest that takes interrupts; empty: none.

        Args:
            now_ns: Virtual time.
            heard: Whether the guest would take an interrupt.
        """
        state = self._state
        if not state.waiting or now_ns < max(state.due_ns, state.look_ns):
            return b""
        if heard and state.looks >= _LOOKS:
            return self._move(now_ns)
        self._state = state._replace(
            looks=state.looks + heard, look_ns=now_ns + (_LOOK_NS if heard else _LOOK_AGAIN_NS)
        )
        return b""

    def next_poll_ns(self) -> int | None:
        """Return from when on `polled` is to be called; None: nothing waits, and it has been called."""
        state = self._state
        if state.polled_from_ns is None:
            return 0
        return max(state.polled_from_ns + _POLLED_NS, state.due_ns) if state.waiting else None

    def polled(self, now_ns: int) -> bytes:
        """The guest has asked for a key, in vain. Return the one that moves now; empty: none."""
        if self._state.polled_from_ns is None:
            self._state = self._state._replace(polled_from_ns=now_ns)
        due = self.next_poll_ns()
        return b"" if due is None or now_ns < due else self._move(now_ns)

    def commanded(self) -> None:
        """The guest waits for an answer, not for a key."""
        self._state = self._state._replace(polled_from_ns=None)

    def save(self) -> object:
        """Return the state."""
        return self._state

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        if not isinstance(state, _State):
            raise TypeError(f"not a state of Typist: {state!r}")
        self._state = state

    def _move(self, now_ns: int) -> bytes:
        event, *rest = self._state.waiting
        pause = _PACE_NS if event else _WAIT_NS
        self._state = self._state._replace(waiting=tuple(rest), due_ns=now_ns + pause)
        return event
