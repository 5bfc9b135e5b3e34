"""The one tree of errors: what keeps kmemu from going on.

There are three families, which are never mixed. Misuse of the Python API is a `ValueError` or `TypeError`. What a guest kernel
did wrong to its memory is a finding. All else that ends the work is an `EmulatorError`: one clear line that names what and
where, with the same facts as attributes. What kmemu itself lacks is never worded as the kernel's fault.

    EmulatorError                 the work cannot go on
    ├── BadFile                   a file cannot be read, understood or written: module, profile, baseline, trace
    │   ├── BadImage              a kernel's file
    │   └── TraceNotWritten       the file of a recording
    ├── UnknownName               there is no built-in kernel, layer or area of this name
    ├── KernelMismatch            a kernel lacks what it was to be used with: symbols, a Multiboot header, a known allocator
    ├── UnsupportedFunction       a function of the kernel cannot be watched to its end
    ├── BootInfoDoesNotFit        no room for the Multiboot information or a module
    ├── HostError                 the host lacks memory, a library, a built-in kernel's file
    ├── ModelStopped              a model met a state of memory in which the kernel's own code could not go on either
    └── GuestStopped              the guest cannot go on, or was not allowed to
        ├── UnmappedAccess        it touched physical memory that is not there
        ├── GuestException        a triple fault
        ├── NotEmulated           it needs what a PC has and kmemu lacks
        └── BudgetUsedUp          its instructions or seconds are used up
            └── NoEnd             ... in the run that a campaign is measured by

`Cancelled` is not one of them: somebody asked for it. A class of its own has what is caught, or distinguished in JSON; the rest differs
in its text and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class EmulatorError(Exception):
    """The work cannot go on."""


class BadFile(EmulatorError):
    """A file cannot be read, understood or written.

    Args:
        given_as: What the file was given as, with a space after it, where the path alone does not say it.

    Attributes:
        path: The file as it was named.
        problem: What is wrong, without the file's name.
        line: Where in a text, from 1, if that is known.
        key: The key that is wrong, with those it lies in: "heap.alloc"; empty where it is none.
    """

    def __init__(
        self, path: str, problem: str, *, line: int | None = None, key: str = "", given_as: str = ""
    ) -> None:
        where = "" if line is None else f"line {line}: "
        what = f"key '{key}': " if key else ""
        super().__init__(f"{given_as}{path}: {where}{what}{problem}")
        self.path = path
        self.problem = problem
        self.line = line
        self.key = key


class BadImage(BadFile):
    """A kernel file cannot be loaded.

    Attributes:
        value: The number that is wrong (an address, a file offset, a header field), if there is one.
    """

    def __init__(self, path: str, problem: str, *, value: int | None = None) -> None:
        super().__init__(path, problem)
        self.value = value


class TraceNotWritten(BadFile):
    """A trace cannot be written."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, f"the trace cannot be written: {problem}")


class UnknownName(EmulatorError):
    """There is nothing of this name.

    Args:
        kind: What has no such name: "built-in kernel", "layer".
        option: The option with the name, where the name alone does not say it.

    Attributes:
        name: The name as it was given.
        known: The names there are; nearest to *name* first, where there are many.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, option: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        prefix = f"{option}: " if option else ""
        super().__init__(f"{prefix}no {kind} {name!r}; there are: {', '.join(self.known)}")


class KernelMismatch(EmulatorError):
    """A kernel lacks what it was to be used with.

    Attributes:
        path: The kernel's file.
        problem: What is missing, without the file's name.
        names: The symbols that are missing, in the order in which they were asked for.
    """

    def __init__(self, path: str, problem: str, names: Iterable[str] = ()) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem
        self.names = tuple(names)


def missing_symbols(path: str, names: Iterable[str], purpose: str) -> KernelMismatch:
    """Return the error for a kernel without some symbols.

    Args:
        path: The kernel's file.
        names: The missing symbols.
        purpose: What needs them, as a noun ("layer heap").
    """
    missing = tuple(names)
    noun = "symbol" if len(missing) == 1 else "symbols"
    return KernelMismatch(path, f"{purpose} needs the missing {noun} {', '.join(missing)}", missing)


def unknown_function(path: str, name: str, several: Sequence[str] = ()) -> KernelMismatch:
    """Return the error for a function that was to be called or watched and is not in the kernel's symbol table, or of which it has several."""
    problem = (
        f"{name!r} may be each of {', '.join(several)}"
        if several
        else f"no function {name!r} in its symbol table"
    )
    return KernelMismatch(path, problem, (name,))


class UnsupportedFunction(EmulatorError):
    """A function cannot be watched: its end is not to be found, or not its parameters.

    Attributes:
        name: The function.
        problem: Why, with the address.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cannot watch {name}: {problem}")
        self.name = name
        self.problem = problem


class BootInfoDoesNotFit(EmulatorError):
    """The Multiboot information or a module does not fit into RAM.

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
    """The host cannot give what the machine needs: memory, libunicorn, a built-in kernel's file."""


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


class GuestStopped(EmulatorError):
    """The guest cannot go on, or was not allowed to.

    Attributes:
        problem: What happened.
        eip: Where: of the instruction, in the code segment.
        location: The same for people: function, offset, file and line as far as the kernel's symbols say.
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
        address: Physical; exact where the instruction's operands say, else its page.
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


class Cancelled(Exception):
    """Somebody did not want to wait any longer."""

    def __init__(self) -> None:
        super().__init__("it was stopped by hand")
