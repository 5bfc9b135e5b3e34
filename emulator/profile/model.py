"""A profile: which functions of a kernel take memory, which give it back, and what holds for their blocks.

A profile is only data. It says how to read a call from outside: which parameters a function has, what follows from them, and what EAX is
when it returns (`emulator.profile.functions`). Profiles come from TOML files (`emulator.profile.reader`), from the kernels that are known
(`emulator.profile.known`), and out of the headers of traces (`emulator.profile.documents`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.profile.functions import Role
from emulator.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.profile.functions import TracedFunction
    from emulator.profile.suppressions import Suppression
    from emulator.profile.tasks import TaskRules

MOST_FUNCTIONS: Final = 127  # a trace numbers them in a signed byte
LARGEST_HEADER: Final = 4096  # bytes


class SpaceRules(NamedTuple):
    """What a kernel's address spaces keep when it is at rest, and whatever breaks it is a mistake.

    Attributes:
        freed_but_mapped: A page that has been freed is mapped nowhere.
        writable_twice: A page that programs may write to in two address spaces has more than one owner.
        direct_map: Linear addresses [start, end) where all memory is mapped, in use or not, besides the run of pages around the kernel's
            image.
    """

    freed_but_mapped: bool = False
    writable_twice: bool = False
    direct_map: tuple[tuple[int, int], ...] = ()


NO_SPACE_RULES: Final = SpaceRules()


@dataclass(frozen=True, slots=True)
class AreaRules:
    """What holds for all blocks of an area.

    Attributes:
        pages: They are runs of whole pages that may be given back in parts.
        header: Bytes of the allocator's own in front of each, 0 to 4096.
        alignment: They begin at multiples of so many bytes, a power of 2.
        interior: A pointer into one keeps it, as one to its start does.

    Raises:
        ValueError: A number is out of its range.
    """

    pages: bool = False
    header: int = 0
    alignment: int = 4
    interior: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.header <= LARGEST_HEADER:
            raise ValueError(f"a header of {self.header} bytes: it is 0 to {LARGEST_HEADER}")
        if self.alignment < 1 or self.alignment & (self.alignment - 1):
            raise ValueError(f"the alignment {self.alignment} is no power of 2")


PLAIN_AREA: Final = AreaRules()
PAGES: Final = AreaRules(pages=True, alignment=4096)


@dataclass(frozen=True, slots=True)
class Profile:
    """The functions of one kernel.

    Attributes:
        name: For people, 1 to 80 printable characters.
        functions: 1 to 127, no two of one name; none where no allocator is known, and *reason* says why.
        rules: What holds in areas; an area that is not there is a `PLAIN_AREA`.
        address_spaces: What its address spaces keep. A trace does not say it.
        uses_page_zero: It uses linear addresses 0 to 0xfff on purpose. A trace does not say it.
        allocator: Names of further functions of its allocators, as `find_functions` takes them, which may access all of their memory. A
            trace does not say it.
        suppressions: Findings that are left out. A trace does not say it.
        tasks: Where the kernel keeps its tasks; None: that is not known. A trace does not say it.
        reason: Why it was chosen for a kernel, for people; "": the user chose it.

    Raises:
        ValueError: One of these rules is broken.
    """

    name: str
    functions: tuple[TracedFunction, ...]
    rules: Mapping[str, AreaRules] = field(default_factory=dict)
    address_spaces: SpaceRules = NO_SPACE_RULES
    uses_page_zero: bool = False
    allocator: tuple[str, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    tasks: TaskRules | None = None
    reason: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= 80 and self.name.isprintable()):  # noqa: PLR2004 - the contract above
            raise ValueError("the name of a profile is 1 to 80 printable characters")
        fewest = 0 if self.reason else 1
        if not fewest <= len(self.functions) <= MOST_FUNCTIONS:
            raise ValueError(f"{len(self.functions)} functions; a profile has 1 to {MOST_FUNCTIONS}")
        for name, times in Counter(function.name for function in self.functions).items():
            if times > 1:
                raise ValueError(f"function {name} is there {times} times")
        for area in sorted(set(self.rules).difference(self.areas)):
            raise ValueError(f"area {shortened(area)} has rules, but no functions")
        for each in self.functions:
            if each.role is Role.DEFER and self.pages(each.area):
                raise ValueError(f"{each.name}: frees of pages cannot be deferred")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of all areas, in the order of their first functions."""
        return tuple(dict.fromkeys(function.area for function in self.functions))

    @property
    def title(self) -> str:
        """Its name, with the reason why it was chosen if there is one."""
        return f"{self.name} ({self.reason})" if self.reason else self.name

    @property
    def block_areas(self) -> tuple[str, ...]:
        """Names of the areas of which blocks are known: those with a function that makes them from nothing."""
        making = {function.area for function in self.functions if function.role is Role.ALLOC}
        return tuple(area for area in self.areas if area in making)

    def area(self, name: str) -> AreaRules:
        """Return what holds in an area."""
        return self.rules.get(name, PLAIN_AREA)

    def pages(self, area: str) -> bool:
        """Return whether the blocks of an area are runs of whole pages that may be given back in parts."""
        return self.area(area).pages

    def with_functions(self, functions: tuple[TracedFunction, ...]) -> Profile:
        """Return the profile with these functions instead, and the rules of their areas."""
        areas = {function.area for function in functions}
        rules = {area: rules for area, rules in self.rules.items() if area in areas}
        return replace(self, functions=functions, rules=rules)


def no_profile(reason: str) -> Profile:
    """Return the profile of a kernel of which no allocator is known: it has no functions.

    Args:
        reason: Why none fits, and what to do, as the problem of an `emulator.errors.KernelMismatch`.
    """
    return Profile("none", (), reason=reason)
