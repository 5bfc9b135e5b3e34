"""Judge by name and by prototype which functions of a kernel allocate memory and which free it."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.functions.names import PLACEMENT, plain_name
from emulator.loader.functions.prototypes import prototype
from emulator.profile.discovery.words import Verb, is_about_memory, is_plain, other_things, verb_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.loader.elf.symbols import Symbol
    from emulator.loader.functions.prototypes import Parameter, Prototype
    from emulator.loader.image import KernelImage

_MOST: Final = 100
_MANGLED: Final = ("_Z", "_R")
_VERB_INSIDE: Final = re.compile(
    "alloc|free|memalign|get|take|new|put|give|release|drop|share|ref|reset|clear|rewind|delete|destroy|dup|retain|acquire|obtain|grab|reserve|create|return|push|pop|recycle",
    re.IGNORECASE,
)
_SIZE: Final = frozenset(["size", "sz", "bytes", "nbytes", "len", "length", "amount", "wanted", "request"])
_WORD_POINTERS: Final = ("unsigned int *", "long unsigned int *")
_OUT_NAME: Final = re.compile("addr|out|ptr|block|blk|result|ret", re.IGNORECASE)
_SIZE_ENDINGS: Final = ("size", "sz", "bytes", "len")
_SIZE_SHORT: Final = frozenset(("n", "nb", "s", "x", "num", "count", "req", "want", ""))
_POINTER_BASES: Final = ("void *", "char *", "unsigned char *", "signed char *", "u8 *")
_LISTS: Final = frozenset(("list", "queue"))
_PAGE_STRUCTURES: Final = re.compile(r"(page|frame|vm_page|pageinfo|vm_page_t)", re.IGNORECASE)
_POOLS: Final = frozenset(
    [
        "cache",
        "pool",
        "heap",
        "arena",
        "slab",
        "zone",
        "allocator",
        "kmem_cache",
        "mempool",
        "region",
        "bump",
        "buddy",
        "partition",
        "mpf",
        "mpl",
        "mp",
        "mspace",
        "tlsf",
    ]
)


_FILE_SYSTEMS: Final = frozenset(("fs", "vfs", "ext", "fat", "minix", "super", "superblock", "sb"))


class Sureness(IntEnum):
    """How sure it is that a function is what it is taken for."""

    GUESS = 0
    LIKELY = 1
    SURE = 2


class Candidate(NamedTuple):
    """A function that seems to do something with memory.

    Attributes:
        name: As a profile names it.
        symbol: Its symbol.
        address: Linked.
        verb: What it seems to do.
        sureness: How sure that is.
        reasons: Why, for people.
        prototype: Its declaration, if the file says it.
        points: The judgement in numbers, to put the best first.
    """

    name: str
    symbol: str
    address: int
    verb: Verb
    sureness: Sureness
    reasons: tuple[str, ...]
    prototype: Prototype | None
    points: int


def likely_names(image: KernelImage) -> list[str]:
    """Return the names of functions that sound like an allocator's, best first, as people write them. This looks at names only, and is quick.

    Raises:
        BadImage: The symbol table is damaged.
    """
    judged = [
        (points + (_PLAIN if is_plain(symbol.name) else 0), verb is Verb.FREE, _name(symbol.name))
        for symbol, verb, points, _ in _by_name(image)
        if points >= _LIKELY_NAME
    ]
    judged.sort(key=lambda each: (-each[0], each[1], len(each[2]), each[2]))
    return list(dict.fromkeys(name for _, _, name in judged))


def find_candidates(image: KernelImage) -> list[Candidate]:
    """Return the functions that may be an allocator's, best first, by their names and prototypes.

    Raises:
        BadImage: The symbol table is damaged.
    """
    found = []
    for symbol, verb, points, reasons in _by_name(image):
        declared = prototype(image, symbol.address)
        more, why = (0, ("no prototype is known",)) if declared is None else _judge(verb, declared)
        if verb is Verb.FREE and declared is not None and _is_of_pool(declared):
            verb = Verb.RESET  # noqa: PLW2901 - it gives back all of a pool, as its prototype shows
        sureness = _sureness(points + more, knows_types=declared is not None)
        if sureness is not None:
            name = _name(symbol.name)
            found.append(
                Candidate(
                    name, symbol.name, symbol.address, verb, sureness, reasons + why, declared, points + more
                )
            )
    found.sort(key=lambda each: (-each.points, len(each.name), each.name))
    return list({each.name: each for each in reversed(found)}.values())[::-1][:_MOST]


_LIKELY_NAME: Final = 4
_PLAIN: Final = 6
_SURE: Final = 9
_LIKELY: Final = 6
_GUESS: Final = 4


def _sureness(points: int, *, knows_types: bool) -> Sureness | None:
    if points >= _SURE and knows_types:
        return Sureness.SURE
    if points >= (_LIKELY if knows_types else _LIKELY_NAME):
        return Sureness.LIKELY
    return Sureness.GUESS if points >= _GUESS - (not knows_types) else None


def _by_name(image: KernelImage) -> Iterator[tuple[Symbol, Verb, int, tuple[str, ...]]]:
    """Yield functions whose names have a verb of allocators, with points for the name and the reasons."""
    code = image.code_sections
    for symbol in image.symbols.values():
        if symbol.kind == "object" or ".cold" in symbol.name or symbol.name in PLACEMENT:
            continue
        name = _name(symbol.name)
        if _VERB_INSIDE.search(name) is None:
            continue
        if symbol.kind == "other" and not any(symbol.address in section for section in code):
            continue  # a label in data, or one of the linker's
        verb, is_strong = verb_of(name)
        if verb is None:
            continue
        points = 4 if is_strong else 0
        points += 3 if is_about_memory(name) else 0
        others = other_things(name)
        points -= 3 * len(others)
        points -= max(0, len(words_of(name)) - 3)
        if points > 0:
            reasons = (f"named {name}",)
            yield symbol, verb, points, reasons if not others else (*reasons, f"but also {others[0]}")


def _name(symbol: str) -> str:
    """Return a function's name without what compilers put around it, and without its parameters."""
    if "." not in symbol and not symbol.startswith(_MANGLED):
        return symbol
    name = plain_name(symbol)
    return name.partition("(")[0] if symbol.startswith(_MANGLED) else name


