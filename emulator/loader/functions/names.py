"""Find functions by the names that people call them by, and name functions for people.

A compiler gives one function several symbols: copies made for certain callers get suffixes of their own (``kmalloc.constprop.0``), and
files may have functions of one name. The plain name leaves the suffixes out, so that it is the same in every build.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.functions.demangling import demangled, differs_in_each_build, without_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from emulator.loader.elf.symbols import SymbolEntry, SymbolTable
    from emulator.loader.image import KernelImage

_SUFFIXES: Final = re.compile(
    r"""(?: \.(?: constprop | isra | part | lto_priv | specialized | llvm | __uniq )\.\d+
          | \.(?: cold | localalias | warm | cfi | argprom | argelim | retelim )(?:\.\d+)?
          | \.\d+ )+ \Z""",
    re.VERBOSE,
)
"""Of GCC's copies (gcc/symtab.cc, cgraphclones.cc), clang's, and those by which linkers tell apart functions of one name."""

_PIECE: Final = re.compile(r"\.part\.\d+")
_COLD: Final = re.compile(r"\.cold(?:\.\d+)*\Z")
PLACEMENT: Final = frozenset(("_ZnwjPv", "_ZnajPv", "_ZdlPvS_", "_ZdaPvS_"))
"""The forms of C++'s operators new and delete that take no memory and give none back: they are meant by no short name."""

_OPTIONAL_SPACE: Final = re.compile(r"\s+(?=[^\w\s])|(?<=[^\w\s])\s+")
_WITH_FILE: Final = re.compile(r"([^:]+):(?!:)(.+)", re.DOTALL)
_NO_SOURCE: Final = re.compile(r"<.*>|.*\.(?:o|obj|a|lo)", re.DOTALL)
"""What stands in a symbol table where a link that optimises, or one of assembly, knows no source file."""


class NamedFunction(NamedTuple):
    """A function that was found by its name.

    Attributes:
        address: Linked address of its first instruction.
        end: First address after it; *address* itself for a label without a size.
        symbol: As in the symbol table.
        name: The plain name.
        file: Last part of the source file's name; "" where it is not known, or nothing else has the name.
        is_piece: The compiler has split the function and this is the rest of it: its beginning may stand in its callers.
    """

    address: int
    end: int
    symbol: str
    name: str
    file: str
    is_piece: bool


class FunctionNames:
    """The names of one kernel's functions.

    Args:
        symbols: Its symbols.
        declared_in: Returns the source file that declares the function at an address; "" where that is not known.
    """

    def __init__(self, symbols: SymbolTable, declared_in: Callable[[int], str]) -> None:
        self._symbols = symbols
        self._declared_in = declared_in

    def find(self, pattern: str) -> tuple[NamedFunction, ...]:
        """Find functions as `find_functions` does."""
        file, name = file_and_name(pattern)
        matching = sorted(self._matching(name), key=lambda each: each.order)
        found = {each.symbol.address: each for each in matching}.values()
        is_told_apart = bool(file) or len(found) > 1  # else there is no need to read debug information
        named = [self._named(each, with_file=is_told_apart) for each in found]
        return tuple(each for each in named if file in ("", each.file))

    def _matching(self, name: str) -> Iterable[SymbolEntry]:
        """Return the symbols that a name means."""
        if _COLD.search(name):
            return []
        if _SUFFIXES.search(name):
            return [each for each in self._symbols.code if each.symbol.name == name]
        if name in self._by_symbol:
            return self._by_symbol[name]
        if name.startswith("_Z") and not differs_in_each_build(name):
            return []  # demangling all symbols of a large kernel takes a second
        return (
            self._by_name.get(_key(demangled(name)))
            or self._by_short_name.get(_key(name))
            or self._matching_glob(name)
        )

    def _matching_glob(self, glob: str) -> Iterator[SymbolEntry]:
        """Yield the symbols whose plain name matches, with its parameters or without. A star among parameters is a pointer."""
        if "(" not in glob and ("*" in glob or "?" in glob):
            literal = re.escape(_key(glob)).replace(r"\*", ".*").replace(r"\?", ".")
            matches = re.compile(literal, re.DOTALL).fullmatch
            for names in (self._by_name, self._by_short_name):
                for name, symbols in names.items():
                    if matches(name):
                        yield from filter(self._stands_alone, symbols)

    def _stands_alone(self, each: SymbolEntry) -> bool:
        """Return whether a symbol is no label inside a function. Assemblers write those of kmalloc as ``kmalloc.loop``."""
        if each.symbol.kind == "function":
            return True
        found = self._symbols.function_at(each.symbol.address)
        return found is not None and found[1] == 0 and "." not in each.symbol.name

    @cached_property
    def _by_symbol(self) -> dict[str, list[SymbolEntry]]:
        """By symbol, the suffixes of copies left out."""
        by_symbol: dict[str, list[SymbolEntry]] = {}
        for each in self._symbols.code:
            if not _COLD.search(each.symbol.name):
                by_symbol.setdefault(_without_suffixes(each.symbol.name), []).append(each)
        return by_symbol

    @cached_property
    def _names(self) -> list[tuple[str, str, list[SymbolEntry]]]:
        """Symbols without the suffixes of copies, their plain names, and what has them."""
        return [(symbol, demangled(symbol), entries) for symbol, entries in self._by_symbol.items()]

    @cached_property
    def _by_name(self) -> dict[str, list[SymbolEntry]]:
        """By plain name."""
        return _by_key((name, entries) for _, name, entries in self._names)

    @cached_property
    def _by_short_name(self) -> dict[str, list[SymbolEntry]]:
        """By plain name without parameters."""
        return _by_key(
            (without_parameters(name), entries)
            for symbol, name, entries in self._names
            if name != symbol and symbol not in PLACEMENT
        )

    def _named(self, each: SymbolEntry, *, with_file: bool) -> NamedFunction:
        symbol = each.symbol
        return NamedFunction(
            symbol.address,
            symbol.address + symbol.size,
            symbol.name,
            plain_name(symbol.name),
            self._file(each) if with_file else "",
            _PIECE.search(symbol.name) is not None,
        )

    def _file(self, each: SymbolEntry) -> str:
        """Return the last part of the name of a symbol's source file; "" where nothing says it."""
        path = each.file
        if not path or _NO_SOURCE.fullmatch(path):
            # Not the source line of the first instruction: that may be of a function that was inlined there.
            path = self._declared_in(each.symbol.address)
        return path.rpartition("/")[2]


