"""Write what a kernel was doing when its run was ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.report.text.lacks import page_name, port_name
from emulator.wording import counted

if TYPE_CHECKING:
    from emulator.run.ending import Activity

_MOSTLY: Final = 0.9
_RECENTLY: Final = 10_000  # instructions
_OFTEN: Final = 1000


def activity_text(activity: Activity) -> str:
    """Return what a kernel was doing; "": it computed, or that is not known."""
    if activity.waited >= _MOSTLY:
        return "it waits in hlt, and interrupts come"
    last = activity.last_read
    if last is None or last.instructions_ago > _RECENTLY or last.reads < _OFTEN:
        return ""
    if last.port is not None:
        what = f"port {port_name(last.port)}"
    else:
        what = f"memory at {page_name(last.page or 0)}"
    nobody = "" if last.is_answered else ": nothing is there"
    return f"it was reading {what}, {counted(last.reads, 'time', ',')} so far{nobody}"
