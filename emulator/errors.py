"""The one tree of errors: what keeps kmemu from going on.

There are three families, which are never mixed. Misuse of the Python API is a `ValueError` or `TypeError`. What a guest kernel
did wrong to its memory is a finding. All else that ends the work is an `EmulatorError`: one clear line that names what and
where, with the same facts as attributes. What kmemu itself lacks is never worded as the kernel's fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class EmulatorError(Exception):
    """The machine cannot go on."""


class BadImage(EmulatorError):
    """A kernel file cannot be loaded.

    Attributes:
        path: The file as it was named.
        problem: What is wrong and where, without the file's name.
        value: The number that is wrong (an address, a file offset, a header field), if there is one.
    """

    def __init__(self, path: str, problem: str, *, value: int | None = None) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
        self.value = value


class MissingSymbol(EmulatorError):
    """A kernel lacks symbols that were asked for.

    Attributes:
        path: The kernel's file.
        names: The missing names, in the order in which they were asked for.
        purpose: What needs them, as a noun ("layer heap").
    """

    def __init__(self, path: str, names: Iterable[str], purpose: str) -> None:
        self.path = path
        self.names = tuple(names)
        self.purpose = purpose
        noun = "symbol" if len(self.names) == 1 else "symbols"
        super().__init__(f"{path}: {purpose} needs the missing {noun} {', '.join(self.names)}")


class UnknownKernel(EmulatorError):
    """No built-in kernel has this name.

    Attributes:
        name: The name as it was given, without "firmware:".
        known: All names, nearest to *name* first.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"no built-in kernel {name!r}; there are: {', '.join(self.known)}")


class KernelNotBuilt(EmulatorError):
    """A built-in kernel's file is missing from this installation.

    Attributes:
        name: The kernel's name, without "firmware:".
        path: Where its ELF file should be.
    """

    def __init__(self, name: str, path: str) -> None:
        super().__init__(
            f"built-in kernel {name!r} has not been built: {path} is missing (run: make firmware)"
        )
        self.name = name
        self.path = path


class BadModule(EmulatorError):
    """A boot module's file cannot be read.

    Attributes:
        path: The file as it was named.
        problem: The operating system's reason.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"module {path}: {problem}")
        self.path = path
        self.problem = problem


class BadTrace(EmulatorError):
    """A file cannot be read as a trace.

    Attributes:
        path: The file as it was named.
        problem: What is wrong, without the file's name.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class TraceNotWritten(EmulatorError):
    """A trace cannot be written.

    Attributes:
        path: The file as it was named.
        problem: The operating system's reason.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: the trace cannot be written: {problem}")
        self.path = path
        self.problem = problem


class NotMultiboot(EmulatorError):
    """A kernel without a Multiboot header was given what only Multiboot can hand over.

    Attributes:
        path: The kernel's file.
        what: What it was given.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: cannot be given {what}: it has no Multiboot header")
        self.path = path
        self.what = what


class BootInfoDoesNotFit(EmulatorError):
    """The Multiboot information or a module finds no place in RAM.

    Attributes:
        what: What was to be placed.
        size: Its size in bytes.
        room: Bytes that were left for it.
    """

    def __init__(self, what: str, size: int, room: int) -> None:
        super().__init__(f"{what} does not fit into RAM: {size} bytes, room for {room}")
        self.what = what
        self.size = size
        self.room = room


class HostError(EmulatorError):
    """The host cannot give what the machine needs: memory, libunicorn."""


class UnknownFunction(EmulatorError):
    """A function that was to be called or watched is not in the kernel's symbol table.

    Attributes:
        path: The kernel's file.
        name: The function.
    """

    def __init__(self, path: str, name: str) -> None:
        super().__init__(f"{path}: no function {name!r} in its symbol table")
        self.path = path
        self.name = name


class GuestStopped(EmulatorError):
    """The guest cannot go on, or was not allowed to.

    Attributes:
        problem: What happened.
        eip: Where: of the instruction, in the code segment.
        location: The same for people: function, offset, file and line as far as the kernel's symbols tell.
        instructions: Instructions executed by the run.
        remark: What else was going on then; empty: nothing.
    """

    def __init__(self, problem: str, eip: int, location: str, instructions: int = 0) -> None:
        where = f"EIP 0x{eip:08x}" if location == f"0x{eip:08x}" else f"{location}, EIP 0x{eip:08x}"
        super().__init__(f"{problem} at {where}")
        self.problem = problem
        self.eip = eip
        self.location = location
        self.instructions = instructions
        self.remark = ""

    def add_remark(self, text: str) -> None:
        """Add to the text what else was going on."""
        self.remark = text
        self.args = (f"{self.args[0]}; {text}",)


class UnmappedAccess(GuestStopped):
    """The guest touched physical memory that is not there.

    Attributes:
        address: Physical; exact where the instruction's operands tell, else its page.
        access: "read", "write" or "fetch".
    """

    address: int
    access: str


class GuestException(GuestStopped):
    """An exception or interrupt that finds no way to a handler of the guest: on a PC a triple fault.

    Attributes:
        vector: 0 to 255.
    """

    vector: int


