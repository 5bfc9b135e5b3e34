"""What a whole check takes."""

from __future__ import annotations

from measure import Row, at_most, kmemu, medians, process_seconds

RUNS = 5


def check() -> Row:
    """`kmemu check` of stress, against `kmemu boot` of it; whole processes."""
    boot, checked = kmemu("boot", "firmware:stress"), kmemu("check", "firmware:stress")
    boot_s, check_s = medians(RUNS, lambda: process_seconds(boot, 0), lambda: process_seconds(checked, 0))
    ratio = check_s / boot_s
    return Row(
        name="check",
        what="check of stress: 2.5 M calls recorded and checked",
        measured=f"{check_s:.2f} s",
        peer=f"boot {boot_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 1.5, "ratio <= 1.5"),
    )
