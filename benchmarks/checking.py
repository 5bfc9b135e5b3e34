"""What a whole check takes."""

from __future__ import annotations

from measure import Row, at_most, cpu_seconds, kmemu, medians

RUNS = 5


def check() -> Row:
    """`kmemu check` of stress, against `kmemu boot` of it; CPU time of whole processes."""
    return _row("check", "check of stress: 2.5 M calls recorded and checked", 1.5)


def check_sanitized() -> Row:
    """The same with each access checked."""
    return _row("check-sanitized", "check of stress with each access checked", 1.6, "--sanitize")


def _row(name: str, what: str, limit: float, *options: str) -> Row:
    boot, checked = kmemu("boot", "firmware:stress"), kmemu("check", "firmware:stress", *options)
    boot_s, check_s = medians(RUNS, lambda: cpu_seconds(boot, 0), lambda: cpu_seconds(checked, 0))
    ratio = check_s / boot_s
    return Row(
        name=name,
        what=what,
        measured=f"{check_s:.2f} s",
        peer=f"boot {boot_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, limit, f"ratio <= {limit}"),
    )
