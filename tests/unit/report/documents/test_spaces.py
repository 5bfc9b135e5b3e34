from __future__ import annotations

import json

from emulator.report.documents.spaces import spaces_document
from tests.unit.report.text.test_spaces import SPACES


def test_all_address_spaces() -> None:
    document = json.loads(json.dumps(spaces_document(SPACES)))
    assert (document["gone"], document["others"], document["cut"]) == (2, True, True)
    first, second = document["spaces"]
    assert second == {
        "page_directory": 0x220000,
        "name": None,
        "in_use": False,
        "ranges": [],
        "tables": [0x220000],
        "recursive": [],
        "bad_entries": [],
    }
    assert (first["name"], first["in_use"], first["recursive"]) == ("task 1", True, [0xFFC00000])
    assert first["bad_entries"] == [
        {"start": 0x800000, "end": 0xC00000, "at": 0x210008, "entry": 0xFFFFF001, "problem": "outside"}
    ]
    text, heap, stack, screen, nothing = first["ranges"]
    assert text == {
        "start": 0x400000,
        "end": 0x402000,
        "name": "TEXT",
        "writable": False,
        "user": True,
        "no_execute": False,
        "page_size": 4096,
        "backing": "ram",
        "physical": [{"start": 0x200000, "end": 0x202000}],
        "direct_map": False,
        "shared": 8192,
        "elsewhere": [{"space": 1, "start": 0x400000}, {"space": None, "start": 0x90000000}],
    }
    assert heap["physical"] == [{"start": 0x300000, "end": 0x301000}, {"start": 0x305000, "end": 0x307000}]
    assert (stack["backing"], stack["user"], stack["writable"], stack["page_size"]) == (
        "unmapped",
        None,
        None,
        None,
    )
    assert (screen["backing"], nothing["backing"]) == ("device", "nothing")
    (common,) = document["common"]
    assert (common["direct_map"], common["no_execute"], common["page_size"]) == (True, True, 4 << 20)
