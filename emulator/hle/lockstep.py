"""Mode `lockstep`: the native code runs, and the model runs beside it on an overlay.

At a function's entry the model makes the same call on a copy-on-write view of guest RAM. While the native code runs,
the core notes each page that it writes, with the page's bytes from before. At the function's exit the two must agree
on the result, on every byte of memory and on what was printed, and the native code must have kept what every function
has to keep: EBX, ESI, EDI, EBP, ESP, and the flags IF and DF. The part of the stack that the native code uses itself
is not compared: a model has no stack. Neither are bits that the CPU itself sets in page tables.

A call that does not return through its `ret` is given up, and counted: there is nothing to compare. What is executed between an
exception in a call and the `iret` that comes back to it, on whatever stack, is not the call's (`emulator.hle.second_answer`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import EmulatorError, HostError, ModelStopped, UnsupportedFunction
from emulator.hle.binding import call_text, caller_of, stack_words
from emulator.hle.differences import call_differences
from emulator.hle.layers import LockstepCalls
from emulator.hle.memory_views import OwnMemory
from emulator.hle.model import MODEL_ERRORS
from emulator.hle.open_call import OpenCall, data_objects, stack_depth, used_stack
from emulator.hle.second_answer import asked_again, what_is_wrong
from emulator.hle.silent_cpu import SilentCpu
from emulator.machine.code.exits import find_own_exits
from emulator.machine.consoles import Console
from emulator.machine.core.observed import ProbeKind, WatchState
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.hle.binding import Bound
    from emulator.hle.differences import Difference
    from kernel_model.abi import Function

_SHOWN = 16
_RET_N = 0xC2


class Divergence(EmulatorError):
    """Native code and model disagree after a call. The text is a report of several lines.

    Attributes:
        call: The call with its arguments.
        location: The call site, for people; the first one outside the kernel's memory management.
        number: Number of the call in lockstep, from 1.
        differences: What they disagree on, at least one.
    """

    def __init__(self, call: str, location: str, number: int, differences: tuple[Difference, ...]) -> None:
        self.call = call
        self.location = location
        self.number = number
        self.differences = differences
        lines = [f"lockstep divergence in {call}, called from {location}, call {number} in lockstep"]
        lines += [f"  {each}" for each in differences[:_SHOWN]]
        if len(differences) > _SHOWN:
            lines.append(f"  and {len(differences) - _SHOWN} more")
        super().__init__("\n".join(lines))


class LockstepState(NamedTuple):
    """The part of the machine's state that lockstep keeps.

    Attributes:
        entered: Calls that were entered so far.
        calls: Those that are over.
        open: Those that are not, the outermost first.
    """

    entered: int = 0
    calls: LockstepCalls = LockstepCalls()
    open: tuple[OpenCall, ...] = ()


class WatchedFunction:
    """A function of the guest whose calls are compared with the model's while it is switched on.

    Args:
        lockstep: Compares the calls.
        function: Of the model.
        exits: Addresses of its `ret` instructions.
    """

    def __init__(self, lockstep: Lockstep, function: Function, exits: Iterable[int]) -> None:
        machine = lockstep.bound.machine
        entry = lockstep.bound.symbol(function.name).address
        self._probes = [machine.observers.probe(entry, partial(lockstep.enter, function))]
        for address in exits:
            code = machine.image.code(address, 3)
            popped = int.from_bytes(code[1:], "little") if code[0] == _RET_N else 0
            leave = partial(lockstep.leave, function, popped)
            self._probes.append(machine.observers.probe(address, leave, kind=ProbeKind.EXIT))

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Compare its calls from now on (*on*), or stop comparing them."""
        for probe in self._probes:
            probe.switch(on)


