"""What kmemu records of the kernel of the matrix, compared with what the kernel's own log says."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.known import match
from emulator.profile.reader import read_profile
from emulator.trace.recording import CallLog
from tests.matrix.cells import Stacks
from tests.matrix.kernel import PROFILE, ROW, LoggedCall, is_inlinable, logged_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile
    from emulator.trace.table import Call
    from tests.matrix.cells import Built, Cell

_FEWEST_CALLS: Final = 300  # a kernel makes more of them


class Recorded(NamedTuple):
    """A recorded call, or execution of a copy inside of a caller: what `LoggedCall` says, as far as it is known."""

    function: str
    arguments: tuple[int | None, ...]
    result: int | None
    callers: tuple[str, ...]


class Comparison(NamedTuple):
    """The outcome of a cell.

    Attributes:
        wrong: What was recorded otherwise than it was; one line each.
        not_recorded: Functions of which calls are missing.
        unknown: Parameters of which kmemu says that it does not know them, as ``function.parameter``.
        right: How many calls were recorded as they were.
    """

    wrong: list[str]
    not_recorded: set[str]
    unknown: set[str]
    right: int

    def failures(self, cell: Cell) -> list[str]:
        """Return what is not as it has to be in a cell; one line each."""
        found = list(self.wrong)
        if missing := self.not_recorded - cell.may_be_inlined_silently:
            found.append(f"calls are missing: {sorted(missing)}")
        if too_many := self.unknown - cell.may_be_unknown:
            found.append(f"unknown, but there is enough to know it: {sorted(too_many)}")
        if self.right <= _FEWEST_CALLS:
            found.append(f"only {self.right} calls are right")
        return found


def compare(built: Built, folder: Path, *, stacks: Stacks = Stacks.WHOLE) -> Comparison:
    """Run a kernel under recording, and compare what was recorded with its log.

    Args:
        built: The kernel.
        folder: For files.
        stacks: What of the call stacks can be known.
    """
    path = folder / "kernel.toml"
    path.write_text(PROFILE)
    image = KernelImage.read(built.kernel, symbols=None if built.symbols is None else str(built.symbols))
    profile = match(read_profile(path), image)
    machine = Machine(image)
    log = CallLog(machine, profile)
    machine.run(timeout_s=60)
    rows, count = image.symbols["rows"].address, image.symbols["row_count"].address
    size = machine.memory.load_words(count, 1)[0] * ROW.size
    truth = logged_calls(bytes(machine.memory.read(rows, size)))
    assert truth, "the kernel has logged nothing"
    recorded = [_recorded(call, profile, log, image) for call in log.calls()]
    found = compared(truth, recorded, stacks=stacks)
    return found._replace(
        unknown={
            f"{_plain(each)}.{name}"
            for each in profile.functions
            if each.copies is None
            for name in each.unknown
        }
    )


def compared(
    truth: list[LoggedCall], recorded: list[Recorded], *, stacks: Stacks = Stacks.WHOLE
) -> Comparison:
    """Compare what was recorded with what the log says. The calls of each function are in order; some may be missing."""
    wrong: list[str] = []
    not_recorded: set[str] = set()
    right = 0
    found = _by_function(recorded)
    expected = _by_function(
        each if each.function in found else each._replace(function=each.function.rpartition(":")[2])
        for each in truth
    )
    for name in sorted(expected.keys() | found.keys()):
        left, missing = list(found[name]), []
        for call in expected[name]:
            if left and agrees(call, left[0], stacks=stacks):
                right += 1
                left.pop(0)
            else:
                missing.append(call)
        not_recorded.update({name} if missing else ())
        wrong += [f"{each}, but the log has {missing[:2]}" for each in left[:1]]
    return Comparison(wrong, not_recorded, set(), right)


def agrees(call: LoggedCall, recorded: Recorded, *, stacks: Stacks) -> bool:
    """Return whether all that is known of a recorded call is so."""
    known = zip(call.arguments, recorded.arguments, strict=True)
    return (
        all(there in (None, value) for value, there in known)
        and (None in (call.result, recorded.result) or recorded.result == call.result)
        and _leads_to(call.callers, recorded.callers, stacks=stacks)
    )


def _leads_to(callers: tuple[str, ...], frames: tuple[str, ...], *, stacks: Stacks) -> bool:
    """Return whether frames are the callers, as far as they can be known."""
    found = iter(frames)
    following = next(found, None)
    for caller in callers:
        if caller == following:
            following = next(found, None)
        elif following is None and stacks is Stacks.MAY_END_EARLY:
            return True
        elif stacks is Stacks.WHOLE or not is_inlinable(caller):
            return False
    return following is None


def _recorded(call: Call, profile: Profile, log: CallLog, image: KernelImage) -> Recorded:
    function = next(each for each in profile.functions if each.name == call.function)
    arguments = tuple(
        None if parameter in function.unknown else value
        for parameter, value in zip(function.parameters, call.arguments, strict=True)
    )
    stack = log.recording.stack(call.stack)
    frames = [name.partition(".")[0] for address in stack for name in _functions_at(image, address)]
    callers = tuple(each for each in frames if each.startswith(("heap_", "pool_")) and each[-1].isdigit())
    result = call.result if function.copies is None else None
    return Recorded(_plain(function), arguments, result, callers)


def _functions_at(image: KernelImage, return_address: int) -> Iterator[str]:
    """Yield the functions that a call stands in, inlined ones first."""
    for inlined in image.inlined_calls(return_address - 1):
        yield inlined.function
    yield image.call_site(return_address).function


def _plain(function: TracedFunction) -> str:
    """Return a function as `ALLOCATORS` names it: with its file where that is known and needed."""
    file, _, name = function.name.rpartition(":")
    plain = name.partition(".")[0]
    return f"{file}:{plain}" if file else plain


_Named = TypeVar("_Named", LoggedCall, Recorded)


def _by_function(calls: Iterable[_Named]) -> defaultdict[str, list[_Named]]:
    found: defaultdict[str, list[_Named]] = defaultdict(list)
    for call in calls:
        found[call.function].append(call)
    return found
