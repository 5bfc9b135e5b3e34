"""Read a profile from TOML. The format is described in docs/profiles.md.

A function stands there as one line, ``alloc_frames(pages) -> frame``:

signature  = FUNCTION "(" [ parameter { "," parameter } ] ")" [ "->" result ] { "," NAME "=" expression }
parameter  = NAME [ "@" place ]
place      = "eax" | "ecx" | "edx" | "ebx" | "esi" | "edi" | "ebp" | "esp+" NUMBER
result     = ( "ptr" | "frame" ) [ "=" expression ] | "error" | "value" | "none"

Expressions are those of `emulator.profile.expressions`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from emulator.errors import BadFile
from emulator.loader.files import read_text
from emulator.profile.expressions import RESULT, names_in, parse
from emulator.profile.functions import Result, Role, TracedFunction, is_function_name
from emulator.profile.model import PAGES, PLAIN_AREA, AreaRules, Profile, SpaceRules
from emulator.wording import shortened, shown_keys
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from emulator.profile.suppressions import Suppression
    from emulator.profile.tasks import TaskRules

_LARGEST_FILE: Final = 1 << 16  # bytes
_LONGEST_PROBLEM: Final = 100  # characters
_ROLES: Final = {role.value: role for role in Role}
_FLAGS: Final = ("pages", "interior")
_NUMBERS: Final = ("header", "alignment")
_AREA_KEYS: Final = (*_ROLES, "failure", *_FLAGS, *_NUMBERS)
_SPACES: Final = "address_spaces"
_PAGE_ZERO: Final = "page_zero"
_USED: Final = "used"
_ALLOCATOR: Final = "allocator"
_SUPPRESSIONS: Final = "suppressions"
_TASKS: Final = "tasks"
_TASK_TEXTS: Final = ("list", "id", "next", "name", "current", "stack", "esp")
_TASK_KEYS: Final = (*_TASK_TEXTS, "unused", "stack_size", "pushed")
_PAGE_RULES: Final = ("freed_but_mapped", "writable_twice")
_SPACE_KEYS: Final = (*_PAGE_RULES, "direct_map")
_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|[1-9][0-9]*|0)")
_FACT = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*(.+?)\s*")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_UNUSED = re.compile(rf"\s*({_PATH.pattern})\s*=\s*(0[xX][0-9a-fA-F]{{1,8}}|[1-9][0-9]{{0,9}}|0)\s*")
_AFTER_PARAMETERS = re.compile(r"\s*(->|,|$)")
_FAILURES: Final = {Result.POINTER: 0, Result.FRAME: 0xFFFF_FFFF}
_SYNTAX_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


def read_profile(path: str | os.PathLike[str]) -> Profile:
    """Read a profile. Its name is what the key ``name`` says, or else the file's name without its ending.

    Raises:
        BadFile: The file cannot be read, or it is no profile.
    """
    return ProfileFile.read(str(path)).profile()


def parse_profile(text: str, path: str) -> Profile:
    """Return the profile that a text is.

    Args:
        text: As in a file.
        path: That file, for messages.

    Raises:
        BadFile: It is no profile.
    """
    return ProfileFile(path, text).profile()


class ProfileFile:
    """The text of a file, which `profile` turns into one.

    Args:
        path: The file, for messages.
        text: What it contains.

    Attributes:
        document: The text as TOML.

    Raises:
        BadFile: It is no TOML.
    """

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self.document = self._parse()

    @classmethod
    def read(cls, path: str) -> ProfileFile:
        """Read a file.

        Raises:
            BadFile: It cannot be read, or is no TOML.
        """
        return cls(path, read_text(path, _LARGEST_FILE))

    @property
    def name(self) -> object:
        """What the file calls its profile, unchecked; where it does not, its own name without the ending."""
        if "name" in self.document:
            return self.document["name"]
        from pathlib import Path  # slow, and the built-in ones have names

        return Path(self._path).stem

    def profile(self) -> Profile:
        """Return the profile.

        Raises:
            BadFile: It is none.
        """
        document = dict(self.document)
        name = self.name
        document.pop("name", None)
        if not isinstance(name, str):
            raise self._wrong(f"{shortened(name)} is no string", "name")
        page_zero = document.pop(_PAGE_ZERO, None)
        if page_zero not in (None, _USED):
            raise self._wrong(f'{shortened(page_zero)} is not "{_USED}"', _PAGE_ZERO)
        document.pop("evidence", None)  # see emulator.profile.evidence
        allocator = self._strings(_ALLOCATOR, document)
        suppressions = self._suppressions(document)
        space_rules = self._space_rules(document.pop(_SPACES, {}))
        tasks = self._task_rules(document.pop(_TASKS, None))
        functions: dict[str, TracedFunction] = {}
        area_rules: dict[str, AreaRules] = {}
        for area, value in document.items():
            table = self._table(area, value)
            for key, signature, function in self._functions(area, table):
                if function.name in functions:
                    problem = f"function {function.name} is there twice"
                    raise self._wrong(problem, area, key, signature=signature)
                functions[function.name] = function
            rules = self._area_rules(area, table)
            if rules != PLAIN_AREA:
                area_rules[area] = rules
        if not any(each.pages for each in area_rules.values()):
            self._check_rules_without_pages(space_rules)
        try:
            return Profile(
                name,
                tuple(functions.values()),
                area_rules,
                space_rules,
                uses_page_zero=page_zero == _USED,
                allocator=allocator,
                suppressions=suppressions,
                tasks=tasks,
            )
        except ValueError as error:
            raise BadFile(self._path, str(error)) from error

    def _parse(self) -> dict[str, object]:
        try:
            return tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            found = _SYNTAX_LINE.search(message)
            line = int(found[1]) if found else None
            problem = _SYNTAX_LINE.sub("", message)
            if len(problem) > _LONGEST_PROBLEM:  # it quotes keys whole
                problem = f"{problem[:_LONGEST_PROBLEM]}..."
            raise BadFile(self._path, f"is no TOML: {problem}", line=line) from error
        except ValueError as error:
            raise BadFile(self._path, "contains a number of thousands of digits") from error
        except RecursionError as error:
            raise BadFile(self._path, "is nested too deeply") from error

    def _strings(self, key: str, document: dict[str, object]) -> tuple[str, ...]:
        """Take a list of strings, or one string, out of the document."""
        value = document.pop(key, [])
        found = value if isinstance(value, list) else [value]
        for each in found:
            if not isinstance(each, str):
                raise self._wrong(f"{shortened(each)} is no string", key)
            if not each:
                raise self._wrong("a string is empty", key)
        return tuple(found)

    def _suppressions(self, document: dict[str, object]) -> tuple[Suppression, ...]:
        """Take the findings that are left out out of the document."""
        texts = self._strings(_SUPPRESSIONS, document)
        if not texts:
            return ()
        from emulator.profile.suppressions import parse_suppression  # few profiles have any

        found = []
        for text in texts:
            try:
                found.append(parse_suppression(text))
            except ValueError as error:
                raise self._wrong(str(error), _SUPPRESSIONS, signature=text) from error
        return tuple(found)

    def _table(self, area: str, value: object) -> dict[str, object]:
        """Return the table of an area, its keys checked."""
        if not isinstance(value, dict):
            belongs = "it belongs into the table of an area, such as [heap]"
            raise self._wrong(belongs if area in _AREA_KEYS else "unknown key", area)
        for key in value:
            if key not in _AREA_KEYS:
                raise self._wrong(f"unknown key; there are: {', '.join(_AREA_KEYS)}", area, key)
        for key in _FLAGS:
            if not isinstance(value.get(key, False), bool):
                raise self._wrong(f"{shortened(value[key])} is neither true nor false", area, key)
        for key in _NUMBERS:
            number = value.get(key, 0)
            if isinstance(number, bool) or not isinstance(number, int):
                raise self._wrong(f"{shortened(number)} is no integer", area, key)
        return value

    def _area_rules(self, area: str, table: dict[str, object]) -> AreaRules:
        """Read what holds in an area, whose keys are checked."""
        rules = PAGES if table.get("pages") else PLAIN_AREA
        for key in (*_FLAGS, *_NUMBERS):
            if key in table:
                chosen: Any = {key: table[key]}
                try:
                    rules = replace(rules, **chosen)
                except ValueError as error:
                    raise self._wrong(str(error), area, key) from error
        return rules

    def _space_rules(self, table: object) -> SpaceRules:
        """Read the table that says what address spaces keep."""
        if not isinstance(table, dict):
            raise self._wrong(f"{shortened(table)} is no table", _SPACES)
        for key, value in table.items():
            if key not in _SPACE_KEYS:
                raise self._wrong(f"unknown key; there are: {', '.join(_SPACE_KEYS)}", _SPACES, key)
            if key != "direct_map" and not isinstance(value, bool):
                raise self._wrong(f"{shortened(value)} is neither true nor false", _SPACES, key)
        ranges = table.get("direct_map", [])
        if not isinstance(ranges, list) or not all(map(_is_range, ranges)):
            raise self._wrong(
                "it is no list of ranges such as [0xC0000000, 0xE0000000]", _SPACES, "direct_map"
            )
        direct_map = tuple((start, end) for start, end in ranges)
        return SpaceRules(**{**table, "direct_map": direct_map})

    def _task_rules(self, table: object) -> TaskRules | None:
        """Read the table that says where tasks are."""
        if table is None:
            return None
        from emulator.profile.tasks import TaskRules  # few profiles say it

        if not isinstance(table, dict):
            raise self._wrong(f"{shortened(table)} is no table", _TASKS)
        for key, value in table.items():
            if key not in _TASK_KEYS:
                raise self._wrong(f"unknown key; there are: {', '.join(_TASK_KEYS)}", _TASKS, key)
            if key in _TASK_TEXTS and not (isinstance(value, str) and _PATH.fullmatch(value)):
                raise self._wrong(f"{shortened(value)} is no name, or names with dots between", _TASKS, key)
        size = table.get("stack_size", 0)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= WORD_MAX:
            raise self._wrong(f"{shortened(size)} is no number of bytes", _TASKS, "stack_size")
        unused = self._unused(table["unused"]) if "unused" in table else None
        pushed = table.get("pushed", [])
        if not isinstance(pushed, list) or not all(isinstance(each, str) for each in pushed):
            raise self._wrong(f"{shortened(pushed)} is no list of registers", _TASKS, "pushed")
        texts = {key: value for key, value in table.items() if key in _TASK_TEXTS}
        try:
            return TaskRules(
                **{"list": "", "id": "", **texts}, stack_size=size, unused=unused, pushed=tuple(pushed)
            )
        except ValueError as error:
            raise self._wrong(str(error), _TASKS) from error

    def _unused(self, value: object) -> tuple[str, int]:
        found = _UNUSED.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self._wrong(f'{shortened(value)} is no field with a number: "state = 0"', _TASKS, "unused")
        return found[1], int(found[2], 0)

    def _check_rules_without_pages(self, rules: SpaceRules) -> None:
        """Refuse what would be looked for in the pages of no area."""
        for key in _PAGE_RULES:
            if getattr(rules, key):
                problem = "it is about areas with pages = true, and there is none"
                raise self._wrong(problem, _SPACES, key)

    def _functions(self, area: str, table: dict[str, object]) -> Iterator[tuple[str, str, TracedFunction]]:
        """Yield the functions of an area, each with its key and its signature."""
        failures = self._failures(area, table)
        for key, role in _ROLES.items():
            for signature in self._signatures(area, key, table):
                try:
                    yield key, signature, _parse_signature(signature, role, area, failures)
                except ValueError as error:
                    raise self._wrong(str(error), area, key, signature=signature) from error

    def _signatures(self, area: str, key: str, table: dict[str, object]) -> Iterator[str]:
        value = table.get(key, [])
        for signature in value if isinstance(value, list) else [value]:
            if not isinstance(signature, str):
                raise self._wrong(f"{shortened(signature)} is no string", area, key)
            yield signature

    def _failures(self, area: str, table: dict[str, object]) -> list[tuple[int, int]]:
        """Return the results that say "no block" as ranges [first, last] of unsigned words; the first one is a single word."""
        value = table.get("failure", [])
        first, *others = value if isinstance(value, list) and value else [value]
        if first == []:
            return []
        found = [_failure(first) if isinstance(first, int) else None, *map(_failure, others)]
        for each, failure in zip([first, *others], found, strict=True):
            if failure is None:
                problem = f"{shortened(each)} is no integer of 32 bits"
                if each is not first:
                    problem += ', and no range such as "-4095..-1"'
                raise self._wrong(problem, area, "failure")
        return [each for each in found if each is not None]

    def _wrong(self, problem: str, *keys: str, signature: str = "") -> BadFile:
        """Make the error for a value: one or two keys lead to it, and its signature if it is one."""
        line = _find(self._text, keys, signature)
        return BadFile(self._path, problem, line=line, key=shown_keys(keys))


def _failure(value: object) -> tuple[int, int] | None:
    """Return the first and the last word that a value of ``failure`` means; None: it is none."""
    if isinstance(value, str):
        ends = [int(each, 0) if _INTEGER.fullmatch(each) else None for each in value.split("..")]
    else:
        ends = [value, value] if isinstance(value, int) and not isinstance(value, bool) else []
    match ends:
        case [int(first), int(last)] if -1 << 31 <= first <= last < 1 << 32 and (first < 0) == (last < 0):
            return first & WORD_MAX, last & WORD_MAX
    return None


def _is_range(value: object) -> bool:
    """Return whether a value is [start, end), not empty, of linear addresses."""
    match value:
        case [int(start), int(end)]:
            return 0 <= start < end <= 1 << 32 and not isinstance(start, bool)
    return False


def _find(text: str, keys: tuple[str, ...], signature: str) -> int | None:
    """Return the line, from 1, of a value; None where it is written in an unusual way. tomllib does not report lines.

    A key is searched for after the header of its table, and a signature after its key.
    """
    table, *key = (rf"[ \t]*[\"']?{re.escape(each)}[\"']?[ \t]*" for each in keys)
    patterns = [rf"^[ \t]*\[{table}\]", rf"^{key[0]}="] if key else [rf"^[ \t]*\[?{table}[=\]]"]
    position = 0
    for pattern in patterns:
        match = re.compile(pattern, re.MULTILINE).search(text, position)
        if match is None:
            return None
        position = match.end()
    position = max(position, text.find(signature, position))
    return text.count("\n", 0, position) + 1


def _parse_signature(
    text: str, role: Role, area: str, area_failures: Sequence[tuple[int, int]]
) -> TracedFunction:
    """Read a signature.

    Where it names no result: ``ptr`` for alloc and realloc (``error`` when there is a parameter ``out``), ``none`` for
    all others.

    Args:
        text: The signature.
        role: The function's.
        area: Name of its area.
        area_failures: The results that mean "no block" in its area, as ranges of unsigned words; none: 0 for an address, 0xffffffff for a
            frame, not known for an error.

    Raises:
        ValueError: It is no signature, or means nothing in its role.
    """
    name, listed, rest = _split_signature(text)
    parameters, places = _parameters(listed)
    arrow, (first, *facts) = rest.startswith("->"), _split_at_commas(rest.removeprefix("->"))
    result_text, _, block = map(str.strip, first.partition("="))
    if arrow != bool(result_text) or " " in result_text or (" " in name and not is_function_name(name)):
        raise _no_signature(text)
    result = _result(result_text) if arrow else _default_result(role, parameters)
    failure = None
    others: tuple[tuple[int, int], ...] = ()
    if (
        role.makes_block
        and result is not Result.NONE
        and not (result in _FAILURES and block and RESULT not in names_in(parse(block)))
    ):
        failure = area_failures[0][0] if area_failures else _FAILURES.get(result)
        others = tuple(area_failures[1:]) if result in _FAILURES else ()
    found = [_FACT.fullmatch(each) for each in facts]
    if None in found:
        raise _no_signature(text)
    computed = [each.groups() for each in found if each is not None]
    return TracedFunction(
        name,
        area,
        role,
        (*parameters, *(each for each, _ in computed)),
        result,
        failure,
        tuple(expression for _, expression in computed),
        block,
        places,
        other_failures=others,
    )


def _no_signature(text: str) -> ValueError:
    return ValueError(
        f'{shortened(text)} is no signature such as "kmalloc(size) -> ptr"; C types are left out'
    )


def _split_signature(text: str) -> tuple[str, str, str]:
    """Return the function, what stands between its parentheses, and what follows; a name of C++ has parentheses of its own."""
    depth = start = 0
    for position, character in enumerate(text):
        if character == "(":
            start = start if depth else position
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0 and text[:start].strip() and _AFTER_PARAMETERS.match(text, position + 1):
                return text[:start].strip(), text[start + 1 : position], text[position + 1 :].strip()
    raise _no_signature(text)


def _parameters(listed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names and places of the parameters."""
    parts = [each.partition("@") for each in listed.split(",")] if listed.strip() else []
    places = tuple(place.strip() for _, _, place in parts)
    return tuple(name.strip() for name, _, _ in parts), places if any(places) else ()


def _split_at_commas(text: str) -> list[str]:
    """Split what follows the parameters; it begins with the result, which may be missing."""
    return [each.strip() for each in text.split(",")]


def _default_result(role: Role, parameters: tuple[str, ...]) -> Result:
    if not role.makes_block:
        return Result.NONE
    return Result.ERROR if "out" in parameters else Result.POINTER


def _result(text: str) -> Result:
    known = [result.value for result in Result]
    if text not in known:
        raise ValueError(f"result {shortened(text)} is not one of {', '.join(known)}")
    return Result(text)
