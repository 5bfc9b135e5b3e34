"""A file with symbols belongs to the kernel's build, or is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BadImage
from emulator.loader.image import KernelImage
from emulator.loader.layout import LoadOptions
from tests.helpers import c_kernel

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
int count;
__attribute__((noinline)) int add(int value) { return count += value; }
__attribute__((noinline)) int twice(int value) { return add(value) + VALUE; }
void _start(void) { twice(1); for (;;); }
"""
FORMS = {"whole": [], "debug information only": ["--only-keep-debug"]}


@pytest.fixture(autouse=True)
def keeps_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    script = c_kernel.LINKER_SCRIPT.replace("*(.note*)", "").replace(
        ".rodata :", ".note.gnu.build-id : { *(.note.gnu.build-id) }\n    .rodata :"
    )
    monkeypatch.setattr(c_kernel, "LINKER_SCRIPT", script)


def build(folder: Path, value: str, options: list[str]) -> Path:
    folder.mkdir()
    return c_kernel.compile_kernel(folder, SOURCE.replace("VALUE", value), ["-g", "-O1", *options])


def converted(kernel: Path, *options: str) -> Path:
    output = kernel.with_name("converted" + "".join(options))
    subprocess.run(["objcopy", *options, kernel, output], check=True)  # noqa: S607 - from the path, as gcc
    return output


def read(kernel: Path, symbols: Path) -> KernelImage:
    return KernelImage.read(converted(kernel, "--strip-all"), symbols=str(symbols))


def refused(text: str) -> str:
    return rf"has the symbols of another build than converted--strip-all: {text}$"


@pytest.mark.parametrize("build_id", ["-Wl,--build-id", "-Wl,--build-id=none"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_those_of_the_same_build(tmp_path: Path, form: list[str], build_id: str) -> None:
    kernel = build(tmp_path / "one", "1", [build_id])
    assert "twice" in read(kernel, converted(kernel, *form)).symbols


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_build_id_decides(tmp_path: Path, form: list[str]) -> None:
    kernel, other = (build(tmp_path / value, value, ["-Wl,--build-id"]) for value in ("1", "2"))
    with pytest.raises(
        BadImage, match=refused(r"its build ID is [0-9a-f]{12}\.\.\., that of the kernel [0-9a-f]{12}\.\.\.")
    ):
        read(kernel, converted(other, *form))


def test_without_one_the_code_does(tmp_path: Path) -> None:
    kernel, other = (build(tmp_path / value, value, ["-Wl,--build-id=none"]) for value in ("1", "2"))
    with pytest.raises(BadImage, match=refused(r"the code differs at \w+\+0x[0-9a-f]+ \(.*kernel.c:\d\)")):
        read(kernel, other)
    longer = build(tmp_path / "3", "count * count * value * 77", ["-Wl,--build-id=none"])
    for form in FORMS.values():
        with pytest.raises(
            BadImage, match=refused(r"(the kernel has no \.text at .*|the code differs at .*)")
        ):
            read(kernel, converted(longer, *form))


def test_a_raw_image(tmp_path: Path) -> None:
    kernel, other = (build(tmp_path / value, value, ["-Wl,--build-id=none"]) for value in ("1", "2"))
    whole = KernelImage.read(kernel)
    raw = converted(kernel, "-O", "binary")
    options = LoadOptions(load=whole.start, entry=whole.entry)
    assert "twice" in KernelImage.read(raw, options, str(kernel)).symbols
    with pytest.raises(BadImage, match="has the symbols of another build"):
        KernelImage.read(raw, options, str(other))
