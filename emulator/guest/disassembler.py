"""Disassembles the code around an address, with source lines, and with the memory that the next instruction reads and writes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.guest.symbols import function_at
from emulator.loader.functions.disassembler import disassembler
from emulator.x86 import LONGEST_INSTRUCTION, WORD_MAX

if TYPE_CHECKING:
    from typing import Any

    from emulator.loader.dwarf.source_lines import SourceLine
    from emulator.loader.image import KernelImage
    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine

_BACK_MAX = 16384  # bytes that are decoded to find where instructions begin
_GAP_MAX = 64  # bytes between two functions
_SOURCE_SIZE_MAX = 4 << 20


class Operand(NamedTuple):
    """A memory operand of an instruction, as the registers stand.

    Attributes:
        text: The operand in assembly language: ``[ebp + 8]``.
        address: Linear address that it leads to.
        value: The *size* bytes there, as a number; None where nothing is mapped.
        size: Bytes that the instruction accesses.
    """

    text: str
    address: int
    value: int | None
    size: int


class CodeLine(NamedTuple):
    """One instruction, or, where *code* is empty, one source line before its instructions, or a byte of which nothing is known.

    Attributes:
        address: Address of the instruction in its code segment; of a source line, of its first instruction.
        code: Bytes of the instruction.
        text: The instruction, or the source line: its file and number, and its text where the file is at hand.
        is_next: Whether the machine executes this instruction next.
        operands: Memory operands of the next instruction; empty for others.
    """

    address: int
    code: bytes
    text: str
    is_next: bool = False
    operands: tuple[Operand, ...] = ()


def disassemble(machine: Machine, before: int, after: int, at: int | None = None) -> list[CodeLine]:
    """Return the code around EIP, or around an instruction that calls.

    Args:
        machine: The machine; it does not run.
        before: How many instructions to show before it, as far as its function goes.
        after: How many to show after it.
        at: Address of a byte of the call; None: EIP.
    """
    registers = machine.registers()
    eip = registers.eip if at is None else _around(machine, at)
    start = _function_start(machine.image, eip)
    base = registers.cs_base
    first = _decode(machine, start, eip, base)[-before:] if before else []
    if first and first[-1].address + first[-1].size != eip:
        first = []  # EIP is in the middle of what seems an instruction: only what follows is sure
    rest = _decode(machine, eip, eip + LONGEST_INSTRUCTION * (after + 1), base)[: after + 1]
    lines: list[CodeLine] = []
    last: SourceLine | None = None
    for instruction in (*first, *rest):
        line = machine.image.source_line(instruction.address)
        if line is not None and line != last:
            lines.append(CodeLine(instruction.address, b"", source_text(machine.image, line)))
        last = line
        is_next = instruction.address == eip
        operands = tuple(_operands(machine, registers, instruction)) if is_next and at is None else ()
        text = _text(machine.image, instruction)
        lines.append(CodeLine(instruction.address, bytes(instruction.bytes), text, is_next, operands))
    if not rest:
        code = machine.read_linear(eip + base & WORD_MAX, 1)
        lines.append(CodeLine(eip, code, "(no instruction)", is_next=True))
    return lines


def _around(machine: Machine, address: int) -> int:
    """Return where the instruction begins that has a byte; the byte itself where that is not known."""
    code = _decode(machine, _function_start(machine.image, address), address + 1, machine.registers().cs_base)
    last = code[-1] if code else None
    return int(last.address) if last is not None and address < last.address + last.size else address


def instruction_at(machine: Machine, eip: int, pc: int) -> str:
    """Return the instruction at EIP, whose linear address is *pc*, or "(no instruction)"."""
    found = _decode(machine, eip, eip + LONGEST_INSTRUCTION, pc - eip)
    return _text(machine.image, found[0]) if found else "(no instruction)"


def address_after(machine: Machine, pc: int) -> int:
    """Return the linear address after an instruction at another one; of what is no instruction, that of the next byte."""
    found = _decode(machine, pc, pc + LONGEST_INSTRUCTION, 0)
    return pc + (int(found[0].size) if found else 1) & WORD_MAX


def call_length(machine: Machine) -> int:
    """Return the bytes of the instruction at EIP if it is a call; 0: it is none."""
    from capstone import CS_GRP_CALL

    registers = machine.registers()
    found = _decode(machine, registers.eip, registers.eip + LONGEST_INSTRUCTION, registers.cs_base)
    return int(found[0].size) if found and found[0].group(CS_GRP_CALL) and found[0].mnemonic != "int" else 0


def instructions_around(machine: Machine, address: int, before: int, count: int) -> list[CodeLine]:
    """Return instructions in order of addresses.

    Args:
        machine: The machine; it does not run.
        address: Of an instruction, in the code segment.
        before: How many instructions from *address* the first one is, negative for those in front of it.
        count: How many to return.

    Returns:
        Where nothing is known, a line without `CodeLine.code` for each byte.
    """
    base = machine.registers().cs_base
    found: list[CodeLine] = []
    if before < 0:
        found = _instructions_before(machine, address, -before, base)
    here, wanted = address, before + count
    while len(found) < -before + max(wanted, 0):
        code = _decode(machine, here, here + LONGEST_INSTRUCTION, base)[:1]
        found += [_code_line(machine, each) for each in code] or [CodeLine(here & WORD_MAX, b"", "")]
        here = here + code[0].size if code else here + 1
    return found[max(before, 0) :][:count]


def _instructions_before(machine: Machine, address: int, count: int, base: int) -> list[CodeLine]:
    """Return as many instructions in front of one: those of its function, and of the functions before it, with what fills the gaps between them."""
    found: list[CodeLine] = []
    end = address
    while len(found) < count:
        start = _function_before(machine.image, end)
        code = _decode(machine, start, end, base) if end - _BACK_MAX <= start < end else []
        if not code or code[-1].address + code[-1].size != end:
            break
        found = [*(_code_line(machine, each) for each in code), *found]
        end = start
    missing = [CodeLine(end - each & WORD_MAX, b"", "") for each in range(count - len(found), 0, -1)]
    return [*missing, *found[max(0, len(found) - count) :]]


def _function_before(image: KernelImage, end: int) -> int:
    """Return where the nearest function begins that has bytes in front of an address, perhaps behind a gap; *end*: there is none."""
    for gap in range(1, _GAP_MAX + 1):
        extent = image.function_extent(end - gap)
        if extent is not None:
            return _as_written(image, extent.start, end)
    return end


def _as_written(image: KernelImage, linked: int, near: int) -> int:
    """Return a linked address as it is where code runs: near another address."""
    physical = image.physical(linked)
    return linked if abs(linked - near) <= abs(physical - near) else physical


def _code_line(machine: Machine, instruction: Any) -> CodeLine:
    return CodeLine(instruction.address, bytes(instruction.bytes), _text(machine.image, instruction))


def _text(image: KernelImage, instruction: Any) -> str:
    """Return an instruction; a direct call with the name of the function that it calls."""
    from capstone.x86 import X86_OP_IMM

    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    if instruction.mnemonic != "call" or instruction.operands[0].type != X86_OP_IMM:
        return text
    function = function_at(image, instruction.operands[0].imm & WORD_MAX)
    return text if function is None else f"{text} {function[0]}"


def source_text(image: KernelImage, line: SourceLine) -> str:
    """Return ``demo.c:31  text``; without the text where the source file is not at hand."""
    name = f"{Path(line.file).name}:{line.line}"
    lines = _source(line.file, str(Path(image.path).parent))
    text = lines[line.line - 1].strip() if 0 < line.line <= len(lines) else ""
    return f"{name}  {text}" if text else name


@cache
def _source(file: str, folder: str) -> tuple[str, ...]:
    """Return the lines of a source file; () if there is none.

    Args:
        file: The file as the compiler named it.
        folder: Where the kernel is: the file is searched for there, too.
    """
    for path in (Path(file), Path(folder, file), Path(folder, Path(file).name)):
        try:
            if path.is_file() and path.stat().st_size <= _SOURCE_SIZE_MAX:
                return tuple(path.read_text(encoding="utf-8", errors="replace").splitlines())
        except (OSError, ValueError):  # ValueError: a name with a null byte
            continue
    return ()


def _function_start(image: KernelImage, eip: int) -> int:
    function = function_at(image, eip)
    return eip if function is None or function[1] > _BACK_MAX else eip - function[1]


def instruction_text(code: bytes, address: int) -> str:
    """Return the instruction that some code begins with, in assembly language; "(bad)" if it is none.

    Args:
        code: Its bytes, and maybe more.
        address: Its address in its code segment.
    """
    found: list[Any] = list(disassembler().disasm_lite(code, address, 1))
    return " ".join(found[0][2:]).strip() if found else "(bad)"


def _decode(machine: Machine, start: int, end: int, base: int) -> list[Any]:
    """Return the instructions from *start* to *end*, addresses in a code segment that begins at *base*."""
    return list(
        disassembler(detail=True).disasm(machine.read_linear(start + base & WORD_MAX, end - start), start)
    )


def _operands(machine: Machine, registers: Registers, instruction: Any) -> list[Operand]:
    from capstone.x86 import X86_INS_LEA, X86_OP_MEM

    found = []
    for operand in instruction.operands:
        if operand.type != X86_OP_MEM or instruction.id == X86_INS_LEA:
            continue
        address = registers.operand_address(instruction, operand.mem)
        data = machine.read_linear(address, operand.size)
        value = int.from_bytes(data, "little") if data and len(data) == operand.size else None
        found.append(Operand(_operand_text(instruction, operand.mem), address, value, operand.size))
    return found


def _operand_text(instruction: Any, memory: Any) -> str:
    parts = [instruction.reg_name(memory.base)] if memory.base else []
    if memory.index:
        scale = f"*{memory.scale}" if memory.scale > 1 else ""
        parts.append(f"{instruction.reg_name(memory.index)}{scale}")
    text = " + ".join(parts)
    if memory.disp or not text:
        sign = " - " if memory.disp < 0 and text else " + " if text else ""
        text += f"{sign}0x{abs(memory.disp) if text else memory.disp & WORD_MAX:x}"
    return f"[{text}]"