class Lockstep:
    """Runs models beside the guest's own functions.

    Args:
        bound: The machine and its kernel.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._machine = bound.machine
        self._overlay = OwnMemory(bound.machine.memory)
        self._printed: list[str] = []
        self._model = bound.models(self._overlay, self._printed.append, SilentCpu(bound.machine))
        self._native = bound.models(bound.machine.memory, self._printed.append)  # only to name locations
        self._open: list[OpenCall] = []
        self._objects = data_objects(bound.machine.image.symbols.values())
        self._exits: dict[str, list[int]] = {}
        self._entered = 0
        self._compared = 0
        self._given_up = 0

    @property
    def calls(self) -> LockstepCalls:
        """How many calls were compared or given up so far. No handler has come back to those that are paused."""
        self._notice_closed()
        paused = sum(each.written.state is WatchState.PAUSED for each in self._open)
        return LockstepCalls(self._compared, self._given_up + paused)

    def exits(self, name: str) -> list[int]:
        """Return the addresses of a function's `ret` instructions.

        Raises:
            UnsupportedFunction: They cannot be found.
        """
        if name not in self._exits:
            self._exits[name] = find_own_exits(self._machine.image, self.bound.symbol(name))
        return self._exits[name]

    def watch(self, name: str) -> WatchedFunction:
        """Compare every call of a function from now on."""
        return WatchedFunction(self, self._model.functions[name], self.exits(name))

    def give_up(self, names: Iterable[str]) -> None:
        """Give up the open calls of these functions."""
        for call in [each for each in self._open if each.function.name in names]:
            self._give_up(call)

    def save(self) -> LockstepState:
        """Return how far the calls are."""
        self._notice_closed()
        return LockstepState(self._entered, LockstepCalls(self._compared, self._given_up), tuple(self._open))

    def restore(self, state: LockstepState) -> None:
        """Go back to a state that `save` returned. The core's notes of written pages have gone back already."""
        self._entered = state.entered
        self._compared, self._given_up = state.calls
        self._open = list(state.open)

    def open_call(self) -> str:
        """Return a line about the innermost open call, for people; "" if there is none."""
        self._notice_closed()
        call = next(
            (each for each in reversed(self._open) if each.written.state is not WatchState.PAUSED), None
        )
        if call is None:
            return ""
        text = call_text(call.function, call.arguments)
        kind = call.function.result
        returned = "returned" if kind == "void" else f"returned {call.function.show(call.result)}"
        return f"in lockstep the model of {text}, called from {self._caller(call)}, has {returned}"

    # Callbacks of the probes.

    def enter(self, function: Function, _kind: int, esp: int, eax: int) -> int:
        """Run the model beside a function that is entered; its return address lies at *esp*. EAX stays as it is."""
        machine, registers = self._machine, self._machine.registers()
        if any(each.starts_again(function, registers) for each in self._open):
            return eax
        _, *words = stack_words(machine, esp, function.argument_count + 1)
        arguments = tuple(words)
        machine.observers.leave_calls(
            esp + WORD_SIZE
        )  # those deeper on the stack were left without their `ret`
        self._notice_closed()
        machine.consoles.flush()
        self._overlay.clear()
        self._printed.clear()
        self._entered += 1
        depth = stack_depth(self._objects, esp)
        stack = self._overlay.stack = used_stack(machine, esp, depth, len(arguments))
        try:
            result = function.call(*arguments)
        except MODEL_ERRORS as error:
            location = caller_of(self.bound, esp, registers.ebp)
            raise ModelStopped(call_text(function, arguments), str(error), location) from error
        try:
            written = machine.observers.note_written(range(esp - depth, esp + 1))
        except HostError as error:
            problem = f"{len(self._open)} calls in lockstep go on inside one another"
            raise UnsupportedFunction(function.name, problem) from error
        self._open.append(
            OpenCall(
                function,
                self._entered,
                written,
                esp,
                machine.translate(esp) or 0,
                arguments,
                registers,
                stack,
                result,
                self._overlay.changes(),
                "".join(self._printed),
                len(machine.output[Console.SERIAL]),
            )
        )
        return eax

    def leave(self, function: Function, popped: int, _kind: int, esp: int, eax: int) -> int:
        """Compare a call at a `ret` that takes *popped* bytes of arguments with it. EAX stays as it is.

        Raises:
            Divergence: Native code and model disagree.
        """
        self._notice_closed()
        call = self._call_at(function, esp)
        if call is None:
            return eax  # it was entered before it was watched
        for each in [each for each in self._open if each.goes_on_in(call)]:
            self._give_up(each)
        state = call.written.state
        if state is WatchState.PAUSED:  # something else than `iret` has led back to it
            self._give_up(call)
            return eax
        self._open.remove(call)
        differences = self._differences(call, esp + popped, eax, resumed=state is WatchState.RESUMED)
        if differences is None:
            self._given_up += 1
        elif differences:
            text = call_text(function, call.arguments)
            raise Divergence(text, self._caller(call), call.number, differences)
        else:
            self._compared += 1
        return eax

    def _call_at(self, function: Function, esp: int) -> OpenCall | None:
        """Return the open call that a `ret` of the function leaves with this ESP."""
        translate = self._machine.translate
        mine = [
            each for each in self._open if each.function is function and translate(each.esp) == each.return_at
        ]
        call = next((each for each in reversed(mine) if each.esp == esp), None)
        return mine[-1] if call is None and mine and esp in mine[-1].wrong_exits else call

    def _differences(
        self, call: OpenCall, esp: int, eax: int, *, resumed: bool
    ) -> tuple[Difference, ...] | None:
        """Return what the native code did in another way than the model; None: it cannot be known.

        Args:
            call: Is over.
            esp: ESP at the `ret`, with what the `ret` takes.
            eax: At the `ret`.
            resumed: An exception was handled in its middle.
        """
        machine, written = self._machine, call.written.take()

        def compare(one: OpenCall) -> tuple[Difference, ...]:
            return tuple(call_differences(machine, one, esp, eax, written, self._native.locate))

        if resumed:  # pages that a handler has mapped are part of the stack now
            depth = stack_depth(self._objects, call.esp)
            call = replace(call, stack=call.stack + used_stack(machine, call.esp, depth, len(call.arguments)))
        differences = compare(call)
        if not differences or not (resumed or written.marked):
            return differences
        again = asked_again(self._overlay, self._printed, call, written)
        return what_is_wrong(differences, again, compare, resumed=resumed)

    def _caller(self, call: OpenCall) -> str:
        return caller_of(self.bound, call.esp, call.registers.ebp)

    def _give_up(self, call: OpenCall) -> None:
        self._open.remove(call)
        self._given_up += 1
        call.written.close()

    def _notice_closed(self) -> None:
        """Give up the calls that the core has found to be left."""
        for call in [each for each in self._open if not each.written.is_open]:
            self._give_up(call)
