from __future__ import annotations

import json

from emulator.report.documents.campaign import campaign_document
from tests.unit.report.text.test_campaign import CAMPAIGN, MAIN


def test_the_document() -> None:
    document = campaign_document(CAMPAIGN, "k.elf", "Mine")
    assert json.loads(json.dumps(document)) == document
    assert (document["kernel"], document["profile"]) == ("k.elf", "Mine")
    assert document["good_run"] == {
        "ending": "exit",
        "exit_value": 0,
        "instructions": 5000,
        "allocations": 5,
    }
    assert document["counts"] == {
        "survives": 1,
        "reports": 1,
        "dies": 2,
        "hangs": 1,
        "unknown": 0,
        "accesses null": 0,
    }
    assert len(document["failures"]) == 5
    assert document["failures"][2] == {
        "allocation": 3,
        "call": 6,
        "function": "kmalloc",
        "arguments": [24],
        "result": 0,
        "stack": [
            {
                "address": 0x100100,
                "function": "open",
                "offset": 0x10,
                "file": "kernel/a.c",
                "line": 3,
                "inlined": False,
            },
            MAIN._asdict(),
        ],
        "verdict": "dies",
        "ending": "#UD invalid opcode",
        "place": "use+0x5 (kernel/a.c:8)",
        "null_access": None,
    }
    assert document["failures"][1]["place"] is None
