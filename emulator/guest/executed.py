"""Turn the step log of a machine into the instructions that were executed, each with its text, its location and its accesses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.disassembler import instruction_text
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.core.observed import StepKind
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.machine.core.observed import Step
    from emulator.machine.machine import Machine


class Access(NamedTuple):
    """A load or a store of an instruction.

    Attributes:
        is_store: Whether it is a store.
        address: Physical address.
        size: How many bytes were accessed.
        value: What was loaded or is stored, of accesses up to 8 bytes.
    """

    is_store: bool
    address: int
    size: int
    value: int


class ExecutedInstruction(NamedTuple):
    """An instruction that was executed.

    Attributes:
        address: Linear address.
        text: The instruction in assembly language.
        location: Function, offset, file and line, where they differ from those of the instruction before; else "".
        accesses: In the order in which they were made.
    """

    address: int
    text: str
    location: str
    accesses: tuple[Access, ...]


def executed_instructions(machine: Machine, steps: Iterable[Step]) -> Iterator[ExecutedInstruction]:
    """Yield the instructions of a step log.

    Args:
        machine: The machine that executed them; its memory still holds the code.
        steps: From `Cpu.steps`.
    """
    reader = _CodeReader(machine)
    current: Step | None = None
    accesses: list[Access] = []
    for step in steps:
        if step.kind is not StepKind.INSTRUCTION:
            accesses.append(Access(step.kind is StepKind.STORE, step.address, step.size, step.value))
            continue
        if current is not None:
            yield reader.instruction(current, accesses)
        current, accesses = step, []
    if current is not None:
        yield reader.instruction(current, accesses)


class _CodeReader:
    """Disassembles instructions, each text only once."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._symbolizer = Symbolizer(machine.image)
        self._texts: dict[tuple[int, bytes], str] = {}
        self._last_line: tuple[str, str, int] | None = None

    def instruction(self, step: Step, accesses: list[Access]) -> ExecutedInstruction:
        frame = self._symbolizer.instruction(step.address)
        line = frame.function, frame.file, frame.line
        location = "" if line == self._last_line else code_location(*frame)
        self._last_line = line
        return ExecutedInstruction(step.address, self._text(step), location, tuple(accesses))

    def _text(self, step: Step) -> str:
        code = self._machine.read_linear(step.address, step.size)
        key = (step.address, code)
        if key not in self._texts:
            self._texts[key] = instruction_text(code, step.address)
        return self._texts[key]
