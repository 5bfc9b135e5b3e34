from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from emulator.loader.builtin import resolve
from emulator.wording import human_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Done


def test_a_built_in_kernel(kmemu: Callable[..., Done]) -> None:
    done = kmemu("inspect", "firmware:demo")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("firmware:demo: ELF32 executable for i386, ")
    assert "\nmultiboot     header at file offset 0x1000, flags 0x00000003 (PAGE_ALIGN,\n" in done.out


def test_json(kmemu: Callable[..., Done]) -> None:
    done = kmemu("inspect", "firmware:demo", "--json")
    document = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (document["version"], document["kernel"]) == (1, "firmware:demo")
    assert document["layers"]["heap"] == {"available": True, "missing": []}


def test_a_file_that_is_no_kernel(kmemu: Callable[..., Done]) -> None:
    done = kmemu("inspect", "/dev/null")
    assert done == (3, "", "kmemu: /dev/null: cannot be read: it is not a regular file\n")


def test_a_raw_image_with_the_symbols_of_another_file(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    raw = str(tmp_path / "k.bin")
    subprocess.run(["objcopy", "-O", "binary", resolve("firmware:demo"), raw], check=True)  # noqa: S607 - from the path, as gcc
    done = kmemu(
        "inspect",
        raw,
        "--load",
        "0x100000",
        "--entry",
        "0x100010",
        "--symbols",
        str(resolve("firmware:demo")),
    )
    assert done.status == 0
    assert done.out.startswith(f"{raw}: raw image, {human_size(Path(raw).stat().st_size)}\n")
    assert "layer heap    can run native" in done.out


class TestPageDirectory:
    @pytest.fixture
    def image(self, kmemu: Callable[..., Done], tmp_path: Path) -> str:
        path = str(tmp_path / "ram.core")
        assert kmemu("boot", "firmware:btron_demo", "--save-ram", path).status == 0
        return path

    def test_the_one_in_cr3(self, kmemu: Callable[..., Done], image: str) -> None:
        done = kmemu("inspect", image, "--page-directory")
        assert (done.status, done.err) == (0, "")
        assert "\nAddress space, in CR3: page directory 0x" in done.out
        assert "\n  0x80000000-0x800a0000 0x00000000   640 KiB s rw pages of 4 MiB\n" in done.out
        assert "384 KiB s rw not in the image, pages of 4 MiB\n" in done.out
        assert done.out.endswith(" is a directory\n")

    def test_another_as_json(self, kmemu: Callable[..., Done], image: str) -> None:
        used = json.loads(kmemu("inspect", image, "--page-directory", "--json").out)
        assert (used["version"], used["image"], used["nx"]) == (1, image, False)
        assert used["address_space"]["page_directory"] == used["cr3"]
        assert used["tables"] == [{"frame": used["cr3"], "start": None}]
        other = json.loads(kmemu("inspect", image, "--page-directory", "0x200000", "--json").out)
        assert (other["address_space"]["ranges"], other["address_space"]["in_use"]) == ([], False)

    def test_what_is_no_directory(self, kmemu: Callable[..., Done], image: str) -> None:
        done = kmemu("inspect", image, "--page-directory", "0x110004")
        assert done == (2, "", "kmemu: 0x00110004 is no page directory: it is not a multiple of 4096\n")
        done = kmemu("inspect", image, "--page-directory", "0x900000")
        assert done == (2, "", f"kmemu: 0x00900000 is no page directory: {image} has no RAM there\n")

    def test_what_is_no_image(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("inspect", "/etc/passwd", "--page-directory")
        problem = "no RAM image, as kmemu boot --save-ram writes it: no ELF file of a little-endian machine"
        assert done == (3, "", f"kmemu: /etc/passwd: {problem}\n")

    def test_a_built_in_kernel_is_no_image(self, kmemu: Callable[..., Done]) -> None:
        done = kmemu("inspect", "firmware:demo", "--page-directory")
        problem = (
            "is a kernel, and --page-directory reads an image of RAM, as kmemu boot --save-ram writes it"
        )
        assert done == (2, "", f"kmemu: firmware:demo {problem}\n")

    def test_options_of_kernels_are_refused(self, kmemu: Callable[..., Done], image: str) -> None:
        done = kmemu("inspect", image, "--page-directory", "--load", "0x100000")
        assert done.status == 2
        assert done.err == (
            "kmemu: --load says how a kernel is read, and --page-directory reads an image of RAM\n"
        )
