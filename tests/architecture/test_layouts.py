"""The models repeat offsets of the C code; here they are compared with what the compiler made of it."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from emulator.loader.builtin import resolve
from kernel_model import frames, structs
from kernel_model.litecore import abi, boot
from kernel_model.litecore.symbols import LAYER_SYMBOLS
from tests.helpers.kernels import BTRON, LITECORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.structs import StructLayout

Die = Any

PAGED = "paging_demo"
"""The kernel that is linked with LiteCore's virtual memory."""


@pytest.fixture(params=LITECORE)
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def elf(kernel: str) -> Any:  # noqa: ANN401 - the types of elftools are only half there
    return ELFFile(io.BytesIO(Path(resolve(f"firmware:{kernel}")).read_bytes()))


def dies(kernel: str, tag: str) -> Iterator[Die]:
    for unit in elf(kernel).get_dwarf_info().iter_CUs():
        yield from (die for die in unit.iter_DIEs() if die.tag == tag)


def attribute(die: Die, name: str) -> Any:  # noqa: ANN401 - a number or a name
    found = die.attributes.get(name)
    value = None if found is None else found.value
    return value.decode() if isinstance(value, bytes) else value


def struct_of(kernel: str, name: str) -> Die:
    """Return the DIE of ``struct name``, or of the struct that ``typedef ... name`` names."""
    for die in dies(kernel, "DW_TAG_structure_type"):
        if attribute(die, "DW_AT_name") == name:
            return die
    for die in dies(kernel, "DW_TAG_typedef"):
        if attribute(die, "DW_AT_name") == name:
            return die.get_DIE_from_attribute("DW_AT_type")
    pytest.fail(f"{kernel}.elf describes no struct {name}")


def size_of(die: Die) -> int:
    """Size of a type in bytes; typedefs and qualifiers are resolved."""
    while "DW_AT_byte_size" not in die.attributes:
        die = die.get_DIE_from_attribute("DW_AT_type")
    return int(attribute(die, "DW_AT_byte_size"))


def members(die: Die) -> list[tuple[str, int, int]]:
    """Name, offset and size of each member."""
    return [
        (
            attribute(child, "DW_AT_name"),
            attribute(child, "DW_AT_data_member_location"),
            size_of(child.get_DIE_from_attribute("DW_AT_type")),
        )
        for child in die.iter_children()
        if child.tag == "DW_TAG_member"
    ]


@pytest.mark.parametrize(
    "layout", [structs.MEMMAP, structs.BLOCK_HEADER, structs.SPINLOCK], ids=lambda each: each.name
)
def test_structs_are_laid_out_as_the_compiler_has_it(layout: StructLayout, kernel: str) -> None:
    die = struct_of(kernel, layout.name)
    assert size_of(die) == layout.size
    assert members(die) == [(name, layout.offset(name), structs.WORD) for name in layout.fields]


def test_the_record_of_a_range_is_laid_out_as_the_compiler_has_it() -> None:
    die = struct_of(PAGED, "vspace_range")
    layout = structs.VSPACE_RANGE
    assert size_of(die) == layout.size
    assert members(die) == [(name, layout.offset(name), structs.WORD) for name in layout.fields]


@pytest.mark.parametrize(
    "layout",
    [
        *(structs.PMEM_ENTRY, structs.BOOT_RANGE, structs.KMEM_ENTRY, structs.KMEM_EXTENT, structs.TCB),
        *(structs.POOL_MPL, structs.POOL_MPF, structs.MPL_BLOCK),
        *(structs.T_CMPL, structs.T_RMPL, structs.T_CMPF, structs.T_RMPF),
        *(structs.REGION, structs.T_REGION),
    ],
    ids=lambda each: each.name,
)
@pytest.mark.parametrize("name", BTRON)
def test_structs_of_btron_are_laid_out_as_the_compiler_has_it(layout: StructLayout, name: str) -> None:
    die = struct_of(name, layout.name)
    assert size_of(die) == layout.size
    words = [member for member in members(die) if member[1] < size_of(die)]  # body[0] takes no room
    assert words == [(name, layout.offset(name), structs.WORD) for name in layout.fields]


@pytest.mark.parametrize("name", BTRON)
def test_a_space_is_laid_out_as_the_compiler_has_it(name: str) -> None:
    die = struct_of(name, "space")
    assert size_of(die) == structs.SPACE_BYTES
    member, regions = [child for child in die.iter_children() if child.tag == "DW_TAG_member"]
    assert (attribute(member, "DW_AT_name"), attribute(member, "DW_AT_data_member_location")) == (
        "directory",
        0,
    )
    assert attribute(regions, "DW_AT_name") == "regions"
    assert attribute(regions, "DW_AT_data_member_location") == structs.WORD
    array = regions.get_DIE_from_attribute("DW_AT_type")
    assert size_of(array.get_DIE_from_attribute("DW_AT_type")) == structs.REGION.size
    (bound,) = array.iter_children()
    assert attribute(bound, "DW_AT_upper_bound") == structs.SPACE_REGIONS - 1


def test_a_free_block_is_a_header_with_one_word_after_it() -> None:
    header = len(structs.BLOCK_HEADER.fields)
    assert structs.FREE_BLOCK.fields[:header] == structs.BLOCK_HEADER.fields
    assert structs.FREE_BLOCK.offset("next") == structs.BLOCK_HEADER.size


