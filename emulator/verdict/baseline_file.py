"""Reads a baseline's file, which people edit. The format is described in docs/baseline.md."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NoReturn

from emulator.check.findings import Kind
from emulator.errors import BadBaseline
from emulator.loader.files import read_file
from emulator.profile.model import shortened
from emulator.verdict.baseline import VERSION, AreaNumbers, Baseline, KnownFinding
from emulator.verdict.json_places import line_of
from emulator.verdict.tolerances import AREA_KEYS, CALLER_KEYS, check_pattern, parse_tolerance

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

_LARGEST_FILE: Final = 1 << 24  # bytes
_LARGEST_NUMBER: Final = 1 << 63
_KEYS: Final = ("version", "tolerances", "areas", "findings")
_FINDING_TEXTS: Final = ("kind", "area", "message")
_FINDING_KEYS: Final = (*_FINDING_TEXTS, "count")
_KINDS: Final = frozenset(kind.value for kind in Kind)
_ID: Final = re.compile(r"[0-9a-f]{12}")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_.*?-]{1,60}")

Table = dict[str, object]


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises:
        BadBaseline: The file cannot be read, or it is no baseline.
    """
    name = str(path)
    try:
        text = read_file(name, _LARGEST_FILE).decode()
    except FileNotFoundError as error:
        raise BadBaseline(name, "is not there (make it with --update-baseline)") from error
    except OSError as error:
        raise BadBaseline(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadBaseline(name, f"is not UTF-8: {error.reason} at byte {error.start}") from error
    return _Reader(name, text).baseline()


class _DuplicateKey(ValueError):
    """A key that an object has twice."""


class _Reader:
    """Turns the text of one file into a baseline.

    Args:
        path: The file, for messages.
        text: What it contains.
    """

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text

    def baseline(self) -> Baseline:
        document = self._parse()
        if not isinstance(document, dict):
            raise BadBaseline(self._path, f"is no baseline: {shortened(document)} instead of an object")
        self._version(document)
        self._check_keys(document, _KEYS, ())
        return Baseline(
            {name: self._area(value, ("areas", name)) for name, value in self._table(document, "areas")},
            {
                name: self._finding(name, value, ("findings", name))
                for name, value in self._table(document, "findings")
            },
            {name: self._tolerance(name, value) for name, value in self._table(document, "tolerances")},
        )

    def _parse(self) -> object:
        try:
            document: object = json.loads(
                self._text, object_pairs_hook=_object, parse_constant=_refuse_constant
            )
        except json.JSONDecodeError as error:
            raise BadBaseline(
                self._path, f"is no JSON: {error.msg}, column {error.colno}", line=error.lineno
            ) from error
        except _DuplicateKey as error:
            key = str(error)
            raise BadBaseline(
                self._path, "is there twice", line=self._last_line(key), key=_shown(key)
            ) from error
        except RecursionError as error:
            raise BadBaseline(self._path, "is nested too deeply") from error
        except ValueError as error:  # a number that is none, or of thousands of digits
            raise BadBaseline(self._path, "contains a number that is infinite, none, or too long") from error
        return document

    def _last_line(self, key: str) -> int | None:
        at = max(self._text.rfind(json.dumps(key)), self._text.rfind(json.dumps(key, ensure_ascii=False)))
        return None if at < 0 else self._text.count("\n", 0, at) + 1

    def _version(self, document: Table) -> None:
        version = document.get("version")
        if version is None:
            raise BadBaseline(self._path, "is no baseline: it has no key 'version'")
        if type(version) is not int or version != VERSION:
            self._wrong(f"{shortened(version)} is not {VERSION}, the only one known", "version")

    def _check_keys(self, table: Table, known: Sequence[str], place: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._wrong(f"unknown key; there are: {', '.join(known)}", *place, key)
        for key in known:
            if key not in table:
                self._wrong("is missing", *place, key)

    def _table(self, document: Table, key: str) -> list[tuple[str, object]]:
        return list(self._object(document[key], (key,)).items())

    def _object(self, value: object, place: tuple[str, ...]) -> Table:
        if not isinstance(value, dict):
            self._wrong(f"{shortened(value)} is no object", *place)
        return value

    def _area(self, value: object, place: tuple[str, ...]) -> AreaNumbers:
        table = self._object(value, place)
        self._check_keys(table, (*AREA_KEYS, "callers"), place)
        values: dict[str, float] = {
            key: self._number(table[key], (*place, key)) for key in AREA_KEYS if key != "fragmentation"
        }
        values["fragmentation"] = self._share(table["fragmentation"], (*place, "fragmentation"))
        here = *place, "callers"
        callers = self._object(table["callers"], here)
        return AreaNumbers(
            values, {name: self._caller(each, (*here, name)) for name, each in callers.items()}
        )

    def _caller(self, value: object, place: tuple[str, ...]) -> dict[str, int]:
        table = self._object(value, place)
        self._check_keys(table, CALLER_KEYS, place)
        return {key: self._number(table[key], (*place, key)) for key in CALLER_KEYS}

    def _number(self, value: object, place: tuple[str, ...]) -> int:
        if type(value) is not int or not 0 <= value < _LARGEST_NUMBER:
            self._wrong(f"{shortened(value)} is no whole number, 0 or more", *place)
        return value

    def _share(self, value: object, place: tuple[str, ...]) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self._wrong(f"{shortened(value)} is no number from 0 to 1", *place)
        return float(value)

    def _finding(self, name: str, value: object, place: tuple[str, ...]) -> KnownFinding:
        if not _ID.fullmatch(name):
            self._wrong("is no id of a finding", *place)
        table = self._object(value, place)
        self._check_keys(table, _FINDING_KEYS, place)
        kind, area, message = (self._string(table[key], (*place, key)) for key in _FINDING_TEXTS)
        if kind not in _KINDS:
            self._wrong(f"{shortened(kind)} is no kind of finding", *place, "kind")
        return KnownFinding(kind, area, message, self._number(table["count"], (*place, "count")))

    def _string(self, value: object, place: tuple[str, ...]) -> str:
        if not isinstance(value, str):
            self._wrong(f"{shortened(value)} is no string", *place)
        return value

    def _tolerance(self, name: str, value: object) -> str | int | float:
        try:
            check_pattern(name)
            parse_tolerance(value)
        except ValueError as error:
            self._wrong(str(error), "tolerances", name)
        assert isinstance(value, str | int | float)  # noqa: S101 - or else it would be no tolerance
        return value

    def _wrong(self, problem: str, *keys: str) -> NoReturn:
        """Raise the error for a place."""
        key = ".".join(map(_shown, keys))
        raise BadBaseline(self._path, problem, line=line_of(self._text, keys), key=key)


def _shown(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else shortened(key)[1:-1]


def _object(pairs: list[tuple[str, object]]) -> Table:
    table: Table = {}
    for key, value in pairs:
        if key in table:
            raise _DuplicateKey(key)
        table[key] = value
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
