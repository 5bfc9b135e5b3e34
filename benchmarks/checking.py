"""What a whole check takes."""

from __future__ import annotations

from measure import Row, at_most, cpu_seconds, kmemu, medians

RUNS = 5


def check() -> Row:
    """`kmemu check` of stress, against `kmemu boot` of it; CPU time of whole processes."""
    boot, checked = kmemu("boot", "firmware:stress"), kmemu("check", "firmware:stress")
    boot_s, check_s = medians(RUNS, lambda: cpu_seconds(boot, 0), lambda: cpu_seconds(checked, 0))
    ratio = check_s / boot_s
    return Row(
        name="check",
        what="check of stress: 2.5 M calls recorded and checked",
        measured=f"{check_s:.2f} s",
        peer=f"boot {boot_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, 1.5, "ratio <= 1.5"),
    )
