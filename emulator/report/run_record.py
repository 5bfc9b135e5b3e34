"""One run of a kernel, as the reports know it: plain data, no machine."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.regions import Span
    from emulator.hle.layers import LockstepCalls


class How(Enum):
    """How a run ended."""

    EXIT = "exit"  # through the debug exit device
    HALTED = "halted"
    BUDGET = "budget used up"
    STOPPED = "stopped"  # the guest could not go on
    DIVERGED = "diverged"  # model and native code disagreed
    INTERRUPTED = "interrupted"  # Ctrl-C, or another signal
    NOT_RUN = "not run"  # the kernel could not be loaded


class Ending(NamedTuple):
    """How a run ended, with what is known of it.

    Attributes:
        exit_value: What the kernel wrote to the exit device; 0 is success.
        exit_code: What QEMU would exit with.
        eip: Of the next instruction, or of the one that failed.
        location: Of the last instruction, for people.
        instructions: Executed; None when nothing ran.
        error: The class and the text of what was raised; None also after Ctrl-C.
    """

    how: How
    exit_value: int | None = None
    exit_code: int | None = None
    eip: int | None = None
    location: str | None = None
    instructions: int | None = None
    error: tuple[str, str] | None = None


class RunRecord(NamedTuple):
    """A run.

    Attributes:
        kernel: As the user named it.
        seconds: Of the host, from the first instruction to the end.
        layers: Layer -> mode. None where the kernel's layers are not known.
        profile: Name of the kernel whose memory management this is; None where it is not known.
        serial: What the guest sent to COM1; not collected where it has been shown already.
        debug: The same for port 0xE9.
        screen: Lines of the VGA text screen, if they were asked for.
        memory_map: What memory is used for; None when there was no machine.
        lockstep: How many calls were made in lockstep; None where no layer ran so.
    """

    kernel: str
    ending: Ending
    ram: Span | None = None
    seconds: float = 0.0
    layers: Mapping[str, str] | None = None
    serial: bytes = b""
    debug: bytes = b""
    screen: tuple[str, ...] | None = None
    memory_map: MemoryMap | None = None
    profile: str | None = None
    lockstep: LockstepCalls | None = None
