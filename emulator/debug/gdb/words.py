"""What is said to the client's user besides the protocol: why the machine has stopped, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.debug.step.view_text import ended_text
from emulator.debug.stop import StopKind
from emulator.report.text.findings import finding_lines
from emulator.report.text.frames import frame_text
from emulator.report.text.style import Style
from emulator.wording import counted, printable
from emulator.x86 import EXCEPTION_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop


def stop_lines(debugger: Debugger, stop: Stop) -> Iterator[str]:
    """Yield why a machine has stopped, where a stop reply does not say it."""
    match stop.kind:
        case StopKind.EVENT:
            yield f"kmemu: event {debugger.event}"
        case StopKind.FINDING if stop.finding is not None:
            yield from finding_lines([stop.finding], Style())
        case StopKind.ENDED if stop.ending is not None:
            yield f"kmemu: the run has ended: {printable(ended_text(stop.ending))}"
        case StopKind.EXCEPTION if (fault := debugger.machine.cpu.last_fault()) is not None:
            name = EXCEPTION_NAMES.get(fault.vector, f"exception {fault.vector}")
            yield f"kmemu: {name} at {frame_text(debugger.image.location(fault.eip))}"


def where_text(debugger: Debugger) -> str:
    """Return where a machine stands: in its run, and in its code."""
    moment = debugger.moment
    location = debugger.machine.image.location(debugger.machine.registers().eip)
    at = "at the end of the run, " if moment.at_end else ""
    event = f", after event {debugger.event}" if debugger.event else ""
    return f"{at}after {counted(moment.instructions, 'instruction')}{event}: {frame_text(location)}"
