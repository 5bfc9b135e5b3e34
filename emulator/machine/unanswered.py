"""Accesses that nothing answers: of ports without a device, and of memory where neither RAM nor a device is.

Such ports read as all ones, such memory as zero, and writes vanish, as on QEMU's PC (decision 15). They are counted, by port and by page.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from emulator.machine.core.core_types import Access
from emulator.machine.core.handle import ffi, lib
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.machine.core.core_types import Stop
    from emulator.machine.core.handle import Core

_MEMORY: int = lib.KC_MEMORY
_NEAR_RAM = 64 << 20  # bytes after its end
_OTHER_PAGES: int = lib.KC_OTHER_PAGES


class Lack(NamedTuple):
    """A port without a device, or a page in which nothing is, that the guest accessed; a service or instruction that is not there.

    Attributes:
        port: Its number; None: it is something else.
        address: Physical, of the first access, as exactly as its instruction tells; None: it is something else, or stands for all pages
            after the first 256.
        reads: How many, of memory in pieces of at most 4 bytes.
        writes: The same.
        eip: Of the first access.
        location: The same for people.
        event: The recorded event before the first access, of memory; 0: none.
        function: The innermost recorded function that this came out of; "": of none.
        by_write: Whether it was a write.
        ram_end: End of RAM, if the address lies shortly after it; 0: it does not.
        service: Of the BIOS, which was called `reads` times; "": it is none.
        instruction: What of a CPU it needs, and its name; "": it is none.
        callers: Return addresses of the calls around the first access, of memory, innermost first; (): not known.
    """

    port: int | None
    address: int | None
    reads: int
    writes: int
    eip: int
    location: str
    event: int = 0
    function: str = ""
    by_write: bool = False
    ram_end: int = 0
    service: str = ""
    instruction: str = ""
    callers: tuple[int, ...] = ()


class LastRead(NamedTuple):
    """What the guest read last that was no RAM.

    Attributes:
        port: Its number; None: it was memory.
        page: Physical address of the page; None: it was a port.
        reads: How often it was read so far; 0: that is not known.
        instructions_ago: When.
        is_answered: Whether a device is there.
    """

    port: int | None
    page: int | None
    reads: int
    instructions_ago: int
    is_answered: bool


class _First(NamedTuple):
    address: int
    by_write: bool
    eip: int
    event: int
    function: str
    callers: tuple[int, ...]


class Unanswered:
    """Counts the accesses that nothing answers.

    Args:
        core: Of the machine.
        locate: Returns where an EIP is, for people.
        has_port: Tells whether a device answers at a port.
        where: Returns the newest recorded event, the innermost recorded function that an EIP lies in, "" for none, and the return addresses
            of the calls around it, where calls are recorded.
        instruction: Returns what the instruction needs for which the guest took its last exception, and its EIP; "": nothing.

    Attributes:
        expected: Physical addresses of the pages in which nothing is that may be accessed; an access to another one ends the run, as
            an error. None: all may be.
    """

    def __init__(
        self,
        core: Core,
        locate: Callable[[int], str],
        has_port: Callable[[int], bool],
        where: Callable[[int], tuple[int, str, tuple[int, ...]]],
        instruction: Callable[[], tuple[str, int]],
    ) -> None:
        self._core = core
        self._locate = locate
        self._has_port = has_port
        self._where = where
        self._instruction = instruction
        self._firsts: list[_First] = []
        self._services: dict[str, tuple[int, int]] = {}  # how often it was called, and where first
        self._count = ffi.new("uint32_t *")
        self.expected: frozenset[int] | None = None

    def take(self, stop: Stop, address: int) -> bool:
        """Note the first access to a page, and tell whether the guest goes on: the access is made again, and counted.

        Args:
            stop: How the CPU stopped.
            address: Physical, as exactly as it is known.
        """
        page = address & -PAGE_SIZE
        if lib.kc_video_touched(self._core.raw, address):
            return True
        is_refused = self.expected is not None and page not in self.expected
        if is_refused or stop.access is Access.FETCH or address > WORD_MAX:
            return False
        self._firsts.append(_First(address, stop.access is Access.WRITE, stop.eip, *self._where(stop.eip)))
        lib.kc_leave_open(self._core.raw, address // PAGE_SIZE)
        return True

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Let the first access to another page in which nothing is end the run, as an error, until the end of the block."""
        before, self.expected = self.expected, frozenset()
        try:
            yield
        finally:
            self.expected = before

    def lacks(self) -> tuple[Lack, ...]:
        """Return what the guest asked for so far that is not there: ports, memory, services of the BIOS, each in order; an instruction."""
        return (*self._ports(), *self._pages(), *self._called(), *self._executed())

    def note_service(self, service: str, eip: int) -> None:
        """Note a call of a service that the BIOS does not have."""
        calls, first = self._services.get(service, (0, eip))
        self._services[service] = (calls + 1, first)

    def _called(self) -> Iterator[Lack]:
        for service, (calls, eip) in self._services.items():
            yield Lack(None, None, calls, 0, eip, self._locate(eip), service=service)

    def _executed(self) -> Iterator[Lack]:
        instruction, eip = self._instruction()
        if instruction:
            yield Lack(None, None, 0, 0, eip, self._locate(eip), instruction=instruction)

    def _ports(self) -> Iterator[Lack]:
        uses = lib.kc_ports_used(self._core.raw, self._count)
        for each in uses[0 : self._count[0]]:
            if not self._has_port(each.port):
                eip = each.first_read or each.first_write
                yield Lack(
                    each.port,
                    None,
                    each.reads,
                    each.writes,
                    eip,
                    self._locate(eip),
                    by_write=not each.first_read,
                )

    def _pages(self) -> Iterator[Lack]:
        pages, ram_end = lib.kc_open_pages(self._core.raw, self._count), len(self._core.memory)
        for first, page in zip(self._firsts, pages[0 : self._count[0]], strict=True):
            address, by_write, eip, event, function, callers = first
            yield Lack(
                None,
                None if page.page == _OTHER_PAGES else address,
                page.reads,
                page.writes,
                eip,
                self._locate(eip),
                event,
                function,
                by_write,
                ram_end if page.page != _OTHER_PAGES and ram_end <= address < ram_end + _NEAR_RAM else 0,
                callers=callers,
            )

    def last_read(self) -> LastRead | None:
        """Return what the guest read last that was no RAM; None: it has not read anything else."""
        ago = lib.kc_last_read(self._core.raw, self._count)
        where = self._count[0]
        if where == _MEMORY:
            return None
        if where < _MEMORY:
            uses = lib.kc_ports_used(self._core.raw, self._count)[0 : self._count[0]]
            reads = next((each.reads for each in uses if each.port == where), 0)
            return LastRead(where, None, reads, ago, self._has_port(where))
        page = where - _MEMORY
        pages = lib.kc_open_pages(self._core.raw, self._count)[0 : self._count[0]]
        open_page = next((each for each in pages if each.page in (page, _OTHER_PAGES)), None)
        reads = open_page.reads if open_page and open_page.page == page else 0
        return LastRead(None, page * PAGE_SIZE, reads, ago, open_page is None)

    def save(self) -> object:
        """The first accesses; the core keeps the numbers."""
        return tuple(self._firsts), dict(self._services)

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""
        firsts, services = cast("tuple[tuple[_First, ...], dict[str, tuple[int, int]]]", state)
        self._firsts, self._services = list(firsts), dict(services)
