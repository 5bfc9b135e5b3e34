from __future__ import annotations

import pytest

from emulator.debug.addresses import read_address
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage


@pytest.fixture(scope="module")
def image() -> KernelImage:
    return KernelImage.read(resolve("firmware:overflow"))


@pytest.mark.parametrize(
    ("text", "offset"),
    [("memmap", 0), ("&memmap", 0), (" memmap+8", 8), ("memmap + 0x10", 16)],
)
def test_symbols_may_have_an_offset(image: KernelImage, text: str, offset: int) -> None:
    assert read_address(text, image) == image.symbols["memmap"].address + offset


@pytest.mark.parametrize(("text", "address"), [("0x10A008", 0x10A008), ("4096", 4096), ("0X10+1", 17)])
def test_numbers_are_hexadecimal_or_decimal(image: KernelImage, text: str, address: int) -> None:
    assert read_address(text, image) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no address and no symbol of the kernel"),
        ("nothing", "'nothing' is no address and no symbol of the kernel"),
        ("-4", "'-4' is no address and no symbol of the kernel"),
        ("10a008", "'10a008' is no address and no symbol of the kernel"),
        ("memmap+x", "'x' is no number"),
        ("0x100000000", "0x100000000 is no 32-bit address"),
        ("0xffffffff+1", "0x100000000 is no 32-bit address"),
    ],
)
def test_anything_else_is_refused(image: KernelImage, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message.replace('+', '.')}$"):
        read_address(text, image)
