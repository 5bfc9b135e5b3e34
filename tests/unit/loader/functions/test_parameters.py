"""Where parameters are at a function's first instruction: as compilers put them there, and as their debug information says it."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from elftools.elf.elffile import ELFFile

from emulator.loader.functions.locations import InRegister, IsConstant, Location, NotKnown, OnStack
from emulator.loader.functions.parameters import parameter_locations
from emulator.loader.image import KernelImage
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOURCE: Final = """
#define APART __attribute__((noinline))
__asm__(".globl mcount\\n.type mcount, @function\\nmcount: push %eax\\npush %ecx\\npush %edx\\ncall *hook\\npop %edx\\npop %ecx\\npop %eax\\nret\\n.size mcount, . - mcount");
void (*volatile hook)(void);
char memory[4096];
unsigned top, other;
void *volatile kept;
APART void *take(unsigned size, int fill)
{
    char *block = memory + top;
    if (top + size > sizeof memory)
        return 0;
    top += size;
    if (fill)
        *block = 0;
    return block;
}
APART static void *local(unsigned size, unsigned unused, unsigned known, unsigned last)
{
    top += known;
    return (char *)take(size + last, 1) + last;
}
APART static void *wide(unsigned long long flags, unsigned size) { top += flags >> 40; return take(size, (int)flags); }
APART static void *narrow(unsigned char size, unsigned short count) { return take(size * count, 1); }
APART void *unused(unsigned zone, unsigned size) { return take(size, 0); }
struct pair { unsigned low, high; };
APART struct pair two(unsigned size) { struct pair both = {size, top}; return both; }
APART void *many(unsigned size, ...) { return take(size, 1); }
APART static void drop(void *block) { if (block) top--; }
void _start(void)
{
    for (;;) {
        kept = local(top, other, 7, other);
        kept = local(other, top, 7, 3);
        kept = wide((unsigned long long)other << 32 | top, top);
        kept = narrow(top, other);
        kept = unused(top, other);
        other = two(top).low;
        kept = many(top, 1, 2);
        drop(kept);
    }
}
"""
COUNTS: Final = {"take": 2, "local": 4, "wide": 2, "narrow": 2, "unused": 2, "two": 1, "many": 3, "drop": 1}
EAX, ECX, EDX = map(InRegister, ("eax", "ecx", "edx"))
S4, S8, S12, S16 = map(OnStack, (4, 8, 12, 16))
REMOVED: Final = NotKnown("the compiler removed it")
NO_PLACE: Final = NotKnown("its debug information has no place for it")
UNREAD: Final = NotKnown("no debug information, and the function does not read it")
Locations = dict[str, tuple[Location, ...]]
BY_CONVENTION: Final[Locations] = {
    "take": (S4, S8),
    "unused": (S4, S8),
    "two": (S8,),
    "many": (S4, S8, S12),
}
ALL_ON_STACK: Final[Locations] = BY_CONVENTION | {
    "local": (S4, S8, S12, S16),
    "wide": (S4, S12),
    "narrow": (S4, S8),
    "drop": (S4,),
}
GCC_CHOOSES: Final[Locations] = BY_CONVENTION | {
    "local": (EAX, REMOVED, IsConstant(7), EDX),
    "wide": (EAX, ECX),
    "narrow": (EAX, EDX),
    "drop": (EAX,),
}
CLANG_CHOOSES: Final[Locations] = BY_CONVENTION | {
    "unused": (NO_PLACE, S8),
    "local": (ECX, NO_PLACE, IsConstant(7), EDX),
    "wide": (ECX, S4),
    "narrow": (ECX, EDX),
    "drop": (ECX,),
}
REGPARM: Final[Locations] = {
    "take": (EAX, EDX),
    "unused": (EAX, EDX),
    "two": (EDX,),
    "many": (S4, S8, S12),
    "local": (EAX, EDX, ECX, S4),
    "wide": (EAX, ECX),
    "narrow": (EAX, EDX),
    "drop": (EAX,),
}


def found_in(image: KernelImage) -> Locations:
    """The locations of all parameters; copies go by the names of their origins."""
    return {
        name.partition(".")[0]: parameter_locations(image, symbol.address, COUNTS[name.partition(".")[0]])
        for name, symbol in image.symbols.items()
        if name.partition(".")[0] in COUNTS
    }


def compiled(folder: Path, compiler: str, options: Sequence[str]) -> KernelImage:
    return KernelImage.read(compile_kernel(folder, SOURCE, options, compiler))


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_gcc_chooses_registers_for_local_functions_and_copies(tmp_path: Path, version: int) -> None:
    assert found_in(compiled(tmp_path, "gcc", ["-g", f"-gdwarf-{version}"])) == GCC_CHOOSES


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_clang_chooses_others(tmp_path: Path, version: int) -> None:
    assert found_in(compiled(tmp_path, "clang", ["-g", f"-gdwarf-{version}"])) == CLANG_CHOOSES


@pytest.mark.parametrize("frame", [(), ("-fomit-frame-pointer",), ("-mstackrealign",)])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_without_optimization_all_are_on_the_stack(
    tmp_path: Path, compiler: str, frame: tuple[str, ...]
) -> None:
    assert found_in(compiled(tmp_path, compiler, ["-g", "-O0", *frame])) == ALL_ON_STACK


@pytest.mark.parametrize("frame", [(), ("-fomit-frame-pointer",), ("-pg",)])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_registers_that_are_copied_to_the_frame_are_known(
    tmp_path: Path, compiler: str, frame: tuple[str, ...]
) -> None:
    """The debug information names words of the frame, which are not written yet at the first instruction."""
    assert found_in(compiled(tmp_path, compiler, ["-g", "-O0", "-mregparm=3", *frame])) == REGPARM


def test_without_debug_information_the_code_says_what_is_on_the_stack(tmp_path: Path) -> None:
    found = found_in(compiled(tmp_path, "gcc", ["-O0"]))
    assert found["local"] == (S4, UNREAD, S12, S16)
    assert found["take"] == (S4, S8)
    assert found["unused"] == (UNREAD, S8)


def test_without_debug_information_a_hidden_argument_is_not_taken_for_another(tmp_path: Path) -> None:
    """A function that returns a structure gets the address for it first, and takes that from the stack."""
    found = found_in(compiled(tmp_path, "gcc", ["-O0"]))
    assert found["two"] == (
        NotKnown("no debug information, and the function takes 4 bytes of arguments from the stack"),
    )


def test_without_debug_information_parameters_of_two_words_shift_those_after_them(tmp_path: Path) -> None:
    found = found_in(compiled(tmp_path, "gcc", ["-O0"]))
    shifted = NotKnown("no debug information, and the function reads more words than it has parameters")
    assert found["wide"] == (S4, shifted)


def test_without_debug_information_a_function_may_pop_all_its_arguments(tmp_path: Path) -> None:
    source = "__attribute__((stdcall)) int f(int a, int b) { return a - b; } void _start(void) {}"
    image = KernelImage.read(compile_kernel(tmp_path, source))
    address = image.symbols["f"].address
    assert parameter_locations(image, address, 2) == (S4, S8)
    assert all(isinstance(each, NotKnown) for each in parameter_locations(image, address, 1))


def test_without_debug_information_registers_are_no_arguments_that_can_be_told_apart(tmp_path: Path) -> None:
    found = found_in(compiled(tmp_path, "gcc", []))
    assert (
        found["narrow"]
        == (NotKnown("no debug information, and the function gets arguments in EAX and EDX"),) * 2
    )
    assert (
        found["local"]
        == (NotKnown("no debug information, and the compiler changed the function's parameters"),) * 4
    )
    assert found["unused"] == (UNREAD, S8)


def test_a_register_that_a_parameter_may_be_in_is_proposed(tmp_path: Path) -> None:
    source = """
    __attribute__((fastcall)) int f(int a) { return a + 1; }
    void _start(void) {}
    """
    image = KernelImage.read(compile_kernel(tmp_path, source))
    (found,) = parameter_locations(image, image.symbols["f"].address, 1)
    assert found == NotKnown("no debug information, and the function gets arguments in ECX", "ecx")


CHECKED = (
    *("-O2", "-fsanitize=kernel-address", "-mllvm", "-asan-mapping-offset=0xd0000000"),
    *("-mllvm", "-asan-instrumentation-with-call-threshold=0", "-Wl,--unresolved-symbols=ignore-all"),
)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("options", [("-O1",), ("-O2",), ("-Os",), CHECKED], ids=lambda each: each[-1])
def test_what_is_changed_at_once_is_where_it_is_computed_from(
    tmp_path: Path, options: tuple[str, ...], version: int
) -> None:
    """Clang says at the first instruction, or after the prologue, what `n` is after `n--`, and has no place for that."""
    source = """
    unsigned char used[64];
    __attribute__((noinline)) void give(unsigned char *p, unsigned n)
    {
        unsigned i = (unsigned)(p - used) / 4096;
        while (n--)
            used[i++] = 0;
    }
    __attribute__((noinline)) unsigned scaled(unsigned a, unsigned n) { n = n * 3 + a; used[a] = n; return n; }
    void _start(void) { give(used, 1); scaled(1, 2); }
    """
    flags = ["-g", f"-gdwarf-{version}", *options, "-fno-builtin"]
    image = KernelImage.read(compile_kernel(tmp_path, source, flags, "clang"))
    for name in ("give", "scaled"):
        assert parameter_locations(image, image.symbols[name].address, 2) == (S4, S8)


def test_clang_does_not_pass_what_nobody_reads(tmp_path: Path) -> None:
    """Callers in the same file leave out the argument, though other files may call the function, too."""
    source = SOURCE.replace("take(size, 0); }", "take(8, 0); }")
    for compiler, expected in (("gcc", S8), ("clang", NO_PLACE)):
        image = KernelImage.read(compile_kernel(tmp_path, source, ["-g"], compiler))
        assert parameter_locations(image, image.symbols["unused"].address, 2)[1] == expected


def split(folder: Path, compiler: str) -> Path:
    """A kernel of which most debug information is in the file ``kernel.dwo`` beside it."""
    (folder / "kernel.c").write_text(SOURCE)
    options = "-m32 -march=i686 -O2 -std=gnu11 -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none -w -g -gdwarf-5 -gsplit-dwarf"
    for command in (
        [compiler, *options.split(), "-c", "kernel.c"],
        ["ld", "-m", "elf_i386", "-Ttext=0x100000", "--no-warn-rwx-segments", "-o", "kernel.elf", "kernel.o"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder / "kernel.elf"


def package(folder: Path) -> None:
    """Make a package of all debug information of a kernel: here of one unit."""
    with (folder / "kernel.dwo").open("rb") as stream:
        file: Any = ELFFile(stream)
        sizes = {
            number: file.get_section_by_name(f".debug_{name}.dwo").data_size
            for name, number in (("info", 1), ("abbrev", 3), ("loclists", 5), ("str_offsets", 6))
        }
        signature = file.get_section_by_name(".debug_info.dwo").data()[12:20]
    words = [*sizes, *[0] * len(sizes), *sizes.values()]
    index = (
        struct.pack("<4I8x", 5, len(sizes), 1, 2) + signature + struct.pack(f"<2I{len(words)}I", 0, 1, *words)
    )
    (folder / "index").write_bytes(index)
    command = ["objcopy", "--add-section", ".debug_cu_index=index", "kernel.dwo", "kernel.elf.dwp"]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize(("compiler", "expected"), [("gcc", GCC_CHOOSES), ("clang", CLANG_CHOOSES)])
def test_debug_information_is_found_beside_the_kernel(
    tmp_path: Path, compiler: str, expected: Locations
) -> None:
    kernel = split(tmp_path, compiler)
    assert found_in(KernelImage.read(kernel)) == expected
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("kernel.elf", "kernel.dwo"):
        (tmp_path / name).rename(moved / name)
    assert found_in(KernelImage.read(moved / "kernel.elf")) == expected
    package(moved)
    (moved / "kernel.dwo").unlink()
    assert found_in(KernelImage.read(moved / "kernel.elf")) == expected


def test_debug_information_of_another_build_is_not_used(tmp_path: Path) -> None:
    kernel = split(tmp_path, "gcc")
    dwo = tmp_path / "kernel.dwo"
    data = dwo.read_bytes()
    with dwo.open("rb") as stream:
        section: Any = ELFFile(stream).get_section_by_name(".debug_info.dwo")
    at = section["sh_offset"] + 12  # the number that the skeleton has, too
    dwo.write_bytes(data[:at] + b"\0" * 8 + data[at + 8 :])
    assert (
        found_in(KernelImage.read(kernel))["narrow"]
        == (NotKnown("no debug information, and the function gets arguments in EAX and EDX"),) * 2
    )


def test_compressed_debug_information_is_read(tmp_path: Path) -> None:
    image = compiled(tmp_path, "clang", ["-g", "-gz=zlib"])
    take = image.symbols["take"].address
    line, row = image.source_line(take), image.unwind_table.find(take)
    assert line is not None
    assert line.file.endswith("kernel.c")
    assert row is not None
    assert row.cfa_offset == 4
    assert found_in(image) == CLANG_CHOOSES


def test_a_stripped_kernel_has_its_symbols_in_another_file_and_its_unwind_rules_itself(
    tmp_path: Path,
) -> None:
    kernel = compile_kernel(tmp_path, SOURCE, ["-g"])
    whole = KernelImage.read(kernel)
    symbols, stripped = tmp_path / "symbols.elf", tmp_path / "stripped.elf"
    for option, output in (("--only-keep-debug", symbols), ("--strip-all", stripped)):
        command = ["objcopy", option, str(kernel), str(output)]
        subprocess.run(command, check=True)
    image = KernelImage.read(stripped, symbols=str(symbols))
    assert found_in(image) == GCC_CHOOSES
    assert image.unwind_table.rows == whole.unwind_table.rows
    assert len(image.unwind_table)


def test_parameters_that_are_not_declared_are_not_known(tmp_path: Path) -> None:
    image = compiled(tmp_path, "gcc", ["-g"])
    found = parameter_locations(image, image.symbols["take"].address, 3)
    assert found[2] == NotKnown("the function has only 2 parameters")


def test_damaged_debug_information_says_nothing(tmp_path: Path) -> None:
    path = compile_kernel(tmp_path, SOURCE, ["-g", "-mregparm=3"])
    data = bytearray(path.read_bytes())
    with path.open("rb") as stream:
        section: Any = ELFFile(stream).get_section_by_name(".debug_info")
    for position in range(section["sh_offset"], section["sh_offset"] + section["sh_size"], 7):
        data[position] ^= 0xFF
    found = found_in(KernelImage(bytes(data), "damaged"))
    assert (
        found["take"]
        == (NotKnown("no debug information, and the function gets arguments in EAX and EDX"),) * 2
    )


def test_damaged_references_lead_nowhere(tmp_path: Path) -> None:
    """Each function is its own next one."""
    path = compile_kernel(tmp_path, SOURCE, ["-g", "-gdwarf-4"])
    data = bytearray(path.read_bytes())
    with path.open("rb") as stream:
        file: Any = ELFFile(stream)
        section = file.get_section_by_name(".debug_info")
        unit = next(file.get_dwarf_info().iter_CUs())
        functions = [entry for entry in unit.iter_DIEs() if entry.tag == "DW_TAG_subprogram"]
    for entry in functions:
        sibling = entry.attributes.get("DW_AT_sibling")
        if sibling is not None:
            at = section["sh_offset"] + sibling.offset
            data[at : at + 4] = (entry.offset - unit.cu_offset).to_bytes(4, "little")
    assert bytes(data) != path.read_bytes()
    assert found_in(KernelImage(bytes(data), "damaged")) == GCC_CHOOSES
