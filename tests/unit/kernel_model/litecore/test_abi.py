"""The C face: words in, words out, and what the symbols are for."""

from __future__ import annotations

import pytest

from kernel_model.abi import MissingSymbols
from kernel_model.audit import Location, LocationKind
from kernel_model.litecore.abi import LiteCore
from kernel_model.litecore.boot import BootSettings
from kernel_model.memory import ByteMemory
from kernel_model.text import location_text

NAMES = ("memmap_lock", "heap_start", "heap_end", "heap_free_list", "heap_error_count", "heap_lock", "memmap")
SYMBOLS = {name: 0x100000 + 4 * index for index, name in enumerate(NAMES)} | {"__end": 0x100200}


@pytest.fixture
def console() -> list[str]:
    return []


@pytest.fixture
def litecore(console: list[str]) -> LiteCore:
    litecore = LiteCore(ByteMemory(0x100000, 0x400000), SYMBOLS, console.append)
    litecore.memory_init(BootSettings())
    return litecore


def call(litecore: LiteCore, name: str, *arguments: int) -> int:
    function = litecore.functions[name]
    assert len(arguments) == function.argument_count
    return function.call(*arguments)


def text_at(litecore: LiteCore, address: int) -> str | None:
    location = litecore.locate(address)
    return None if location is None else location_text(location)


def test_every_call_of_the_specification_is_there(litecore: LiteCore) -> None:
    by_layer = {(each.layer, name) for name, each in litecore.functions.items()}
    frames = "memmap_init alloc_frame alloc_frames free_frame free_frames memmap_reserve memmap_get memmap_free_count"
    assert by_layer == {
        *(("memmap", name) for name in frames.split()),
        *(("heap", name) for name in ("mem_init", "kmalloc", "kfree", "mem_has_space")),
    }


def test_signatures_agree_with_name_argument_count_and_result(litecore: LiteCore) -> None:
    for name, function in litecore.functions.items():
        head, _, parameters = function.signature.partition("(")
        count = 0 if parameters == "void)" else parameters.count(",") + 1
        assert (head.split()[-1].lstrip("*"), count) == (name, function.argument_count)
        kinds = {"void": "void", "uint32_t": "u32", "int": "int", "bool": "bool"}
        kind = "pointer" if "*" in head else kinds[head.split()[0]]
        assert function.result == kind


def test_failures_are_minus_one_and_frame_none(litecore: LiteCore) -> None:
    assert call(litecore, "alloc_frames", 0) == 0xFFFFFFFF
    assert call(litecore, "free_frame", 3) == 0xFFFFFFFF
    assert call(litecore, "free_frames", 0x100, 0) == 0xFFFFFFFF
    call(litecore, "memmap_reserve", 0, 0xFFFFFFFF)
    assert call(litecore, "alloc_frame") == 0xFFFFFFFF


def test_void_calls_give_0(litecore: LiteCore) -> None:
    assert call(litecore, "memmap_init", 0x100000, 0x500000) == 0
    assert call(litecore, "memmap_reserve", 0x100000, 0x200000) == 0
    assert call(litecore, "mem_init", 0x110000, 0x120000) == 0
    assert call(litecore, "kfree", 0) == 0


def test_the_struct_is_at_its_symbol(litecore: LiteCore) -> None:
    assert call(litecore, "memmap_get") == SYMBOLS["memmap"]


def test_kfree_reports_to_the_console(litecore: LiteCore, console: list[str]) -> None:
    assert call(litecore, "kfree", 0x10A008) == 0
    assert console == ["kfree: not allocated: 0x0010a008\n"]


def test_missing_symbols_are_all_named() -> None:
    partial = {name: address for name, address in SYMBOLS.items() if name not in {"heap_lock", "__end"}}
    with pytest.raises(MissingSymbols, match=r"^symbols not found: heap_lock, __end$") as error:
        LiteCore(ByteMemory(0, 16), partial, print)
    assert error.value.names == ("heap_lock", "__end")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (SYMBOLS["memmap"], "memmap.start_addr"),
        (SYMBOLS["memmap"] + 19, "memmap.bitmap"),
        (SYMBOLS["heap_free_list"] + 3, "heap_free_list"),
        (SYMBOLS["heap_lock"], "heap_lock"),
        (0x10020C, "bitmap byte 12 (frames 352..359)"),
        (0x10027F, "bitmap byte 127 (frames 1272..1279)"),
        (0x101000, "heap block 0x00101000 .size"),
        (0x101007, "heap block 0x00101000 .used"),
        (0x101008, "heap block 0x00101000 body byte 0"),
        (0x101020, "heap block 0x00101000 body byte 24"),
        (0x101030, "heap block 0x00101028 .next"),
        (0x110FFF, "heap block 0x00101028 body byte 65487"),
        (0x111000, None),
        (0x1FF, None),
    ],
)
def test_an_address_has_a_location(litecore: LiteCore, address: int, text: str | None) -> None:
    assert call(litecore, "kmalloc", 32) == 0x101008
    assert text_at(litecore, address) == text


def test_a_location_is_of_the_whole_member_or_body(litecore: LiteCore) -> None:
    assert call(litecore, "kmalloc", 32) == 0x101008
    block = (LocationKind.BLOCK, "heap")
    assert litecore.locate(0x101002) == Location(*block, 0x101000, 0x101004, item=0x101000, field="size")
    assert litecore.locate(0x101027) == Location(*block, 0x101008, 0x101028, item=0x101000, byte=31)
    assert litecore.locate(0x101040) == Location(*block, 0x101034, 0x111000, item=0x101028, byte=16)
    variable = (LocationKind.VARIABLE, "memmap", SYMBOLS["memmap"] + 4, SYMBOLS["memmap"] + 8)
    assert litecore.locate(SYMBOLS["memmap"] + 5) == Location(*variable, field="end_addr")


@pytest.mark.parametrize(
    ("size", "end", "text"),
    [
        (1, 0x10020D, "bitmap byte 12 (frames 352..359)"),
        (2, 0x10020E, "bitmap bytes 12..13 (frames 352..367)"),
    ],
)
def test_several_bytes_of_a_bitmap_have_one_location(
    litecore: LiteCore, size: int, end: int, text: str
) -> None:
    location = litecore.locate(0x10020C, size)
    assert location is not None
    assert (location.start, location.end, location.byte, location_text(location)) == (0x10020C, end, 12, text)


def test_the_last_byte_of_a_bitmap_names_managed_frames_only(litecore: LiteCore) -> None:
    call(litecore, "memmap_init", 0x100000, 0x10B000)
    assert text_at(litecore, 0x100201) == "bitmap byte 1 (frames 264..266)"


def test_an_address_after_a_broken_header_has_a_location() -> None:
    memory = ByteMemory(0x100000, 0x400000)
    broken = LiteCore(memory, SYMBOLS, print)
    broken.memory_init(BootSettings())
    memory.store_u32(0x101000, 5)
    assert text_at(broken, 0x101010) == "heap byte 0x00101010, behind a broken header"
