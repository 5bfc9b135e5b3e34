from __future__ import annotations

from emulator.debug import debugger as new_debugger
from emulator.debug.gdb.accesses import undo_newest_access
from tests.helpers.guest import symbol


def test_a_machine_that_stands_at_an_event_stays_there() -> None:
    with new_debugger("firmware:demo") as debugger:
        debugger.go_to_event(89)
        here = debugger.moment
        assert here.entered
        debugger.watch(symbol(debugger.machine, "heap_free_list"), 4)
        assert undo_newest_access(debugger) is None
        assert (debugger.moment, debugger.event) == (here, 89)
