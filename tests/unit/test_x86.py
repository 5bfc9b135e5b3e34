"""The numbers of the CPU agree with their other homes."""

import re
from pathlib import Path

from emulator import x86
from emulator.x86 import Cr0, Eflags, Vector
from kernel_model.btron.pmem import PAGE_BYTES

EMULATOR = Path(x86.__file__).parent


def test_the_theory_has_the_same_page_size() -> None:
    assert PAGE_BYTES == x86.PAGE_SIZE


def test_bits_are_where_the_manual_has_them() -> None:
    assert (Eflags.IF, Eflags.DF, Eflags.VM, Cr0.PG) == (0x200, 0x400, 0x20000, 0x8000_0000)


def test_every_exception_has_a_name() -> None:
    vectors = {value for name, value in vars(Vector).items() if name.isupper()}
    assert set(x86.EXCEPTION_NAMES) == vectors


def test_nobody_else_names_a_number_of_the_cpu() -> None:
    again = re.compile(r"^_?(PAGE_SIZE|WORD(_SIZE|_MAX|_MASK)?|IF|PAGE_FAULT)\b.*= *[0-9]", re.MULTILINE)
    files = [path for path in EMULATOR.rglob("*.py") if path.name != "x86.py"]
    assert not [path.name for path in files if again.search(path.read_text())]
