"""What a trace says about its run besides the calls: a header at its beginning, an ending after the last call."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from emulator.errors import BadFile
from emulator.profile.documents import from_document, to_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.hle.layers import LockstepCalls
    from emulator.machine.unanswered import Lack
    from emulator.profile.model import Profile

FORMAT: Final = 2
"""Version of the format that is written, and the newest that is read."""

_OF_LACK: Final = (
    "port",
    "address",
    "reads",
    "writes",
    "eip",
    "location",
    "ram_end",
    "service",
    "instruction",
)

Value = TypeVar("Value")


class TracedSegment(NamedTuple):
    """A piece of the kernel in memory: *size* bytes at *physical*, linked at *virtual*."""

    physical: int
    virtual: int
    size: int


class MemoryArea(NamedTuple):
    """Physical memory ``[start, end)`` at the end of the run; *kind* says what it was used for, *name* may be ""."""

    start: int
    end: int
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """What was known when recording began.

    Attributes:
        kmemu: Version of the program that recorded.
        kernel: The kernel's file as it was named.
        sha256: Of that file, in hexadecimal digits.
        segments: Where the kernel was loaded.
        ram: RAM as [start, end).
        command_line: The words after ``kmemu``.
        layers: Layer of memory management -> how it ran ("native", "model", "lockstep").
        profile: The functions that were recorded; a call's function code counts them.
    """

    kmemu: str
    kernel: str
    sha256: str
    segments: tuple[TracedSegment, ...]
    ram: tuple[int, int]
    command_line: tuple[str, ...]
    layers: Mapping[str, str]
    profile: Profile

    def to_json(self) -> bytes:
        """Return the header as it stands in the file."""
        return _json(
            {
                "format": FORMAT,
                "kmemu": self.kmemu,
                "kernel": {
                    "path": self.kernel,
                    "sha256": self.sha256,
                    "segments": [segment._asdict() for segment in self.segments],
                },
                "ram": {"start": self.ram[0], "end": self.ram[1]},
                "command_line": list(self.command_line),
                "layers": dict(self.layers),
                "profile": to_document(self.profile),
            }
        )

    @classmethod
    def from_json(cls, text: bytes, path: str) -> TraceHeader:
        """Read a header.

        Raises:
            BadFile: A later version wrote the file at *path*.
            ValueError: It is damaged; one line that says how.
        """
        document = _parsed(text)
        version = _get(document, "format", int)
        if version > FORMAT:
            problem = f"written by a newer kmemu (format {version}, this one reads up to {FORMAT})"
            raise BadFile(path, problem)
        if version < 1:
            raise ValueError(f"format {version}")
        kernel, ram, layers = (_get(document, name, dict) for name in ("kernel", "ram", "layers"))
        return cls(
            _get(document, "kmemu", str),
            _get(kernel, "path", str),
            _get(kernel, "sha256", str),
            tuple(
                TracedSegment(*(_word(segment, name) for name in TracedSegment._fields))
                for segment in _get(kernel, "segments", list)
            ),
            (_word(ram, "start"), _word(ram, "end")),
            tuple(_typed(word, str, "command_line") for word in _get(document, "command_line", list)),
            {layer: _get(layers, layer, str) for layer in layers},
            from_document(_get(document, "profile", dict)),
        )


@dataclass(frozen=True, slots=True)
class TraceEnding:
    """What was known when recording ended.

    Attributes:
        how: How the run ended, as in the summary of a run.
        exit_value: What the kernel wrote to the exit device, if it did.
        events: Number of the last event.
        calls: Number of the last call.
        memory_map: What memory was used for, by address.
        lacks: What the kernel accessed that the machine did not have.
        lockstep: How many calls were made in lockstep; None: no layer ran so, or a version wrote the trace that did not count them.
    """

    how: str
    exit_value: int | None
    events: int
    calls: int
    memory_map: tuple[MemoryArea, ...] = ()
    lacks: tuple[Lack, ...] = ()
    lockstep: LockstepCalls | None = None

    def to_json(self) -> bytes:
        """Return the ending as it stands in the file."""
        document = asdict(self) | {"memory_map": [area._asdict() for area in self.memory_map]}
        del document["lacks"], document["lockstep"]
        if self.lacks:
            document["lacks"] = [{name: getattr(lack, name) for name in _OF_LACK} for lack in self.lacks]
        if self.lockstep is not None:
            document["lockstep"] = self.lockstep._asdict()
        return _json(document)

    @classmethod
    def from_json(cls, text: bytes) -> TraceEnding:
        """Read an ending.

        Raises:
            ValueError: It is damaged; one line that says how.
        """
        document = _parsed(text)
        value = document.get("exit_value")
        return cls(
            _get(document, "how", str),
            None if value is None else _typed(value, int, "exit_value"),
            _word(document, "events"),
            _word(document, "calls"),
            tuple(
                MemoryArea(
                    _word(area, "start"), _word(area, "end"), _get(area, "kind", str), _get(area, "name", str)
                )
                for area in _get(document, "memory_map", list)
            ),
            tuple(
                _lack(_typed(lack, dict, "lacks"))
                for lack in _typed(document.get("lacks", []), list, "lacks")
            ),
            _lockstep(_get(document, "lockstep", dict)) if "lockstep" in document else None,
        )


def _lockstep(document: dict[str, object]) -> LockstepCalls:
    """Read how many calls were made in lockstep.

    Raises:
        ValueError: It is damaged.
    """
    from emulator.hle.layers import LockstepCalls  # few traces have them

    return LockstepCalls(*(_word(document, name) for name in LockstepCalls._fields))


def _lack(document: dict[str, object]) -> Lack:
    """Read what a machine did not have.

    Raises:
        ValueError: It is damaged.
    """
    from emulator.machine.unanswered import Lack  # few traces have one

    port, address = (
        None if document.get(name) is None else _word(document, name) for name in ("port", "address")
    )
    reads, writes = (_get(document, name, int) for name in ("reads", "writes"))
    eip, location, ram_end = (
        _word(document, "eip"),
        _get(document, "location", str),
        _word(document, "ram_end"),
    )
    service, instruction = (_typed(document.get(name, ""), str, name) for name in ("service", "instruction"))
    return Lack(
        port,
        address,
        reads,
        writes,
        eip,
        location,
        ram_end=ram_end,
        service=service,
        instruction=instruction,
    )


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _parsed(text: bytes) -> dict[str, object]:
    try:
        return _typed(json.loads(text), dict, "")
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _get(document: object, name: str, kind: type[Value]) -> Value:
    fields = _typed(document, dict, name)
    if name not in fields:
        raise ValueError(f"no {name}")
    return _typed(fields[name], kind, name)


def _typed(value: object, kind: type[Value], name: str) -> Value:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name or 'it'} is no {_KINDS[kind]}")  # noqa: TRY004 - the data is wrong, not the call
    return value


_KINDS: Final[Mapping[type, str]] = {int: "number", str: "text", list: "list", dict: "object"}


def _word(document: object, name: str) -> int:
    """Return a number up to 2^32: an address, the end of a range, a count of events."""
    value = _get(document, name, int)
    if not 0 <= value <= 1 << 32:
        raise ValueError(f"{name} is {value:.3e}" if abs(value) < 1 << 1000 else f"{name} is too large")
    return value
