from __future__ import annotations

import json
from typing import TYPE_CHECKING

from emulator.loader.builtin import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    (tmp_path / "k.bin").write_bytes(b"\x90" * 64)
    raw = str(tmp_path / "k.bin")
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
    assert done.out.startswith(f"{raw}: raw image, 64 B\n")
    assert "layer heap    can run native" in done.out
