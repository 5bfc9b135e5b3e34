"""The steps of a call as text: its instructions, with what each loads and stores.

::

    0x00105a10  push ebp                              [0x0010b0ec] <- 0x0010b108   kmalloc+0x0 heap.c:170
    0x00105a13  mov eax, dword ptr [ebp + 8]          [0x0010b0f4] -> 0x00000080
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.machine.core_types import StepKind
from emulator.report.text.style import DIM, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capstone import Cs

    from emulator.machine.core_types import Step
    from emulator.machine.machine import Machine
    from emulator.report.text.style import Style

_MARGIN = "     "
_TEXT_WIDTH = 38
_ACCESS_WIDTH = 28
_DIGITS = 2  # hexadecimal, of a byte


class Instruction(NamedTuple):
    """An instruction that was executed.

    Attributes:
        address: Linear.
        text: Disassembled.
        place: Function, offset, file and line, where they differ from those of the instruction before; else "".
        accesses: What it loaded and stored, in order.
    """

    address: int
    text: str
    place: str
    accesses: tuple[Step, ...]

    def to_document(self) -> dict[str, object]:
        """Return it as it stands in JSON."""
        return {
            "address": self.address,
            "text": self.text,
            "place": self.place,
            "accesses": [
                {
                    "kind": step.kind.name.lower(),
                    "address": step.address,
                    "size": step.size,
                    "value": step.value,
                }
                for step in self.accesses
            ],
        }


def instructions_of(machine: Machine, steps: Iterable[Step]) -> Iterator[Instruction]:
    """Put the steps of a run together.

    Args:
        machine: Which has them executed; its memory still holds the code.
        steps: From `Cpu.steps`.
    """
    reader = _CodeReader(machine)
    current: Step | None = None
    accesses: list[Step] = []
    for step in steps:
        if step.kind is not StepKind.INSTRUCTION:
            accesses.append(step)
            continue
        if current is not None:
            yield reader.instruction(current, accesses)
        current, accesses = step, []
    if current is not None:
        yield reader.instruction(current, accesses)


class _CodeReader:
    def __init__(self, machine: Machine) -> None:
        from capstone import CS_ARCH_X86, CS_MODE_32, Cs  # slow, and few runs need it

        self._machine = machine
        self._disassembler: Cs = Cs(CS_ARCH_X86, CS_MODE_32)
        self._texts: dict[tuple[int, bytes], str] = {}
        self._last_place = ""

    def instruction(self, step: Step, accesses: list[Step]) -> Instruction:
        place = self._place(step.address)
        shown = "" if place == self._last_place else self._machine.image.location(step.address)
        self._last_place = place
        return Instruction(step.address, self._text(step), shown, tuple(accesses))

    def _place(self, address: int) -> str:
        function, line = self._machine.image.function_at(address), self._machine.image.source_line(address)
        return f"{function[0].name if function else ''} {line}"

    def _text(self, step: Step) -> str:
        code = self._machine.read_linear(step.address, step.size)
        key = (step.address, code)
        if key not in self._texts:
            found: list[Any] = list(self._disassembler.disasm_lite(code, step.address))
            text = " ".join(found[0][2:]).strip() if found else "(bad)"
            self._texts[key] = text
        return self._texts[key]


def instruction_lines(instructions: Iterable[Instruction], style: Style) -> Iterator[str]:
    """Return a line for each instruction, and one more for each further access."""
    for each in instructions:
        first, *others = [access_text(step) for step in each.accesses] or [""]
        head = f"{_MARGIN}0x{each.address:08x}  {each.text:{_TEXT_WIDTH}}"
        line = f"{head} {first:{_ACCESS_WIDTH}} {printable(each.place)}".rstrip()
        yield style.paint(line, DIM)
        for text in others:
            yield style.paint(f"{'':{len(head)}} {text}", DIM)


def access_text(step: Step) -> str:
    """Return ``[0x0010b0f4] -> 0x00000080`` for a load, with ``<-`` for a store."""
    arrow = "->" if step.kind is StepKind.LOAD else "<-"
    return f"[0x{step.address:08x}] {arrow} 0x{step.value & (1 << 8 * step.size) - 1:0{step.size * _DIGITS}x}"
