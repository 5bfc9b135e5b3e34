from __future__ import annotations

import json

from emulator.errors import BadImage
from emulator.guest.memory_map.memory_map import MemoryMap
from emulator.report.documents.run import run_document
from emulator.report.run_record import RunRecord
from emulator.run.ending import Ending, How
from tests.unit.report.examples import RAM, REGIONS, defect, frames, heap


def test_a_run() -> None:
    record = RunRecord(
        "firmware:demo",
        Ending(How.EXIT, 0, 0x101234, instructions=99),
        RAM,
        0.5,
        {"heap": "model"},
        b"hi\xff\n",
        b"debug",
        b"second",
        ("screen",),
        MemoryMap(
            RAM,
            REGIONS[:1],
            frames(0x100, "###."),
            heap(refused=2),
            ("a note",),
            reserved=3,
            defects=(defect("bad"),),
        ),
        "LiteCore",
    )
    document = json.loads(json.dumps(run_document(record, 1)))
    assert document == {
        "version": 1,
        "kernel": "firmware:demo",
        "status": 1,
        "outcome": "exit",
        "exit_value": 0,
        "exit_code": 1,
        "eip": 0x101234,
        "location": None,
        "backtrace": [],
        "activity": None,
        "instructions": 99,
        "seconds": 0.5,
        "error": None,
        "console": {"serial": "hi\ufffd\n", "serial2": "second", "debug": "debug"},
        "screen": ["screen"],
        "graphics": None,
        "screenshot": None,
        "findings": None,
        "profile": "LiteCore",
        "layers": {"heap": "model"},
        "lockstep": None,
        "ram": {"start": 0x100000, "end": 0x140000},
        "address_spaces": None,
        "regions": [
            {"start": 0x100000, "end": 0x102800, "kind": "image"},
            {"start": 0x102800, "end": 0x103000, "kind": "allocated"},
            {"start": 0x103000, "end": 0x104000, "kind": "free"},
            {"start": 0x104000, "end": 0x140000, "kind": "unmanaged"},
        ],
        "frames": {
            "total": 4,
            "used": 3,
            "free": 1,
            "allocated": 0,
            "largest_free_run": 1,
            "fragmentation": 0.0,
        },
        "heap": {
            "start": 0x103000,
            "end": 0x105000,
            "used": 4592,
            "free": 3576,
            "largest_free": 3576,
            "fragmentation": 0.0,
            "blocks": [
                {"header": 0x103000, "size": 4088, "used": True},
                {"header": 0x104000, "size": 504, "used": True},
                {"header": 0x104200, "size": 3576, "used": False},
            ],
            "refused_frees": 2,
            "defects": ["bad"],
        },
        "pages": None,
        "kmem": None,
        "pools": None,
        "defects": ["bad"],
        "notes": ["a note"],
        "lacks": [],
    }


def test_a_kernel_that_was_not_run() -> None:
    document = run_document(RunRecord("k.elf", Ending(How.NOT_RUN, error=BadImage("k.elf", "no"))), 3)
    assert document["outcome"] == "not run"
    assert document["error"] == {"kind": "BadImage", "message": "k.elf: no"}
    assert (document["ram"], document["regions"], document["frames"], document["heap"]) == (
        None,
        [],
        None,
        None,
    )