class NotEmulated(GuestStopped):
    """The guest needs something that a PC has and kmemu lacks; it did nothing wrong."""


class BudgetUsedUp(GuestStopped):
    """The run's budget of instructions or seconds is used up."""


class NoEnd(BudgetUsedUp):
    """A run that everything is measured by does not end by itself, within its budgets.

    Attributes:
        allocations: Calls that could be made to fail, up to there.
    """

    def __init__(self, error: BudgetUsedUp, allocations: int) -> None:
        self.allocations = allocations
        super().__init__(
            "the run without a failure did not end by itself: "
            f"{error.problem} after {error.instructions} instructions and {counted(allocations, 'allocation')}",
            error.eip,
            error.location,
            error.instructions,
        )


class NotRepeated(EmulatorError):
    """A run did not repeat itself.

    Attributes:
        event: The event that was to happen again.
        last: The last event that did.
    """

    def __init__(self, event: int, last: int) -> None:
        super().__init__(f"the run did not repeat itself: it ended after event {last}, before event {event}")
        self.event = event
        self.last = last


class UnknownLayer(EmulatorError):
    """No layer, or no mode of one, has this name.

    Attributes:
        name: The name as it was given.
        known: The names there are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"no {kind} {name!r}; there are: {', '.join(self.known)}")


class UnknownArea(EmulatorError):
    """A limit is for an area that is not watched.

    Attributes:
        name: The area.
        known: Those there are.
    """

    def __init__(self, option: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"{option}: no area {name!r}; there are: {', '.join(self.known)}")


class BadInput(EmulatorError):
    """A file in which somebody describes something cannot be used.

    Attributes:
        path: The file as it was named.
        problem: What is wrong.
        line: Where, from 1, if that is known.
        key: The key that is wrong, with those it lies in: "heap.alloc"; empty where it is none.
    """

    def __init__(self, path: str, problem: str, *, line: int | None = None, key: str = "") -> None:
        where = "" if line is None else f"line {line}: "
        what = f"key '{key}': " if key else ""
        super().__init__(f"{path}: {where}{what}{problem}")
        self.path = path
        self.problem = problem
        self.line = line
        self.key = key


class BadProfile(BadInput):
    """A profile cannot be used."""


class BadBaseline(BadInput):
    """A baseline cannot be used."""


class NoFunctionFound(EmulatorError):
    """A kernel has none of the functions of a profile.

    Attributes:
        path: The kernel's file.
        profile: The profile's name.
        names: The profile's functions.
        nearest: Functions of the kernel with similar names.
    """

    def __init__(self, path: str, profile: str, names: Iterable[str], nearest: Iterable[str]) -> None:
        self.path = path
        self.profile = profile
        self.names = tuple(names)
        self.nearest = tuple(nearest)
        hint = f"; similar names: {', '.join(self.nearest)}" if self.nearest else ""
        super().__init__(
            f"{path}: has none of the functions of profile {profile}: {', '.join(self.names)}{hint}"
        )


class NearProfile(NamedTuple):
    """A built-in profile that does not fit a kernel.

    Attributes:
        name: Its name.
        there: The functions of it that the kernel has.
        missing: Its other functions, and the variables of its kernel that this one lacks.
    """

    name: str
    there: tuple[str, ...]
    missing: tuple[str, ...]


class NoAllocatorKnown(EmulatorError):
    """No built-in profile fits a kernel, and none was given.

    Attributes:
        path: The kernel's file.
        candidates: Functions of the kernel whose names sound as if they took or gave back memory.
        near: The built-in profile of which the kernel has most functions; None: it has none of any.
    """

    def __init__(self, path: str, candidates: Iterable[str], near: NearProfile | None = None) -> None:
        self.path = path
        self.candidates = tuple(candidates)
        self.near = near
        hint = f"; it has {_some(self.candidates)}" if self.candidates else ""
        if near:
            hint += f"; nearest is {near.name}, of which it has {_some(near.there)}, but not {_some(near.missing)}"
        super().__init__(
            f"{path}: no built-in profile fits; describe the functions that allocate memory in one (--profile){hint}"
        )


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and the number of the others."""
    most = 8
    return ", ".join([*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])])


class UnsupportedFunction(EmulatorError):
    """A function cannot be watched to its end.

    Attributes:
        name: The function.
        problem: Why, with the address.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cannot watch {name}: {problem}")
        self.name = name
        self.problem = problem


class ModelStopped(EmulatorError):
    """A model met a state of guest memory in which the kernel's own code could not go on either.

    Attributes:
        call: The call with its arguments.
        problem: What the model says.
        location: Where the call came from, for people.
    """

    def __init__(self, call: str, problem: str, location: str) -> None:
        super().__init__(f"model of {call}, called from {location}: {problem}")
        self.call = call
        self.problem = problem
        self.location = location


class Cancelled(Exception):
    """Somebody did not want to wait any longer."""

    def __init__(self) -> None:
        super().__init__("it was stopped by hand")