def _judge(verb: Verb, declared: Prototype) -> tuple[int, tuple[str, ...]]:
    """Return points for a prototype, and the reasons."""
    points, reasons = _judge_types(verb, declared)
    return points - 4 * any(map(_is_file_system, declared.parameters)), reasons


def _judge_types(verb: Verb, declared: Prototype) -> tuple[int, tuple[str, ...]]:
    if verb in (Verb.ALLOC, Verb.CALLOC, Verb.REALLOC):
        points, reason = _judge_result(declared)
        has_size = any(is_size(each) or may_be_size(each) for each in declared.parameters)
        if verb is Verb.REALLOC:
            return points - 4 * (block_parameter(declared) is None), (reason,)
        pool = any(map(is_pool, declared.parameters))
        sized = "takes a size" if has_size else "takes a pool" if pool else ""
        return points + 2 * has_size + (pool and not has_size), tuple(filter(None, (reason, sized)))
    if verb in (Verb.FREE, Verb.SHARE):
        return _judge_free(declared)
    return 1, ()


def _is_of_pool(declared: Prototype) -> bool:
    """Return whether the only block that a function is given is a pool."""
    block = block_parameter(declared)
    return block is not None and is_pool(declared.parameters[block])


def _judge_result(declared: Prototype) -> tuple[int, str]:
    result, out = declared.plain_result, out_parameter(declared)
    returned = f"returns {declared.result}"
    if _makes_pool(declared):
        return -2, returned
    if result in _POINTER_BASES:
        return 4, returned
    if result.endswith("*"):
        return (1 if _PAGE_STRUCTURES.search(result) is None else 3), returned
    if out is not None:
        stored = f"stores a pointer through {declared.parameters[out].name or 'a parameter'}"
        return (-1 if result == "void" else 2), stored
    if result == "void" or re.search("char|bool|short", result, re.IGNORECASE):
        return -8, "returns nothing" if result == "void" else returned
    is_address = "unsigned" in result or re.search("addr|ptr|phys|virt|frame", declared.result)
    return (1 if is_address else -5), returned


def _judge_free(declared: Prototype) -> tuple[int, tuple[str, ...]]:
    block = block_parameter(declared)
    if block is None:
        return -8, ("takes no block",)
    parameter = declared.parameters[block]
    points = 4 if parameter.plain_type in _POINTER_BASES else 2 if parameter.plain_type.endswith("*") else 1
    points -= 4 * declared.plain_result.endswith("*")
    return points, (f"takes {parameter.type} {parameter.name}".rstrip(),)


