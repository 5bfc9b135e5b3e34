"""Write what a candidate's calls mean as a signature of a profile: from the names and types of its parameters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.functions.locations import InRegister, NotKnown
from emulator.loader.functions.parameters import inputs, parameter_locations
from emulator.loader.functions.prototypes import field_of, variable
from emulator.profile.discovery.candidates import (
    block_parameter,
    is_pool,
    is_size,
    may_be_size,
    out_parameter,
)
from emulator.profile.discovery.words import Verb, is_plain, stem_of, words_of
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.loader.functions.locations import OnStack
    from emulator.loader.functions.prototypes import Parameter, Prototype
    from emulator.loader.image import KernelImage
    from emulator.profile.discovery.candidates import Candidate

_MOST: Final = 6
_COUNTS: Final = frozenset(("count", "num", "nmemb", "nelem", "n", "number", "nitems", "nr", "nobj", "cnt"))
_PAGES: Final = frozenset(
    ("pages", "npages", "frames", "nframes", "nrpages", "numpages", "pgs", "npage", "nframe")
)
_ALIGN: Final = frozenset(("align", "alignment", "boundary"))
_ORDER: Final = frozenset(("order", "log2", "ord"))
_FRAME: Final = frozenset(("frame", "frames", "pfn", "ppn", "mfn"))
_NO_FRAME: Final = frozenset(("addr", "address", "pa", "va", "paddr", "vaddr", "phys", "ptr"))
_SIZE_FIELDS: Final = (
    "object_size",
    "obj_size",
    "objsize",
    "size",
    "block_size",
    "blksz",
    "elem_size",
    "item_size",
    "objectsize",
)
_PAGE_ARRAYS: Final = (
    "mem_map",
    "pages",
    "page_array",
    "pmm_pages",
    "page_table",
    "frames",
    "frame_table",
    "page_map",
    "vm_page_array",
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
_MEANT: Final = frozenset(("size", "count", "pages", "order", "align", "ptr", "frame", "out", "pool", "when"))
_C_WORDS: Final = frozenset(
    ("int", "long", "char", "short", "unsigned", "signed", "void", "const", "register", "struct")
)
_LENGTHS: Final = frozenset(("size", "order", "pages"))
_UNKNOWN: Final = "its parameters are not known without debug information"
_MAKING: Final = (Verb.ALLOC, Verb.CALLOC, Verb.REALLOC)


class Signature(NamedTuple):
    """What a profile says of a function.

    Attributes:
        parameters: Names of its parameters.
        result: ``ptr``, ``frame``, ``error`` or ``none``.
        block: Expression of the block; "": the result itself.
        facts: ``size = cache->object_size``, and the like.
        is_of_pages: Its blocks are runs of pages.
        places: Where the parameters are, as profiles name places; (): where the kernel's file says it.
        inputs: Places of which a run may show that they have the block or its size; (): there is no doubt.
        problem: Why it cannot be described; "": it can.
    """

    parameters: tuple[str, ...]
    result: str
    block: str = ""
    facts: tuple[str, ...] = ()
    is_of_pages: bool = False
    places: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    problem: str = ""

    def text(self, name: str) -> str:
        """Return it as it stands in a profile."""
        arrow = "" if self.result == "none" else f" -> {self.result}"
        block = f" = {self.block}" if self.block else ""
        facts = "".join(f", {each}" for each in self.facts)
        placed = zip(self.parameters, self.places, strict=True) if self.places else ()
        parameters = [f"{each} @ {place}" for each, place in placed] or self.parameters
        return f"{name}({', '.join(parameters)}){arrow}{block}{facts}"


def signature_of(image: KernelImage, candidate: Candidate) -> Signature:
    """Return the signature that a candidate seems to have."""
    declared = candidate.prototype
    if declared is None:
        return _placed(image, candidate, _without_prototype(candidate))
    meanings = _meanings(candidate, declared)
    names = _names(declared, meanings)
    is_of_pages = bool({"pages", "order", "frame"} & set(meanings.values()))
    is_of_pages |= "size" not in meanings.values() and not {"page", "frame"}.isdisjoint(
        stem_of(candidate.name)
    )
    if candidate.verb in (Verb.FREE, Verb.SHARE):
        facts, problem = _named_by_structure(image, declared, meanings, names)
        if facts:
            names = tuple("page" if each == "ptr" else each for each in names)
        return Signature(names, "none", facts=facts, is_of_pages=is_of_pages, problem=problem)
    if candidate.verb is Verb.RESET:
        return Signature(names, "none")
    return _making(image, candidate, declared, meanings, names, is_of_pages=is_of_pages)


def _without_prototype(candidate: Candidate) -> Signature:
    """Return the signature that most functions of such a name have."""
    is_frame = "frame" in stem_of(candidate.name)
    is_of_pages = is_frame or "page" in stem_of(candidate.name)
    size = () if is_of_pages else ("size",)
    block = "frame" if is_frame else "ptr"
    usual = {
        Verb.ALLOC: (size, block),
        Verb.CALLOC: (("count", "size"), "ptr"),
        Verb.REALLOC: (("ptr", "size"), "ptr"),
        Verb.FREE: ((block,), "none"),
        Verb.SHARE: ((block,), "none"),
    }
    parameters, result = usual.get(candidate.verb, ((), "none"))
    if not {"cache", "slab", "pool", "arena"}.isdisjoint(stem_of(candidate.name)) and parameters:
        return Signature(parameters, result, problem=_UNKNOWN)
    return Signature(parameters, result, is_of_pages=is_of_pages)


def _placed(image: KernelImage, candidate: Candidate, signature: Signature) -> Signature:
    """Add where the parameters are if the calling convention does not say it, or what a run has to show."""
    if signature.problem or not signature.parameters:
        return signature
    usual = parameter_locations(image, candidate.address, len(signature.parameters))
    places = tuple(_place(each) for each in inputs(image, candidate.address))
    is_open = len(places) > len(signature.parameters)
    if is_open and candidate.verb is Verb.CALLOC:
        return signature._replace(problem=_UNKNOWN)
    if len(places) == len(signature.parameters) == 1 and isinstance(usual[0], NotKnown):
        return signature._replace(places=places)
    return signature._replace(inputs=places) if is_open else signature


def _place(location: InRegister | OnStack) -> str:
    """Return what a place is called in profiles."""
    return location.register if isinstance(location, InRegister) else f"esp+{location.offset}"


def _making(
    image: KernelImage,
    candidate: Candidate,
    declared: Prototype,
    meanings: dict[int, str],
    names: tuple[str, ...],
    *,
    is_of_pages: bool,
) -> Signature:
    facts: tuple[str, ...] = ()
    if "pool" in meanings.values() and not _LENGTHS & set(meanings.values()):
        facts = _size_in_pool(image, candidate.address, meanings)
    if "out" in meanings.values():
        result = "none" if declared.plain_result == "void" else "error"
        return Signature(names, result, facts=facts, is_of_pages=is_of_pages)
    structure = _page_structure(declared.plain_result)
    if structure:
        block, problem = _page_number(image, structure, "result")
        return Signature(names, "ptr", block, is_of_pages=True, problem=problem)
    is_number = not declared.plain_result.endswith("*")
    words = {*words_of(declared.result), *words_of(candidate.name)}
    is_frame = is_number and bool(words & _FRAME) and not words & _NO_FRAME
    return Signature(names, "frame" if is_frame else "ptr", facts=facts, is_of_pages=is_of_pages or is_frame)


def _meanings(candidate: Candidate, declared: Prototype) -> dict[int, str]:
    """Return what parameters mean, by position."""
    found: dict[int, str] = {}
    makes = candidate.verb in _MAKING
    if makes and (out := out_parameter(declared)) is not None and not declared.plain_result.endswith("*"):
        found[out] = "out"
    if (
        candidate.verb in (Verb.FREE, Verb.SHARE, Verb.REALLOC)
        and (block := block_parameter(declared)) is not None
    ):
        found[block] = _block_name(candidate, declared.parameters[block])
    if candidate.verb is not Verb.RESET:
        _add_lengths(candidate, declared, found)
    for index, parameter in enumerate(declared.parameters):
        if index not in found and "pool" not in found.values() and is_pool(parameter):
            found[index] = "pool"
    return found


def _add_lengths(candidate: Candidate, declared: Prototype, found: dict[int, str]) -> None:
    numbers = {
        index: each
        for index, each in enumerate(declared.parameters)
        if index not in found and not each.plain_type.endswith("*")
    }
    is_of_pages = not {"page", "frame"}.isdisjoint(stem_of(candidate.name))
    meanings = {index: _length(each, is_of_pages=is_of_pages) for index, each in numbers.items()}
    _add_first(found, meanings, "align")
    for length in ("size", "order", "pages"):
        if not _LENGTHS.intersection(found.values()):
            _add_first(found, meanings, length)
    if not _LENGTHS.intersection(found.values()) and candidate.verb in _MAKING and not is_of_pages:
        guesses = {
            index: "size" for index, each in numbers.items() if index not in found and may_be_size(each)
        }
        if not guesses and is_plain(candidate.name) and len(declared.parameters) == 1:
            guesses = dict.fromkeys(numbers, "size")  # all that a kmalloc can be told
        _add_first(found, guesses, "size")
    if "size" in found.values() and candidate.verb is not Verb.FREE:
        counts = {
            index: "count"
            for index, each in numbers.items()
            if index not in found and set(words_of(each.name)) & _COUNTS
        }
        _add_first(found, counts, "count")


def _add_first(found: dict[int, str], meanings: dict[int, str], meaning: str) -> None:
    index = next((index for index, each in meanings.items() if each == meaning and index not in found), None)
    if index is not None:
        found[index] = meaning


def _length(parameter: Parameter, *, is_of_pages: bool) -> str:
    """Return what a number says of a block by its name; "" if nothing."""
    words = set(words_of(parameter.name))
    if words & _ALIGN:
        return "align"
    if words & _ORDER:
        return "order"
    if words & _PAGES or (is_of_pages and words & _COUNTS):
        return "pages"
    return "size" if is_size(parameter) else ""


def _block_name(candidate: Candidate, parameter: Parameter) -> str:
    if parameter.plain_type.endswith("*"):
        return "ptr"
    words = {*words_of(parameter.name), *words_of(parameter.type)}
    if words & _NO_FRAME:
        return "ptr"
    return "frame" if words & _FRAME or "frame" in stem_of(candidate.name) else "ptr"


def _names(declared: Prototype, meanings: dict[int, str]) -> tuple[str, ...]:
    """Return the names of the parameters up to the last one with a name or a meaning, each once."""
    telling = [index for index, each in enumerate(declared.parameters) if each.name or index in meanings]
    names: list[str] = []
    for index, parameter in enumerate(declared.parameters[: min(_MOST, max(telling, default=-1) + 1)]):
        own = parameter.name if _IDENTIFIER.fullmatch(parameter.name) else f"argument{index + 1}"
        if own in _MEANT or own in _C_WORDS or own in names:
            own = f"{own}_{index + 1}"
        names.append(meanings.get(index, own))
    return tuple(names)


def _size_in_pool(image: KernelImage, address: int, meanings: dict[int, str]) -> tuple[str, ...]:
    pool = next(index for index, meaning in meanings.items() if meaning == "pool")
    for field in _SIZE_FIELDS:
        found = field_of(image, address, pool, field)
        if found is not None and found.size == 4:  # noqa: PLR2004 - a word
            return (f"size = pool->{field}",)
    return ()


def _page_structure(plain_type: str) -> str:
    """Return the structure that describes one page, if a type points to it."""
    name = plain_type.removesuffix("*").strip()
    is_one = plain_type.endswith("*") and not {"page", "frame"}.isdisjoint(words_of(name.split(" ")[-1]))
    return name if is_one and not name.endswith("*") else ""


def _page_number(image: KernelImage, structure: str, value: str) -> tuple[str, str]:
    """Return the address of the page that a structure describes as an expression, or else why there is none."""
    for name in _PAGE_ARRAYS:
        array = variable(image, name)
        if array is not None and array.element_size and structure in array.type:
            return f"({value} - {name}) / {array.element_size} * {PAGE_SIZE}", ""
    return "", f"it names pages by {structure} *, and no array of them was found"


def _named_by_structure(
    image: KernelImage, declared: Prototype, meanings: dict[int, str], names: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    """Return the block that is freed, where a structure describes it, as a fact; and why there is none."""
    block = next((index for index, meaning in meanings.items() if meaning == "ptr"), None)
    if block is None or block >= len(names):
        return (), "" if "frame" in meanings.values() else "no parameter says which block"
    structure = _page_structure(declared.parameters[block].plain_type)
    if not structure:
        return (), ""
    expression, problem = _page_number(image, structure, "page")
    return ((f"ptr = {expression}",) if expression else ()), problem