def find_functions(image: KernelImage, pattern: str) -> tuple[NamedFunction, ...]:
    """Find the functions that a name means.

    Args:
        image: The kernel.
        pattern: A name, with the source file and a colon in front of it if there are several: ``kmalloc``, ``heap.c:take``. It means
            the first of these that there is: the symbol and its copies (with a copy's suffix only that one), the functions of that
            plain name, those that have it if the parameters of C++ are left out, and those that match it, if ``*`` and ``?`` in it
            stand for any characters and for one. A Rust symbol of another build is the same function.

    Returns:
        Ascending by address, one for each address; none for a name of data. What a compiler has moved out of a function because it
        seldom runs (``.cold``) is no function.

    Raises:
        BadImage: The symbol table is damaged.
    """
    return image.function_names.find(pattern)


def plain_name(symbol: str) -> str:
    """Return the name that people call a function by.

    Args:
        symbol: As in the symbol table. What compilers append to those of copies is left out; those of C++ and Rust are demangled.
    """
    return demangled(_without_suffixes(symbol))


def file_and_name(pattern: str) -> tuple[str, str]:
    """Return the source file in front of a name, "" where there is none, and the name: of ``heap.c:take`` heap.c and take."""
    parts = _WITH_FILE.fullmatch(pattern)
    return ("", pattern) if parts is None else (parts[1], parts[2])


class NameIndex:
    """Names without files, by the symbols that they mean, which no symbol table needs to have.

    Args:
        names: As `find_functions` takes them, the first of several that mean one function first; those with ``*`` and ``?`` mean themselves only.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        for name in names:
            self._names.setdefault(name, name)
            self._names.setdefault(_key(demangled(name)), name)
        self._found: dict[str, str] = {}

    def find(self, symbol: str) -> str:
        """Return the name that means the function of a symbol; "" if none does."""
        if symbol not in self._found:
            plain = plain_name(symbol)
            is_short = plain != symbol and symbol not in PLACEMENT
            keys = (_key(plain), symbol, *([_key(without_parameters(plain))] if is_short else []))
            self._found[symbol] = next((self._names[key] for key in keys if key in self._names), "")
        return self._found[symbol]


def declared_name(name: str) -> str:
    """Return what the declaration of a function has as its name: without scopes, and types of parameters."""
    return without_parameters(demangled(name)).rpartition("::")[2]


def _without_suffixes(symbol: str) -> str:
    return _SUFFIXES.sub("", symbol) if "." in symbol else symbol


def _key(name: str) -> str:
    """Return a name without the spaces that demanglers write or not, such as those of ``void *`` and ``> >``."""
    return _OPTIONAL_SPACE.sub("", name) if " " in name else name


def _by_key(named: Iterable[tuple[str, list[SymbolEntry]]]) -> dict[str, list[SymbolEntry]]:
    """Return entries by the key of their names, of which several symbols may have one."""
    result: dict[str, list[SymbolEntry]] = {}
    for name, entries in named:
        result.setdefault(_key(name), []).extend(entries)
    return result
