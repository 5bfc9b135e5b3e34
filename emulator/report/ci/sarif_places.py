"""Places of a kernel in SARIF: locations, call stacks, and the way from an allocation to a finding."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from emulator.report.ci.finding_lines import stacks_of
from emulator.report.text.frames import function_name
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.check.findings import Finding
    from emulator.guest.symbolizer import Frame
    from emulator.report.ci.finding_lines import Stack
    from emulator.report.ci.sources import SourceLine, Sources

_Object = dict[str, Any]


class KernelPlaces:
    """Describes places.

    Args:
        kernel: The kernel's file.
        sources: Finds source files.
    """

    def __init__(self, kernel: str, sources: Sources) -> None:
        self._kernel = quote(printable(posixpath.basename(kernel))) or "kernel"
        self._sources = sources

    def location(self, stack: Sequence[Frame], message: str) -> _Object:
        """Return the place of the innermost frame with a file, as code scanning needs one; or else the kernel itself."""
        line = self._sources.first_line(stack)
        location: _Object = {
            "physicalLocation": self._in_kernel(stack[0] if stack else None)
            if line is None
            else _in_source(line),
            "message": {"text": message},
        }
        if stack:
            location["logicalLocations"] = [_function(stack[0])]
        return location

    def origin(self, finding: Finding) -> _Object:
        """Return the properties of a result that tell how it came about: `stacks`, `relatedLocations`, `codeFlows`."""
        stacks = [stack for stack in stacks_of(finding) if stack.frames]
        if not stacks:
            return {}
        document: _Object = {"stacks": [self._stack(stack) for stack in stacks]}
        others = stacks[1:]
        if others:
            document["relatedLocations"] = [
                {"id": number, **self.location(stack.frames, printable(stack.title))}
                for number, stack in enumerate(others, 1)
            ]
            document["codeFlows"] = [{"threadFlows": [{"locations": self._flow(stacks)}]}]
        return document

    def _stack(self, stack: Stack) -> _Object:
        return {
            "message": {"text": printable(stack.title)},
            "frames": [{"location": self._frame(frame)} for frame in stack.frames],
        }

    def _frame(self, frame: Frame) -> _Object:
        line = self._sources.line_of(frame)
        return {
            "physicalLocation": self._in_kernel(frame) if line is None else _in_source(line),
            "logicalLocations": [_function(frame)],
            "message": {"text": printable(str(frame))},
        }

    def _flow(self, stacks: Sequence[Stack]) -> list[_Object]:
        """Return the stacks as steps in the order in which they happened."""
        steps = sorted(stacks, key=lambda stack: stack.event)
        return [{"location": self.location(stack.frames, printable(stack.title))} for stack in steps]

    def _in_kernel(self, frame: Frame | None) -> _Object:
        location: _Object = {"artifactLocation": {"uri": self._kernel}}
        if frame is not None:
            location["address"] = {"absoluteAddress": frame.address, "kind": "instruction"}
        return location


def _in_source(line: SourceLine) -> _Object:
    artifact = {"uri": line.uri, **({"uriBaseId": "%SRCROOT%"} if line.is_inside else {})}
    return {"artifactLocation": artifact, **({"region": {"startLine": line.line}} if line.line else {})}


def _function(frame: Frame) -> _Object:
    return {"fullyQualifiedName": printable(function_name(frame)), "kind": "function"}
