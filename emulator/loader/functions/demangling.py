"""Turn the symbols of C++ and Rust into names as they stand in the source.

Both follow the Itanium C++ ABI but for Rust's newer scheme (RFC 2603), whose symbols begin with ``_R``. Rust's older symbols end with a
hash that is another in each build, and write what C++ does not know as escapes: ``_$LT$alloc..alloc..Global$u20$as$u20$...``.
"""

from __future__ import annotations

import re
from typing import Final

_PREFIXES: Final = ("_Z", "_R")
_LONGEST: Final = 4096  # characters; the demangler calls itself for each level of nesting
_RUST_HASH: Final = re.compile(r"17h[0-9a-f]{16}E\Z")
_HASH_SIZE: Final = len("::h") + 16
_COMPILERS_OWN: Final = "__rustc::"
_ESCAPE: Final = re.compile(r"\$(\w+)\$|\.\.")
_ESCAPED: Final = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_HEXADECIMAL: Final = re.compile("u[0-9a-f]{1,4}")
_AFTER_PARAMETERS: Final = re.compile(r"(?: const| volatile| &&?|\[[^]]*\])*\Z")
_OPENING, _CLOSING = "(<[{", ")>]}"


def demangled(symbol: str) -> str:
    """Return the name of a C++ or Rust symbol, or another symbol as it is.

    Hashes are left out, and so is the crate in front of the functions that rustc makes: they are ``__rust_alloc`` in each of its versions.

    Args:
        symbol: Without the suffixes of copies. A name is returned as it is, too.
    """
    name = symbol
    if symbol.startswith(_PREFIXES) and len(symbol) <= _LONGEST:
        import pycxxfilt

        try:
            name = pycxxfilt.demangle(symbol) or symbol
        except ValueError:  # it only looks like one
            return symbol
        if _RUST_HASH.search(symbol):
            return "::".join(map(_without_escapes, name[:-_HASH_SIZE].split("::")))
    return name.removeprefix(_COMPILERS_OWN)


def differs_in_each_build(symbol: str) -> bool:
    """Return whether a symbol is one of Rust, in which hashes are."""
    return symbol.startswith("_R") or _RUST_HASH.search(symbol) is not None


def without_parameters(name: str) -> str:
    """Return a demangled name of C++ without types of parameters and result; another name as it is."""
    end = name.rfind(")") + 1
    if not end or not _AFTER_PARAMETERS.match(name, end):
        return name
    start = _beginning_of_parameters(name, end)
    return name[_result_end(name, start) : start] if start else name


def _beginning_of_parameters(name: str, end: int) -> int:
    """Return where the parenthesis begins that ends at *end*; 0 where it does not."""
    if name.count("(") == 1:  # most names
        return name.index("(")
    depth = 0
    for start in range(end - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(name[start], 0)
        if depth == 0:
            return start
    return 0


def _result_end(name: str, end: int) -> int:
    """Return where the result's type ends that stands in front of a template's name; operators have spaces of their own."""
    if " " not in name[:end]:
        return 0
    last = name.rfind("operator", 0, end)
    depth = 0
    for position in range((end if last < 0 else last) - 1, -1, -1):
        character = name[position]
        depth += (character in _CLOSING) - (character in _OPENING)
        if character == " " and depth == 0:
            return position + 1
    return 0


def _without_escapes(part: str) -> str:
    return _ESCAPE.sub(_unescaped, part.removeprefix("_") if part.startswith("_$") else part)


def _unescaped(escape: re.Match[str]) -> str:
    code: str | None = escape[1]
    if code is None:
        return "::"
    return chr(int(code[1:], 16)) if _HEXADECIMAL.fullmatch(code) else _ESCAPED.get(code, escape[0])
