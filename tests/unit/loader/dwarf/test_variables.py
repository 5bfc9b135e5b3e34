from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.loader.builtin import resolve
from emulator.loader.dwarf.c_types import Encoding, part_at
from emulator.loader.dwarf.units import Units
from emulator.loader.dwarf.variables import Variables
from emulator.loader.image import KernelImage
from tests.helpers.guest import assemble

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
struct pair { signed char low; unsigned short high; };
typedef const struct pair pairs_t[2][3];
enum colour { RED, GREEN };
union both { unsigned word; unsigned char bytes[4]; };
extern int declared[];
int declared[5];
volatile pairs_t table = {{{1, 2}}};
enum colour paint = GREEN;
union both mixed;
float ratio = 1;
void *pointer;
int _start(void) { static unsigned inside; return (int)++inside + declared[0] + mixed.bytes[0] + !pointer; }
"""


@pytest.fixture(scope="module", params=[2, 4, 5])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    folder: Path = tmp_path_factory.mktemp("variables")
    (folder / "k.c").write_text(SOURCE)
    flags = f"-m32 -g -gdwarf-{request.param} -ffreestanding -fno-pic -no-pie -nostdlib -static -Wl,--build-id=none"
    done = subprocess.run(
        [shutil.which("gcc") or "gcc", *flags.split(), "-o", folder / "k.elf", folder / "k.c"], check=False
    )
    assert done.returncode == 0
    return KernelImage.read(folder / "k.elf")


@pytest.mark.parametrize(
    ("name", "offset", "steps", "size", "encoding"),
    [
        ("table", 4 * 4 + 2, (1, 1, "high"), 2, Encoding.UNSIGNED),
        ("table", 0, (0, 0, "low"), 1, Encoding.SIGNED),
        ("declared", 9, (2,), 4, Encoding.SIGNED),
        ("paint", 0, (), 4, Encoding.UNSIGNED),
        ("mixed", 0, ("word",), 4, Encoding.UNSIGNED),
        ("ratio", 0, (), 4, Encoding.BYTES),
        ("pointer", 0, (), 4, Encoding.POINTER),
        ("inside", 0, (), 4, Encoding.UNSIGNED),
    ],
)
def test_a_variable_has_the_parts_of_its_type(
    image: KernelImage, name: str, offset: int, steps: tuple[str | int, ...], size: int, encoding: Encoding
) -> None:
    symbol = next(each for each in image.symbols.values() if each.name.split(".")[0] == name)
    variable = Variables(image.units).at(symbol.address)
    assert variable is not None
    assert variable.name == name
    assert variable.type.size == symbol.size
    part = part_at(variable.type, offset)
    assert (part.steps, part.type.size, part.type.encoding) == (steps, size, encoding)


def test_an_address_inside_a_variable_is_none_of_its_own(image: KernelImage) -> None:
    symbol = image.symbols["table"]
    assert Variables(image.units).at(symbol.address + 1) is None


def test_a_kernel_without_debug_information_has_no_variables() -> None:
    image = assemble(".data\n.globl word\nword: .long 1\n.text")
    assert Variables(image.units).at(image.symbols["word"].address) is None


def test_nothing_has_no_variables() -> None:
    assert Variables(Units({}, "")).at(0) is None


@pytest.mark.parametrize("step", range(0, 60, 7))
def test_damaged_debug_information_is_no_error(step: int) -> None:
    image = KernelImage.read(resolve("firmware:overflow"))
    symbols = [each for each in image.symbols.values() if each.kind == "object"]
    data = bytearray(image.data)
    start = data.index(b"GNU C11") - 20_000 if b"GNU C11" in data else len(data) // 2
    for offset in range(start + step, len(data), 61):
        data[offset] ^= 0xA5
    variables = Variables(KernelImage(bytes(data), "k.elf").units)
    for symbol in symbols:
        variables.at(symbol.address)