DATA = {
    "memmap": structs.MEMMAP.size,
    "memmap_lock": structs.SPINLOCK.size,
    "heap_start": 4,
    "heap_end": 4,
    "heap_free_list": 4,
    "heap_error_count": 4,
    "heap_lock": structs.SPINLOCK.size,
    "memory_window_start": 4,
    "memory_window_end": 4,
    "heap_bytes": 4,
}
PAGED_DATA = {
    "page_directory": 4,
    "paging_lock": structs.SPINLOCK.size,
    "vspace_start": 4,
    "vspace_end": 4,
    "vspace_ranges": 4,
    "vspace_error_count": 4,
    "vspace_lock": structs.SPINLOCK.size,
}
PAGED_FUNCTIONS = (
    *("paging_init", "map_page", "unmap_page", "virt_to_phys"),
    *("vspace_alloc", "vspace_free", "vmalloc", "vfree"),
)
FUNCTIONS = (
    *("memmap_init", "alloc_frame", "alloc_frames", "free_frame", "free_frames"),
    *("memmap_reserve", "memmap_get", "memmap_free_count"),
    *("mem_init", "kmalloc", "kfree", "mem_has_space", "memory_init", "kmain", "debug_exit"),
)


def symbol(kernel: str, name: str) -> Any:  # noqa: ANN401 - see `elf`
    found = elf(kernel).get_section_by_name(".symtab").get_symbol_by_name(name)
    assert found, f"{kernel}.elf has no symbol {name}"
    assert len(found) == 1, f"{kernel}.elf has {len(found)} symbols {name}"
    return found[0]


@pytest.mark.parametrize("name", DATA)
def test_global_data_has_symbols_with_sizes(name: str, kernel: str) -> None:
    entry = symbol(kernel, name).entry
    assert (entry.st_info.type, entry.st_info.bind) == ("STT_OBJECT", "STB_GLOBAL")
    assert entry.st_size == DATA[name]
    assert entry.st_value % 4 == 0


@pytest.mark.parametrize("name", PAGED_DATA)
def test_global_data_of_virtual_memory_has_symbols_with_sizes(name: str) -> None:
    entry = symbol(PAGED, name).entry
    assert (entry.st_info.type, entry.st_info.bind) == ("STT_OBJECT", "STB_GLOBAL")
    assert entry.st_size == PAGED_DATA[name]
    assert entry.st_value % 4 == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_symbols_with_sizes(name: str, kernel: str) -> None:
    entry = symbol(kernel, name).entry
    assert (entry.st_info.type, entry.st_info.bind) == ("STT_FUNC", "STB_GLOBAL")
    assert entry.st_size > 0


def test_the_symbols_that_the_models_need_are_there(kernel: str) -> None:
    paged = elf(kernel).get_section_by_name(".symtab").get_symbol_by_name("page_directory")
    for layer, names in LAYER_SYMBOLS.items():
        if paged or layer in {"memmap", "heap"}:
            for name in names:
                assert name in {*DATA, *PAGED_DATA, "__end"}
                symbol(kernel, name)


def test_end_is_the_first_byte_after_bss(kernel: str) -> None:
    bss = elf(kernel).get_section_by_name(".bss")
    assert symbol(kernel, "__end").entry.st_value == bss["sh_addr"] + bss["sh_size"]
    last = max(segment["p_paddr"] + segment["p_memsz"] for segment in elf(kernel).iter_segments("PT_LOAD"))
    assert symbol(kernel, "__end").entry.st_value == last


def test_the_image_begins_where_the_specification_says(kernel: str) -> None:
    assert min(segment["p_paddr"] for segment in elf(kernel).iter_segments("PT_LOAD")) == boot.IMAGE_START


def test_boot_settings_of_model_and_kernel_are_the_same(kernel: str) -> None:
    section = elf(kernel).get_section_by_name(".data")
    defaults = {}
    for name in boot.BootSettings._fields:
        offset = symbol(kernel, name).entry.st_value - section["sh_addr"]
        defaults[name] = int.from_bytes(section.data()[offset : offset + 4], "little")
    assert defaults == boot.BootSettings()._asdict()


@pytest.mark.parametrize(
    ("name", "value"), [("MEM_TYPE_HEAP", abi.MEM_TYPE_HEAP), ("MEM_TYPE_FRAME", abi.MEM_TYPE_FRAME)]
)
def test_enumerators_of_model_and_kernel_are_the_same(name: str, value: int) -> None:
    values = {
        attribute(die, "DW_AT_const_value")
        for die in dies("demo", "DW_TAG_enumerator")
        if attribute(die, "DW_AT_name") == name
    }
    assert values == {value}


def test_the_frame_is_4_kib() -> None:
    assert frames.FRAME_BYTES == 4096


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FUNCTIONS
        if name
        in {
            "memmap_init",
            "alloc_frame",
            "alloc_frames",
            "free_frame",
            "free_frames",
            "memmap_reserve",
            "memmap_get",
            "memmap_free_count",
            "mem_init",
            "kmalloc",
            "kfree",
            "mem_has_space",
        }
    ]
    + [*PAGED_FUNCTIONS],
)
def test_signatures_of_the_model_have_as_many_arguments_as_the_functions(name: str) -> None:
    from kernel_model.memory import ByteMemory

    addresses = {each: 16 * index for index, each in enumerate([*DATA, *PAGED_DATA, "__end"])}
    function = abi.LiteCore(ByteMemory(0, 4096), addresses, print).functions[name]
    (definition,) = [
        die
        for die in dies(PAGED, "DW_TAG_subprogram")
        if attribute(die, "DW_AT_name") == name and "DW_AT_low_pc" in die.attributes
    ]
    parameters = [child for child in definition.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    assert len(parameters) == function.argument_count
    assert all(size_of(parameter.get_DIE_from_attribute("DW_AT_type")) == 4 for parameter in parameters)
    returns = "DW_AT_type" in definition.attributes
    assert returns == (function.result != "void")
