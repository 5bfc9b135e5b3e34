"""Compares what a run took with limits from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from emulator.check.findings import Kind
from emulator.errors import UnknownName
from emulator.verdict.difference import Difference, Importance
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from emulator.check.measures import AreaMeasures

ALL_AREAS: Final = ""
"""Stands for all areas together in `Limits.leaked`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a run may take, by area; each limit itself is still allowed.

    Attributes:
        heap: Bytes live at the peak.
        leaked: Bytes lost at the end; under `ALL_AREAS` of all areas together.
        fragmentation: At the peak, 0.0 to 1.0.
    """

    heap: Mapping[str, int] = field(default_factory=dict)
    leaked: Mapping[str, int] = field(default_factory=dict)
    fragmentation: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.heap or self.leaked or self.fragmentation)

    def check_areas(self, areas: Iterable[str]) -> None:
        """Check that every limit has something to limit.

        Raises:
            UnknownName: It is for another area than *areas*.
        """
        known = tuple(areas)
        limits: tuple[tuple[str, Iterable[str]], ...] = (
            ("--max-heap", self.heap),
            ("--max-leaked", self.leaked),
            ("--max-fragmentation", self.fragmentation),
        )
        for option, names in limits:
            for name in names:
                if name not in known and not (names is self.leaked and name == ALL_AREAS):
                    raise UnknownName("area", name, known, option=option)

    def violations(self, measures: Mapping[str, AreaMeasures]) -> list[Difference]:
        """Return what is above its limit, the most important first.

        Raises:
            UnknownName: A limit is for an area that was not measured.
        """
        self.check_areas(measures)
        found = [*self._above_peaks(measures), *self._above_leaked(measures)]
        return sorted(found, key=lambda each: each.order)

    def allowed_kinds(self, measures: Mapping[str, AreaMeasures]) -> frozenset[Kind]:
        """Return the kinds of findings that limits allow: leaks, where they were limited and are below the limit.

        A limit for some areas says nothing of leaks in the others.
        """
        limited = set(measures) if ALL_AREAS in self.leaked else set(self.leaked)
        leaking = {name for name, area in measures.items() if area.lost_blocks}
        if not self.leaked or not leaking <= limited or any(self._above_leaked(measures)):
            return frozenset()
        return frozenset({Kind.LEAK})

    def _above_peaks(self, measures: Mapping[str, AreaMeasures]) -> Iterator[Difference]:
        peaks: tuple[tuple[str, Mapping[str, float], Callable[..., str], str], ...] = (
            ("peak_bytes", self.heap, lambda size: counted(size, "byte", ","), ","),
            ("fragmentation", self.fragmentation, "{:.6g}".format, "g"),
        )
        for key, limits, text, limit_format in peaks:
            for name, most in limits.items():
                area = measures[name]
                value = getattr(area, key)
                if value > most:
                    numbers = f"{text(value)} at the peak, limit {most:{limit_format}}"
                    yield _violation(f"{name}.{key}", numbers, value, most, area)

    def _above_leaked(self, measures: Mapping[str, AreaMeasures]) -> Iterator[Difference]:
        for name, most in self.leaked.items():
            areas = measures.values() if name == ALL_AREAS else [measures[name]]
            lost = sum(area.lost_bytes for area in areas)
            blocks = sum(area.lost_blocks for area in areas)
            if lost > most or (blocks and not most):  # a block whose size is not known is lost, too
                size, count = counted(lost, "byte", ","), counted(blocks, "block", ",")
                numbers = f"{size} in {count} lost at the end, limit {most:,}"
                key = f"{name}.lost_bytes" if name else "lost_bytes"
                yield _violation(key, numbers, lost, most)


def _violation(
    key: str, numbers: str, value: float, most: float, area: AreaMeasures | None = None
) -> Difference:
    call_site = None if area is None else area.peak
    where = ""
    if call_site is not None:
        caller = f" from {call_site.backtrace[0]}" if call_site.backtrace else ""
        where = (
            f", reached at event {call_site.event} in call #{call_site.call} of {call_site.function}{caller}"
        )
    growth = value / most - 1 if most else float("inf")
    return Difference(Importance.LIMIT, key, f"{key}: {numbers}{where}", growth, call_site)
