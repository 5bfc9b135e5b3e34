"""The registers that a client sees, and the description of the target that names them.

Source: "Debugging with GDB", G.2 (Target Description Format), G.5.4 (i386 Features); Intel SDM vol. 3A, 2.5 (control registers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.machine.machine import Machine

_BYTE_BITS: Final = 8
WRITABLE: Final = frozenset("eax ecx edx ebx esp ebp esi edi eip eflags".split())  # noqa: SIM905 - a list of names


class Register(NamedTuple):
    """A register as a client sees it.

    Attributes:
        name: Its name, for the client and in `emulator.machine.core.core_types.Registers`.
        size: Bytes.
        type: For the client.
        group: That the client shows it with; "": its own choice.
    """

    name: str
    size: int
    type: str
    group: str = ""


def _words(names: str, kind: str = "int32", group: str = "") -> tuple[Register, ...]:
    return tuple(Register(name, 4, kind, group) for name in names.split())


_CORE: Final = (
    *_words("eax ecx edx ebx"),
    *_words("esp ebp", "data_ptr"),
    *_words("esi edi"),
    *_words("eip", "code_ptr"),
    *_words("eflags", "i386_eflags"),
    *_words("cs ss ds es fs gs"),
    *(Register(f"st{number}", 10, "i387_ext") for number in range(8)),
    *_words("fctrl fstat ftag fiseg fioff foseg fooff fop", "int", "float"),
)
_SSE: Final = (
    *(Register(f"xmm{number}", 16, "vec128") for number in range(8)),
    *_words("mxcsr", "int", "vector"),
)
_SYSTEM: Final = (
    *_words("cr0", "i386_cr0", "system"),
    *_words("cr2", "data_ptr", "system"),
    *_words("cr3", "uint32", "system"),
    *_words("cr4", "i386_cr4", "system"),
    *_words("es_base cs_base ss_base ds_base fs_base gs_base", "data_ptr", "system"),
    *_words("gdt_base", "data_ptr", "system"),
    *_words("gdt_limit", "uint32", "system"),
    *_words("idt_base", "data_ptr", "system"),
    *_words("idt_limit", "uint32", "system"),
    *_words("ldtr", "uint32", "system"),
    *_words("ldt_base", "data_ptr", "system"),
    *_words("ldt_limit", "uint32", "system"),
    *_words("tr", "uint32", "system"),
    *_words("tr_base", "data_ptr", "system"),
    *_words("tr_limit", "uint32", "system"),
)
REGISTERS: Final = (*_CORE, *_SSE, *_SYSTEM)
"""All, by the client's numbers."""
NUMBERS: Final = {register.name: number for number, register in enumerate(REGISTERS)}

_FLAGS: Final[Mapping[str, Mapping[str, int]]] = {
    "i386_eflags": {
        "CF": 0,
        "": 1,
        "PF": 2,
        "AF": 4,
        "ZF": 6,
        "SF": 7,
        "TF": 8,
        "IF": 9,
        "DF": 10,
        "OF": 11,
        "NT": 14,
        "RF": 16,
        "VM": 17,
        "AC": 18,
        "VIF": 19,
        "VIP": 20,
        "ID": 21,
    },
    "i386_cr0": {
        "PE": 0,
        "MP": 1,
        "EM": 2,
        "TS": 3,
        "ET": 4,
        "NE": 5,
        "WP": 16,
        "AM": 18,
        "NW": 29,
        "CD": 30,
        "PG": 31,
    },
    "i386_cr4": {
        "VME": 0,
        "PVI": 1,
        "TSD": 2,
        "DE": 3,
        "PSE": 4,
        "PAE": 5,
        "MCE": 6,
        "PGE": 7,
        "PCE": 8,
        "OSFXSR": 9,
        "OSXMMEXCPT": 10,
    },
}
_LANES: Final = (
    ("v4_float", "ieee_single", 4),
    ("v2_double", "ieee_double", 2),
    ("v16_int8", "int8", 16),
    ("v8_int16", "int16", 8),
    ("v4_int32", "int32", 4),
    ("v2_int64", "int64", 2),
)
_VECTORS: Final = (
    *(f'<vector id="{name}" type="{kind}" count="{count}"/>' for name, kind, count in _LANES),
    '<union id="vec128">',
    *(f'<field name="{name}" type="{name}"/>' for name, _, _ in _LANES),
    '<field name="uint128" type="uint128"/>',
    "</union>",
)


def register_values(machine: Machine) -> dict[str, int]:
    """Return the registers of a machine that stands still, by the client's names."""
    fpu = machine.fpu_registers()
    values = machine.registers()._asdict()
    values |= {f"st{number}": value for number, value in enumerate(fpu.stack)}
    values |= {f"xmm{number}": value for number, value in enumerate(fpu.xmm)}
    names = "fctrl fstat ftag fiseg fioff foseg fooff fop mxcsr".split()  # noqa: SIM905 - a list of names
    return values | dict(zip(names, fpu, strict=False))


def register_bytes(register: Register, values: Mapping[str, int]) -> bytes:
    """Return a register in hexadecimal digits, little-endian; ``xx`` a byte where it is not known."""
    value = values.get(register.name)
    if value is None:
        return b"xx" * register.size
    return value.to_bytes(register.size, "little").hex().encode()


def all_bytes(values: Mapping[str, int]) -> bytes:
    """Return all registers, as `register_bytes` has each."""
    return b"".join(register_bytes(each, values) for each in REGISTERS)


def target_description() -> str:
    """Return the XML document that names the registers."""
    parts = (
        '<?xml version="1.0"?>',
        '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
        '<target version="1.0">',
        "<architecture>i386</architecture>",
        "<osabi>none</osabi>",
        _feature("org.gnu.gdb.i386.core", _CORE),
        _feature("org.gnu.gdb.i386.sse", _SSE, _VECTORS),
        _feature("org.kmemu.i386.system", _SYSTEM),
        "</target>",
    )
    return "\n".join(parts)


def _feature(name: str, registers: tuple[Register, ...], types: Iterable[str] = ()) -> str:
    flags = dict.fromkeys(each.type for each in registers if each.type in _FLAGS)
    lines = [*types, *map(_flags, flags), *map(_element, registers)]
    return "\n".join([f'<feature name="{name}">', *lines, "</feature>"])


def _flags(name: str) -> str:
    fields = []
    for field, bit in _FLAGS[name].items():
        fields.append(f'<field name="{field}" start="{bit}" end="{bit}"/>')
    return "\n".join([f'<flags id="{name}" size="4">', *fields, "</flags>"])


def _element(register: Register) -> str:
    group = f' group="{register.group}"' if register.group else ""
    bits = register.size * _BYTE_BITS
    return f'<reg name="{register.name}" bitsize="{bits}" type="{register.type}" regnum="{NUMBERS[register.name]}"{group}/>'
