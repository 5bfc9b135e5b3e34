"""What shows that a kernel is the one of a built-in profile.

One name proves nothing: many kernels have a ``kmem_init``, and mean something else. So all functions are needed, those variables and fields
of structures that the profile names, and, as far as there is debug information, functions that take and return what the profile says.
docs/profiles.md describes the table ``[evidence]``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.loader.functions.names import find_functions
from emulator.loader.functions.prototypes import prototype
from emulator.profile.functions import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from emulator.loader.functions.prototypes import Prototype
    from emulator.loader.image import KernelImage
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile

_WORDS_WITHOUT_MEANING: Final = frozenset(
    ("const", "volatile", "struct", "union", "enum", "class", "restrict", "register")
)
_LENGTHS: Final = frozenset(("signed", "unsigned", "short", "long"))
_C_WORDS: Final = _LENGTHS | {"void", "char", "int", "float", "double", "bool", "_Bool"}
_ANY: Final = "_"
_DECLARATION = re.compile(r"(.*?)([A-Za-z_$][\w$.]*)\s*\((.*)\)\s*", re.DOTALL)
_NO_WORDS: Final = frozenset(
    (
        "char",
        "signed char",
        "unsigned char",
        "short int",
        "short unsigned int",
        "bool",
        "_Bool",
        "float",
        "double",
    )
)
_NUMBERS: Final = frozenset(("size", "count", "pages", "order", "align", "frame"))
_ADDRESSES: Final = frozenset(("ptr", "out"))


class Evidence(NamedTuple):
    """What a kernel has besides the functions of a profile.

    Attributes:
        variables: Symbols of data.
        prototypes: Declarations of functions in C.
        structures: Fields of structures: ``run.next``.
        optional: Functions, and areas as a whole, that a kernel may lack.
        optional_areas: Areas that a kernel may lack as a whole, with variables of one that has them.
    """

    variables: tuple[str, ...] = ()
    prototypes: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    optional_areas: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Fit(NamedTuple):
    """How well a built-in profile fits a kernel.

    Attributes:
        profile: Without the optional functions that the kernel lacks; the whole one where it does not fit.
        missing: What shows that it is another kernel, as text; empty: the profile fits.
        share: Which part of what the kernel has to have is there, 0 to 1.
        weight: How many pieces of evidence there are besides the functions' names.
        reason: What was found, for people.
    """

    profile: Profile
    missing: tuple[str, ...]
    share: float
    weight: int
    reason: str


def evidence_in(document: Mapping[str, Any]) -> Evidence:
    """Return the evidence in the document of a built-in profile; without the table, there is none besides the functions."""
    table = dict(document.get("evidence", {}))
    areas = {area: tuple(names) for area, names in table.pop("optional_areas", {}).items()}
    return Evidence(**{key: tuple(value) for key, value in table.items()}, optional_areas=areas)


def fit(profile: Profile, evidence: Evidence, image: KernelImage) -> Fit:
    """Compare a kernel with a built-in profile.

    Raises:
        BadImage: The kernel's symbol table is damaged.
    """
    addresses = {each.name: _address(image, each.name) for each in profile.functions}
    there = tuple(name for name, address in addresses.items() if address is not None)
    kept = tuple(_kept(profile, evidence, there, image))
    missing = [each.name for each in kept if each.name not in there]
    missing += [name for name in evidence.variables if image.symbol(name) is None]
    known = {
        each.name: found
        for each in kept
        if (address := addresses[each.name]) is not None and (found := prototype(image, address)) is not None
    }
    missing += _wrong_prototypes(kept, evidence, known)
    if known:
        missing += [
            f"the field {each}"
            for each in evidence.structures
            if not any(_has_field(image, addresses[name], each) for name in known)
        ]
    weight = len(evidence.variables) + (len(known) + len(evidence.structures) if known else 0)
    pieces = len(kept) + len(evidence.variables) + (len(evidence.structures) if known else 0)
    reduced = profile if missing else profile.with_functions(kept)
    return Fit(reduced, tuple(missing), 1 - len(missing) / pieces, weight, _reason(kept, evidence, known))


def normal_type(text: str) -> tuple[str, ...]:
    """Return a type of C without what does not matter when two are compared: ``const struct page *`` is ``page*``."""
    tokens = re.findall(r"[\w:$]+|[^\s\w]", text)
    words = [each for each in tokens if each not in _WORDS_WITHOUT_MEANING]
    if _LENGTHS.intersection(words):
        words = [each for each in words if each != "int"]
    if "signed" in words and "char" not in words:
        words = [each for each in words if each != "signed"] if words != ["signed"] else ["int"]
    names = sorted(each for each in words if each[0].isalnum() or each[0] == "_")
    return (*names, *(each for each in words if each not in names))


def _address(image: KernelImage, name: str) -> int | None:
    found = find_functions(image, name)
    return found[0].address if found else None


def _kept(
    profile: Profile, evidence: Evidence, there: Sequence[str], image: KernelImage
) -> Iterator[TracedFunction]:
    """Yield the functions of a profile without the optional ones that the kernel lacks."""
    lacking = {each.area for each in profile.functions if each.name not in there}
    lacking |= {
        area
        for area, variables in evidence.optional_areas.items()
        if any(image.symbol(each) is None for each in variables)
    }
    left_out = lacking.intersection([*evidence.optional, *evidence.optional_areas])
    for each in profile.functions:
        is_lacking = each.name in evidence.optional and each.name not in there
        if each.area not in left_out and not is_lacking:
            yield each


def _has_field(image: KernelImage, address: int | None, path: str) -> bool:
    structure, _, rest = path.partition(".")
    return address is not None and image.declarations.has_field(address, structure, rest)


def _wrong_prototypes(
    functions: Sequence[TracedFunction], evidence: Evidence, known: Mapping[str, Prototype]
) -> Iterator[str]:
    """Yield what functions take or return that the profile does not expect."""
    declared = dict(map(declaration, evidence.prototypes))
    for function in functions:
        found = known.get(function.name)
        if found is None:
            continue
        if function.name in declared:
            is_right = _is_declared_so(found, declared[function.name])
        else:
            is_right = has_shape(found, function)
        if not is_right:
            yield f"{function.name} as the profile has it"


def declaration(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the name that C declares, and the types of the result and of the parameters.

    Raises:
        ValueError: It is no declaration of a function.
    """
    match = _DECLARATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no declaration such as 'void *kmalloc(size_t size)'")
    parameters = [each.strip() for each in match[3].split(",")]
    return match[2], (
        match[1].strip(),
        *(_type_only(each) for each in parameters if each not in ("", "void")),
    )


