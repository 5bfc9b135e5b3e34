"""The user half of a page directory: tables of pages, and what is mapped by them.

Theory. A directory of 1024 words names tables of 1024 words that name pages; the first 512 entries of the directory are user
space. Tables and pages come from `Pmem`, one by one, and are cleared; each mapping owns its page once. A table is made for
its first page and given back with its last one. A directory is named by its physical address, a page by any user address in
it; *protection* is `PAGE_WRITABLE`, `PAGE_USER`, both or 0.

Shortcoming. Entries are trusted, except that a table has to lie in memory. A page that is mapped and not in use, which is a
broken structure, is unmapped and stays as it is, as in C.

Source: spec 2.5; Intel SDM volume 3, 4.3.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.kernel_space import physical, pointee, virtual
from kernel_model.page_tables import ADDRESS, PAGE_BYTES, PRESENT, USER, WRITABLE
from kernel_model.structs import WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel_model.btron.pmem import Pmem
    from kernel_model.cpu import Cpu
    from kernel_model.memory import Memory

PAGE_WRITABLE: Final = WRITABLE
PAGE_USER: Final = USER

_PROTECTION: Final = PAGE_WRITABLE | PAGE_USER
_TABLE_SPAN: Final = 1 << 22
_TABLE_WORDS: Final = PAGE_BYTES // WORD
_WORD_MASK: Final = 0xFFFF_FFFF
_ADDRESS: Final = ADDRESS & _WORD_MASK
_CLEAR: Final = bytes(PAGE_BYTES)


class UserPages:
    """The pages of user spaces.

    Args:
        memory: Physical guest memory.
        pmem: Gives pages and takes them back.
        cpu: Runs the kernel.
    """

    def __init__(self, memory: Memory, pmem: Pmem, cpu: Cpu) -> None:
        self._memory = memory
        self._pmem = pmem
        self._cpu = cpu

    def entry(self, directory: int, address: int) -> int | None:
        """Return the physical address of a page's entry, which may be present or not; None: there is no table for it."""
        table = self._memory.load_u32(_directory_entry(directory, address))
        return frame(table) + _index(address) if table & PRESENT else None

    def word(self, directory: int, address: int) -> int:
        """Return the entry that maps a page; 0: it is not mapped."""
        at = self.entry(directory, address)
        word = 0 if at is None else self._memory.load_u32(at)
        return word if word & PRESENT else 0

    def is_mapped(self, directory: int, address: int, protection: int = 0) -> bool:
        """Return whether a page is mapped, with all of *protection*."""
        wanted = PRESENT | protection
        return self.word(directory, address) & wanted == wanted

    def mapped(self, directory: int, start: int, end: int) -> Iterator[int]:
        """Yield the pages that are mapped in [start, end), whole pages, in ascending order, as tables say when they are reached."""
        address = start
        while address < end:
            at = self.entry(directory, address)
            if at is None:
                address = _table_end(address, end)
                continue
            if self._memory.load_u32(at) & PRESENT:
                yield address
            address += PAGE_BYTES

    def slot_of_table(self, directory: int, table: int) -> int | None:
        """Return the index of the entry that names the table at a physical address; None: there is none."""
        words = self._memory.view(directory, PAGE_BYTES // 2).cast("I").tolist()
        named = (index for index, word in enumerate(words) if word & PRESENT and word & _ADDRESS == table)
        return next(named, None)

    def add(self, directory: int, address: int, protection: int) -> None:
        """Map a fresh page, all zero, where none is mapped.

        Raises:
            BtronError: E_NOMEM: there is no page for it or its table. Nothing is changed.
        """
        at = self._make_entry(directory, address)
        page = self._alloc_cleared()
        if not page:
            self._drop_empty_table(directory, address)
            raise BtronError(Error.E_NOMEM)
        self._memory.store_u32(at, physical(page) | PRESENT | protection)

    def share(self, directory: int, address: int, page: int, protection: int) -> None:
        """Map the page at a kernel address, which has one owner more, where none is mapped. Otherwise as `add`."""
        at = self._make_entry(directory, address)
        try:
            self._pmem.share(page, PAGE_BYTES)
        except BtronError as error:
            self._drop_empty_table(directory, address)
            raise BtronError(Error.E_NOMEM) from error
        self._memory.store_u32(at, physical(page) | PRESENT | protection)

    def protect(self, directory: int, start: int, end: int, protection: int) -> None:
        """Change the protection of the pages that are mapped in [start, end)."""
        for page in self.mapped(directory, start, end):
            at = self._entry(directory, page)
            self._memory.store_u32(at, self._memory.load_u32(at) & ~_PROTECTION | protection)
            self._forget(directory, page)

    def unmap(self, directory: int, start: int, end: int) -> None:
        """Unmap the pages that are mapped in [start, end); give them and the tables that are left empty back."""
        while start < end:
            stop, was_mapped = _table_end(start, end), False
            for page in self.mapped(directory, start, stop):
                at = self._entry(directory, page)
                word = self._memory.load_u32(at)
                self._memory.store_u32(at, 0)
                self._forget(directory, page)
                self.give_back(word & _ADDRESS)
                was_mapped = True
            if was_mapped:
                self._drop_empty_table(directory, start)
            start = stop

    def _entry(self, directory: int, address: int) -> int:
        """Return the physical address of a page's entry, which is in a table."""
        return frame(self._memory.load_u32(_directory_entry(directory, address))) + _index(address)

    def _make_entry(self, directory: int, address: int) -> int:
        """Return the physical address of a page's entry; make its table if there is none.

        Raises:
            BtronError: E_NOMEM: there is no page for the table. Nothing is changed.
        """
        named_at = _directory_entry(directory, address)
        word = self._memory.load_u32(named_at)
        if not word & PRESENT:
            table = self._alloc_cleared()
            if not table:
                raise BtronError(Error.E_NOMEM)
            word = physical(table) | PRESENT | _PROTECTION
            self._memory.store_u32(named_at, word)
        return frame(word) + _index(address)

    def _drop_empty_table(self, directory: int, address: int) -> None:
        """Give the table for *address* back, if there is one and it is empty."""
        named_at = _directory_entry(directory, address)
        word = self._memory.load_u32(named_at)
        if word & PRESENT and self._memory.read(frame(word), PAGE_BYTES) == _CLEAR:
            self._memory.store_u32(named_at, 0)
            self._forget(directory, address)
            self.give_back(word & _ADDRESS)

    def _alloc_cleared(self) -> int:
        page = self._pmem.alloc(PAGE_BYTES)
        if page:
            self._memory.write(physical(page), _CLEAR)
        return page

    def give_back(self, address: int) -> None:
        """Give up the page at a physical address. What is none stays as it is, as in C."""
        with suppress(BtronError):
            self._pmem.free(virtual(0) + address & _WORD_MASK, PAGE_BYTES)

    def _forget(self, directory: int, address: int) -> None:
        if self._cpu.page_directory() == directory:
            self._cpu.forget_translation(address)


def _directory_entry(directory: int, address: int) -> int:
    return directory + WORD * (address // _TABLE_SPAN)


def _index(address: int) -> int:
    """Return the offset of a page's entry in its table."""
    return WORD * (address // PAGE_BYTES % _TABLE_WORDS)


def frame(word: int) -> int:
    """Return the physical address of what an entry names.

    Raises:
        OutsideMemory: The kernel does not see it.
    """
    return pointee(virtual(0) + (word & _ADDRESS) & _WORD_MASK)


def _table_end(address: int, end: int) -> int:
    """Return the first address that the table of *address* does not map, or *end* if that is lower."""
    return min(address - address % _TABLE_SPAN + _TABLE_SPAN, end)
