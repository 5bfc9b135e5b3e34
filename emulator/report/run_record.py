"""A run of a kernel with all that reporters say of it, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.check.findings import Finding
    from emulator.guest.memory_map.memory_map import MemoryMap
    from emulator.guest.memory_map.regions import Span
    from emulator.hle.layers import LockstepCalls
    from emulator.run.ending import Ending


class RunRecord(NamedTuple):
    """A run, and what it left.

    Attributes:
        kernel: The kernel, as the user named it.
        seconds: Seconds of the host from the first instruction to the end.
        layers: Mode of each layer; None where the kernel's layers are not known.
        profile: Name of the kernel whose memory management this is; None where it is not known.
        serial: What the guest sent to COM1; not collected where it has been shown already.
        debug: The same for port 0xE9.
        serial2: The same for COM2.
        screen: Lines of the VGA text screen, if they were asked for.
        memory_map: What memory is used for; None when there was no machine.
        lockstep: Counts of the calls that were made in lockstep; None where no layer ran so.
        graphics: Whether the VGA shows graphics instead of that text, if it was asked for.
        findings: Bad accesses of the kernel, in order; None where they were not looked for.
        screenshot: Name of the file with a picture of the screen, if there is one.
    """

    kernel: str
    ending: Ending
    ram: Span | None = None
    seconds: float = 0.0
    layers: Mapping[str, str] | None = None
    serial: bytes = b""
    debug: bytes = b""
    serial2: bytes = b""
    screen: tuple[str, ...] | None = None
    memory_map: MemoryMap | None = None
    profile: str | None = None
    lockstep: LockstepCalls | None = None
    graphics: bool | None = None
    screenshot: str | None = None
    findings: tuple[Finding, ...] | None = None
