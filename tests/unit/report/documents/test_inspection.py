from __future__ import annotations

import json

from emulator.hle.inspection import inspect_image
from emulator.loader.image import KernelImage
from emulator.report.documents.inspection import inspection_document
from tests.unit.report.text.test_inspection import KERNEL, MULTIBOOT_2


def test_the_document_for_programs() -> None:
    document = json.loads(
        json.dumps(inspection_document(inspect_image(KernelImage(KERNEL, "k.elf"), "k.elf")))
    )
    assert document["segments"][1] == {
        "physical": 0x200000,
        "virtual": 0x80200000,
        "size": 8192,
        "file_size": 0,
        "flags": ["W", "R"],
    }
    assert document["multiboot"] == {"offset": 0x74, "flags": 3}
    assert document["end"] == 0x80202000
    assert document["layers"]["memmap"]["available"] is False
    assert document["layers"]["memmap"]["missing"][0] == "memmap_init"


def test_the_header_of_multiboot_2_has_a_version_and_tags() -> None:
    document = inspection_document(inspect_image(KernelImage(MULTIBOOT_2, "k.bin"), "k.bin"))
    assert document["multiboot"] == {"version": 2, "offset": 0, "tags": [2, 3]}
