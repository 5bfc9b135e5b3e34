"""Results of checks to compare, judge and write down."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from emulator.check.check_report import CheckReport
from emulator.check.findings import BlockHistory, CallSite, FaultingWrite, Finding, Kind
from emulator.check.measures import AreaMeasures, CallerMeasures
from emulator.guest.symbolizer import Frame
from emulator.run.ending import Ending, How

KMAIN = Frame(0x101042, "kmain", 0x42, "demo.c", 31)
SERVE = Frame(0x101142, "serve", 0x12, "/repo/src/serve it.c", 62)
LIBRARY = Frame(0x102000, "memset", 0x10, "/usr/lib/string.c", 7)
START = Frame(0x100020, "start", 0x20)
HOSTILE = Frame(0x101042, "f\x1b[2J\n::error::,]]>&<\ufffe", 0, "a:b,c%\r\n<é>.c", 3)

ALLOCATED = CallSite(1, 2, "kmalloc", (KMAIN, START))
FREED = CallSite(2, 3, "kfree", (SERVE, START))
BLOCK = BlockHistory(0x200008, 24, ALLOCATED, FREED)
DOUBLE_FREE = Finding(
    Kind.DOUBLE_FREE,
    "heap",
    "double free of 0x00200008 (24 bytes)",
    CallSite(3, 5, "kfree", (START, KMAIN)),
    BLOCK,
    hex_dump=(">0x00200008: aa bb",),
    details=("it was freed twice",),
)
LEAK = Finding(
    Kind.LEAK, "heap", "leak of 0x00200108 (40 bytes)", None, BlockHistory(0x200108, 40, ALLOCATED, None)
)
CORRUPTION = Finding(
    Kind.CORRUPTION,
    "heap",
    "a header is damaged",
    CallSite(4, 8, "kmalloc", (KMAIN,)),
    BLOCK,
    FaultingWrite(0x102000, "mov dword ptr [eax], 1", 6, 0xA0, 1, 0x200020, (LIBRARY, SERVE, START)),
)
DIED = Finding(Kind.DIED, "", "page fault at 0x00000000", None)
HOSTILE_FINDING = Finding(
    Kind.INVALID_FREE, "heap", "bad\x00\nfree ]]>", CallSite(5, 9, "kfree", (HOSTILE,)), details=("\x1b]0;x",)
)

HEAP = AreaMeasures(
    peak_bytes=4096,
    peak_blocks=3,
    end_bytes=64,
    end_blocks=2,
    calls=10,
    failed=1,
    lost_bytes=40,
    lost_blocks=1,
    fragmentation=0.25,
    peak=ALLOCATED,
    callers={"kmain": CallerMeasures(7, 4000, 40), "serve.part.0": CallerMeasures(3, 96, 24)},
)
FRAMES = replace(HEAP, peak_bytes=0, fragmentation=0.0, lost_bytes=0, lost_blocks=0, peak=None, callers={})
ENDING = Ending(How.EXIT, 0)


def report(*findings: Finding, **changes: object) -> CheckReport:
    """Return a check of a kernel with a heap and frames."""
    measures = {"heap": HEAP, "frames": FRAMES}
    usual = CheckReport("build/demo.elf", ENDING, 20, 10, findings, measures, 0.25, profile="LiteCore")
    return usual._replace(**changes)  # type: ignore[arg-type]


def with_heap(checked: CheckReport, **changes: object) -> CheckReport:
    """Return a check with another heap."""
    areas = dict(checked.measures)
    areas["heap"] = replace(areas["heap"], **changes)  # type: ignore[arg-type]
    return checked._replace(measures=areas)


# Names in a kernel file are decoded without surrogates; the file's own name need not be.
_TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x00\x1b\n\r:,%<&]>\uffff\u2028"), max_size=12
)
_WORD = st.integers(0, 0xFFFF_FFFF)
_FRAMES = st.builds(Frame, _WORD, _TEXT, _WORD, _TEXT, st.integers(0, 1 << 31))
_STACKS = st.lists(_FRAMES, max_size=3).map(tuple)
_CALL_SITES = st.builds(CallSite, _WORD, _WORD, _TEXT, _STACKS)
_LINES = st.lists(_TEXT, max_size=2).map(tuple)
FINDINGS = st.builds(
    Finding,
    st.sampled_from(Kind),
    _TEXT,
    _TEXT,
    st.none() | _CALL_SITES,
    st.none() | st.builds(BlockHistory, _WORD, _WORD, _CALL_SITES, st.none() | _CALL_SITES),
    st.none() | st.builds(FaultingWrite, _WORD, _TEXT, _WORD, _WORD, _WORD, _WORD, _STACKS),
    _LINES,
    _LINES,
)
"""Any finding, with names of any kind."""

_COUNT = st.integers(0, 1 << 40)
_AREAS = st.builds(
    AreaMeasures,
    peak_bytes=_COUNT,
    peak_blocks=_COUNT,
    end_bytes=_COUNT,
    end_blocks=_COUNT,
    calls=_COUNT,
    failed=_COUNT,
    lost_bytes=_COUNT,
    lost_blocks=_COUNT,
    fragmentation=st.floats(0, 1),
    peak=st.none() | _CALL_SITES,
    callers=st.dictionaries(_TEXT, st.builds(CallerMeasures, _COUNT, _COUNT, _COUNT), max_size=3),
)
REPORTS = st.builds(
    CheckReport,
    kernel=_TEXT | st.just("build/\udcff\ud800.elf"),
    ending=st.builds(Ending, st.sampled_from(How), st.none() | _WORD, location=_TEXT),
    events=_WORD,
    calls=_WORD,
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    measures=st.dictionaries(st.text("abc_-0", min_size=1, max_size=4), _AREAS, max_size=3),
    seconds=st.floats(0, 1e6),
)
"""Any check."""