def _type_only(parameter: str) -> str:
    """Return the type of a parameter that may have a name."""
    words = re.findall(r"[\w:$]+|[^\s\w]", parameter)
    types = [each for each in words if each not in _WORDS_WITHOUT_MEANING]
    has_name = len(types) > 1 and types[-1][0].isidentifier() and types[-1] not in _C_WORDS
    return " ".join(words[:-1]) if has_name else parameter


def _is_declared_so(found: Prototype, types: Sequence[str]) -> bool:
    there = [(found.result, found.plain_result), *((each.type, each.plain_type) for each in found.parameters)]
    return len(there) == len(types) and all(
        wanted == _ANY or normal_type(wanted) in map(normal_type, names)
        for wanted, names in zip(types, there, strict=True)
    )


def has_shape(found: Prototype, function: TracedFunction) -> bool:
    """Return whether a function can be what a signature says."""
    if len(found.parameters) < function.argument_count:
        return False
    if function.result is not Result.NONE and found.plain_result == "void":
        return False
    if function.result in (Result.POINTER, Result.FRAME) and found.plain_result in _NO_WORDS:
        return False
    named = zip(function.parameters, (each.plain_type for each in found.parameters), strict=False)
    return all(_can_be(name, plain_type) for name, plain_type in named)


def _can_be(parameter: str, plain_type: str) -> bool:
    """Return whether a value of a type can be what a parameter of this name means."""
    if parameter in _ADDRESSES:
        return plain_type not in _NO_WORDS
    return parameter not in _NUMBERS or not plain_type.endswith(("*", "float", "double"))


def _reason(functions: Sequence[TracedFunction], evidence: Evidence, known: Mapping[str, Prototype]) -> str:
    count = len(functions)
    names = (
        f"all {count} functions" if count > 1 else f"the function {functions[0].name}" if functions else ""
    )
    if known:
        files = sorted({each.file for each in known.values()})
        where = f" of {files[0]}" if len(files) == 1 else ""
        names += f"{where} with their prototypes"
    parts = [names, *_named("variable", evidence.variables)]
    if known:
        parts += _named("field", evidence.structures)
    return ", ".join(parts)


def _named(noun: str, names: Sequence[str]) -> list[str]:
    """Return a part of a reason: names, or how many there are."""
    few = 3
    if not names:
        return []
    if len(names) > few:
        return [f"{len(names)} {noun}s"]
    return [f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"]
