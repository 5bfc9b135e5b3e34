"""What one writes with the unicorn package alone to see a kernel's allocator calls; runs as a process of its own.

Usage: unicorn_script.py KERNEL JOB, where JOB is JSON: {"functions": [[name, words of arguments]...], "exits":
[address...], "command_line": ...}. Prints JSON: calls, frames, exit_value, seconds (of the emulation alone).
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_HOOK_INSN, UC_MODE_32, Uc
from unicorn.x86_const import (
    UC_X86_INS_IN,
    UC_X86_INS_OUT,
    UC_X86_REG_EAX,
    UC_X86_REG_EBP,
    UC_X86_REG_EBX,
    UC_X86_REG_ESP,
)

MEMORY = 16 << 20
INFO, COMMAND_LINE = 0x9000, 0x9100
HAS_MEMORY, HAS_COMMAND_LINE = 1, 4
MAGIC = 0x2BADB002
EXIT_PORT, LINE_STATUS, READY = 0xF4, 0x3FD, 0x60
FRAMES_MAX = 64


class Tracer:
    """Keeps entry and exit of each call: arguments, result, call stack."""

    def __init__(self, uc: Uc, job: dict[str, Any], symbols: dict[str, int]) -> None:
        self.uc = uc
        self.calls: list[tuple[Any, ...]] = []
        self.open: dict[int, int] = {}
        self.results: dict[int, int] = {}
        self.exit_value: int | None = None
        for name, words in job["functions"]:
            address = symbols[name]
            uc.hook_add(UC_HOOK_CODE, self.entered, (name, words), address, address)
        for address in job["exits"]:
            uc.hook_add(UC_HOOK_CODE, self.left, None, address, address)
        uc.hook_add(UC_HOOK_INSN, self.port_read, None, 1, 0, UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, self.port_write, None, 1, 0, UC_X86_INS_OUT)

    def entered(self, uc: Uc, _address: int, _size: int, function: tuple[str, int]) -> None:
        """Keep arguments and stack."""
        name, count = function
        esp = uc.reg_read(UC_X86_REG_ESP)
        words = struct.unpack(f"<{1 + count}I", uc.mem_read(esp, 4 * (1 + count)))
        frames = [words[0]]
        ebp = uc.reg_read(UC_X86_REG_EBP)
        while ebp and len(frames) < FRAMES_MAX:
            ebp, caller = struct.unpack("<II", uc.mem_read(ebp, 8))
            frames.append(caller)
        self.open[esp] = len(self.calls)
        self.calls.append((name, words[1:], tuple(frames)))

    def left(self, uc: Uc, _address: int, _size: int, _data: None) -> None:
        """Keep the result."""
        call = self.open.pop(uc.reg_read(UC_X86_REG_ESP), None)
        if call is not None:
            self.results[call] = uc.reg_read(UC_X86_REG_EAX)

    def port_read(self, _uc: Uc, port: int, _size: int, _data: None) -> int:
        """Say that the serial port is ready."""
        return READY if port == LINE_STATUS else 0

    def port_write(self, uc: Uc, port: int, _size: int, value: int, _data: None) -> None:
        """End the run at the exit port."""
        if port == EXIT_PORT:
            self.exit_value = value
            uc.emu_stop()


def load(uc: Uc, path: str, command_line: str) -> tuple[int, dict[str, int]]:
    """Put the kernel into memory as a boot loader does; return its entry and its symbols."""
    with open(path, "rb") as file:  # noqa: PTH123 - pyelftools reads from it
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            uc.mem_write(segment["p_paddr"], segment.data())
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            sys.exit(f"{path}: no symbol table")
        symbols = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
        entry = elf["e_entry"]
    flags = HAS_MEMORY | HAS_COMMAND_LINE
    uc.mem_write(INFO, struct.pack("<5I", flags, 639, MEMORY // 1024 - 1024, 0, COMMAND_LINE))
    uc.mem_write(COMMAND_LINE, b"kernel " + command_line.encode() + b"\0")
    uc.reg_write(UC_X86_REG_EAX, MAGIC)
    uc.reg_write(UC_X86_REG_EBX, INFO)
    return entry, symbols


def main() -> None:
    """Run the program."""
    path, job = sys.argv[1], json.loads(sys.argv[2])
    uc = Uc(UC_ARCH_X86, UC_MODE_32)
    uc.mem_map(0, MEMORY)
    entry, symbols = load(uc, path, job["command_line"])
    tracer = Tracer(uc, job, symbols)
    started = time.process_time()
    uc.emu_start(entry, 0)
    seconds = time.process_time() - started
    frames = sum(len(call[-1]) for call in tracer.calls)
    facts = {"calls": len(tracer.calls), "results": len(tracer.results), "frames": frames}
    print(json.dumps(facts | {"exit_value": tracer.exit_value, "seconds": seconds}))


if __name__ == "__main__":
    main()