def is_size(parameter: Parameter) -> bool:
    """Return whether a parameter is a number of bytes, by its name."""
    return not parameter.plain_type.endswith("*") and (
        parameter.name.lower().endswith(_SIZE_ENDINGS) or not _SIZE.isdisjoint(words_of(parameter.name))
    )


def may_be_size(parameter: Parameter) -> bool:
    """Return whether a parameter may be a number of bytes, by its type or by a name that says nothing."""
    if parameter.plain_type.endswith("*"):
        return False
    return parameter.type in ("size_t", "usize") or parameter.name.lower() in _SIZE_SHORT


def is_pool(parameter: Parameter) -> bool:
    """Return whether a parameter says from where a block is taken."""
    return _is_pool_type(parameter.type, parameter.plain_type, parameter.name)


def _is_pool_type(declared: str, plain_type: str, name: str = "") -> bool:
    """Return whether a type is a pointer to a structure, or a name for one to nothing known, and it or its name speak of pools."""
    words = {word for part in (*re.findall(r"\w+", declared), name) for word in words_of(part)}
    is_structure = plain_type.endswith("*") and plain_type not in _POINTER_BASES
    return (is_structure or _is_handle(declared, plain_type)) and not _POOLS.isdisjoint(words)


def _makes_pool(declared: Prototype) -> bool:
    """Return whether a function's result is a pool, by the last word of its type: a buddy's block is none."""
    last = next((word for word in reversed(words_of(declared.result)) if word != "t"), "")
    return last in _POOLS and _is_pool_type(declared.result, declared.plain_result)


def _is_handle(declared: str, plain_type: str) -> bool:
    """Return whether a type is a name for an untyped pointer, such as ``tlsf_t``."""
    return plain_type in _POINTER_BASES and declared.isidentifier()


def out_parameter(declared: Prototype) -> int | None:
    """Return the position of the parameter through which a block's address is stored; None: there is none."""
    types = [each.plain_type for each in declared.parameters]
    pointers = [index for index, each in enumerate(types) if each.endswith("**")]
    words = [
        index
        for index, each in enumerate(types)
        if each in _WORD_POINTERS and _OUT_NAME.search(declared.parameters[index].name)
    ]
    return next(iter(pointers + words), None)


def block_parameter(declared: Prototype) -> int | None:
    """Return the position of the parameter that says which block: an untyped pointer first, then any, then an address or a frame."""
    found = [(_block_rank(each), index) for index, each in enumerate(declared.parameters)]
    best = max(found, key=lambda each: (each[0], -each[1]), default=(0, 0))
    return best[1] if best[0] > 0 else None


_ADDRESS_WORDS: Final = frozenset(
    (
        "first",
        "addr",
        "address",
        "pa",
        "va",
        "ptr",
        "phys",
        "physical",
        "virt",
        "frame",
        "pfn",
        "ppn",
        "page",
        "paddr",
        "vaddr",
        "mem",
        "block",
        "base",
        "p",
        "start",
        "obj",
        "object",
        "elem",
        "item",
        "data",
        "buf",
        "blk",
        "chunk",
        "node",
        "offset",
    )
)


def _is_file_system(parameter: Parameter) -> bool:
    """Return whether a parameter is a pointer to a file system: blocks that are taken from it are on a disk."""
    words = {*words_of(parameter.type), *words_of(parameter.plain_type)}
    return parameter.plain_type.endswith("*") and not _FILE_SYSTEMS.isdisjoint(words)


def _block_rank(parameter: Parameter) -> int:
    plain_type = parameter.plain_type
    if _is_file_system(parameter):
        return 2
    if plain_type in _POINTER_BASES:
        return 1 if is_pool(parameter) else 5
    if plain_type.endswith("*") and not plain_type.endswith("**"):
        if not _LISTS.isdisjoint(words_of(plain_type)):
            return 0  # of many
        return 1 if is_pool(parameter) else 4
    is_number = not plain_type.endswith(("*", "char")) and not is_size(parameter)
    if is_number and not _ADDRESS_WORDS.isdisjoint({*words_of(parameter.name), *words_of(parameter.type)}):
        return 3
    return 0
