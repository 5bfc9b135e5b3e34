"""Read what a test expects of the kernel's memory management: its markers ``kmem_...``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.check.findings import OF_ACCESSES, OF_VALUES, Kind
from emulator.pytest_plugin.settings import BadConfiguration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

_SIZE = re.compile(r"(\d{1,12}) ?(B|bytes|KiB|MiB|GiB|K|M|G)?")
EXPECTABLE: Final = (
    *(Kind.DOUBLE_FREE, Kind.INVALID_FREE, Kind.WRONG_SIZE, Kind.WRONG_POOL),
    *(Kind.OVERLAP, Kind.BAD_RESULT, Kind.CORRUPTION, Kind.NULL_ACCESS),
    *OF_ACCESSES,
    *OF_VALUES,
)
_SHIFTS: Final = {"K": 10, "M": 20, "G": 30}


class Limit(NamedTuple):
    """The most that a test may take.

    Attributes:
        bytes: The most bytes at any time.
        area: Area of the profile that this is about; "": each area.
    """

    bytes: int
    area: str


class Expectations(NamedTuple):
    """What a test expects.

    Attributes:
        no_leaks: Whether all blocks that it allocates are given back.
        limits: The most that it may take.
        fail_nth: Number of its allocation that is made to fail, from 1; None: none is.
        mistakes: Kinds of mistakes that the kernel makes in it.
    """

    no_leaks: bool = False
    limits: tuple[Limit, ...] = ()
    fail_nth: int | None = None
    mistakes: frozenset[Kind] = frozenset()

    @property
    def needs_calls(self) -> bool:
        """Whether the kernel's calls have to be recorded."""
        return bool(self.no_leaks or self.limits or self.fail_nth or self.mistakes)


NOTHING: Final = Expectations()


def expectations_of(item: pytest.Item) -> Expectations:
    """Return what the markers of a test say; of two of one kind the nearer, of limits all.

    Raises:
        BadConfiguration: A marker is wrong.
    """
    found = NOTHING
    for marker in item.iter_markers():
        read = _READERS.get(marker.name)
        if read is not None:
            found = read(found, marker)
    return found


def _byte_count(value: object) -> int:
    """Read a number of bytes: 65536, "64 KiB", "64K".

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is no size such as "64 KiB" or 65536')
    return int(match[1]) << _SHIFTS.get((match[2] or "B")[0], 0)


def _no_leaks(found: Expectations, marker: pytest.Mark) -> Expectations:
    if marker.args or marker.kwargs:
        raise BadConfiguration("@pytest.mark.kmem_no_leaks takes no arguments")
    return found._replace(no_leaks=True)


def _limit(found: Expectations, marker: pytest.Mark) -> Expectations:
    area = marker.kwargs.get("area", "")
    if len(marker.args) != 1 or set(marker.kwargs) - {"area"} or not isinstance(area, str):
        raise BadConfiguration(
            '@pytest.mark.kmem_limit takes a size such as "64 KiB" and, if wanted, area="heap"'
        )
    try:
        limit = Limit(_byte_count(marker.args[0]), area)
    except ValueError as error:
        raise BadConfiguration(f"@pytest.mark.kmem_limit: {error}") from None
    return found._replace(limits=(*found.limits, limit))


def _fail_nth(found: Expectations, marker: pytest.Mark) -> Expectations:
    number = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise BadConfiguration("@pytest.mark.kmem_fail_nth takes the number of an allocation, 1 or more")
    return found if found.fail_nth else found._replace(fail_nth=number)


def _expect(found: Expectations, marker: pytest.Mark) -> Expectations:
    kinds = {kind.value: kind for kind in EXPECTABLE}
    unknown = [each for each in marker.args if each not in kinds]
    if not marker.args or marker.kwargs or unknown:
        raise BadConfiguration(f"@pytest.mark.kmem_expect takes kinds of findings: {', '.join(kinds)}")
    return found._replace(mistakes=found.mistakes | {kinds[each] for each in marker.args})


_READERS: Final[Mapping[str, Callable[[Expectations, pytest.Mark], Expectations]]] = {
    "kmem_no_leaks": _no_leaks,
    "kmem_limit": _limit,
    "kmem_fail_nth": _fail_nth,
    "kmem_expect": _expect,
}
