"""Measure everything and print one table.

Usage: run.py [--only NAME]... [--json]

Exit code: 0 all targets reached, 1 a target missed, 2 QEMU, gdb or another peer is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import against_qemu
import btron
import checking
import compiled_checks
import debugging
import in_process
import packages
import pages
import plugin
import polling
import sanitizing
import time_travel
import traces
import tracing
import virtual_memory
from measure import Benchmark, PeerMissingError, Row, progress

BENCHMARKS = (
    Benchmark("process", against_qemu.whole_process),
    Benchmark("emulation", against_qemu.emulation_time),
    Benchmark("interrupted", against_qemu.interrupted),
    Benchmark("recording", in_process.recording),
    Benchmark("recorded-vs-qemu", sanitizing.recorded),
    Benchmark("sanitized", sanitizing.sanitized),
    Benchmark("sanitized-btron", sanitizing.sanitized_tasks),
    Benchmark("memcheck", sanitizing.memcheck),
    Benchmark("memcheck-uninitialised", sanitizing.memcheck_uninitialised),
    Benchmark("kasan-gcc", compiled_checks.of_gcc),
    Benchmark("kasan-clang", compiled_checks.of_clang),
    Benchmark("trace-file", tracing.trace_file),
    Benchmark("trace-vs-gdb", tracing.trace_vs_gdb),
    Benchmark("trace-vs-unicorn", tracing.trace_vs_unicorn),
    Benchmark("gdb-stops", debugging.stops),
    Benchmark("gdb-conditions", debugging.conditions),
    Benchmark("gdb-backwards", debugging.backwards),
    Benchmark("who", time_travel.who),
    Benchmark("who-btron", time_travel.who_tasks),
    Benchmark("who-sanitized", time_travel.who_sanitized),
    Benchmark("who-uninitialised", time_travel.who_uninitialised),
    Benchmark("who-btron-sanitized", time_travel.who_tasks_sanitized),
    Benchmark("go-to", time_travel.go_to),
    Benchmark("go-to-btron", time_travel.go_to_tasks),
    Benchmark("go-to-sanitized", time_travel.go_to_sanitized),
    Benchmark("go-to-uninitialised", time_travel.go_to_uninitialised),
    Benchmark("go-to-btron-sanitized", time_travel.go_to_tasks_sanitized),
    Benchmark("step-back", time_travel.step_back),
    Benchmark("watch", time_travel.watch),
    Benchmark("watch-sanitized", time_travel.watch_sanitized),
    Benchmark("trace-open", traces.trace_open),
    Benchmark("report", traces.report),
    Benchmark("counting", in_process.counting),
    Benchmark("reset", in_process.snapshot_reset),
    Benchmark("resets", in_process.many_resets),
    Benchmark("check", checking.check),
    Benchmark("check-sanitized", checking.check_sanitized),
    Benchmark("exhaust", in_process.exhausting),
    Benchmark("pytest", plugin.thousand_tests),
    Benchmark("pairs", in_process.direct_pairs),
    Benchmark("guest-pairs", in_process.guest_pairs),
    Benchmark("window", in_process.large_window),
    Benchmark("map-page", pages.direct_pages),
    Benchmark("guest-map-page", pages.guest_pages),
    Benchmark("kmem-pairs", btron.kmem_pairs),
    Benchmark("pools-recorded", btron.pools_recorded),
    Benchmark("interrupts", btron.interrupts),
    Benchmark("ring-changes", btron.ring_changes),
    Benchmark("waiting-interrupt", btron.waiting_interrupt),
    Benchmark("vm-churn", virtual_memory.churn),
    Benchmark("page-faults", virtual_memory.page_faults),
    Benchmark("address-spaces", virtual_memory.address_spaces),
    Benchmark("ring-3", virtual_memory.ring_3),
    Benchmark("translations", virtual_memory.translations),
    Benchmark("polling", polling.polling),
    Benchmark("mach", packages.mach),
    Benchmark("invaders", packages.invaders),
)
HEADER = ("what", "measured", "peer", "ratio", "must reach", "verdict")


def measure_all(chosen: list[Benchmark]) -> list[Row]:
    """Measure one after the other; progress goes to standard error."""
    rows = []
    for benchmark in chosen:
        print(f"{benchmark.name} ...", file=sys.stderr)
        rows.append(benchmark.measure())
        progress("")
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows with aligned columns, and the notes below."""
    lines = [HEADER]
    for row in rows:
        verdict = "reached" if row.target.reached else "MISSED"
        lines.append((row.what, row.measured, row.peer, f"{row.ratio:.3g}", row.target.text, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    notes = [f"({note})" for row in rows for note in row.notes]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *notes])


def main() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description="Measure the emulator against its peers.")
    parser.add_argument("--only", action="append", choices=[each.name for each in BENCHMARKS], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    chosen = [each for each in BENCHMARKS if not arguments.only or each.name in arguments.only]
    try:
        rows = measure_all(chosen)
    except PeerMissingError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        json.dumps([asdict(row) | {"target": row.target._asdict()} for row in rows], indent=2)
        if arguments.json
        else table(rows)
    )
    return 0 if all(row.target.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
