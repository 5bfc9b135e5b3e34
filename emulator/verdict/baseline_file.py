"""Reads and writes a baseline's file, which people edit. The format is described in docs/baseline.md."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from emulator.check.findings import Kind
from emulator.check.measures import AreaMeasures, CallerMeasures
from emulator.errors import BadFile
from emulator.loader.files import read_text
from emulator.verdict.baseline import Baseline, KnownFinding, caller_numbers, numbers_of
from emulator.verdict.json_text import line_of, parse_json
from emulator.verdict.tolerances import AREA_KEYS, CALLER_KEYS, check_pattern, parse_tolerance
from emulator.wording import shortened, shown_keys

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from emulator.verdict.json_text import Table

VERSION: Final = 1
"""Of the file's format; it changes when a key changes its meaning or goes away."""

_LARGEST_FILE: Final = 1 << 24  # bytes
_LARGEST_NUMBER: Final = 1 << 63
_KEYS: Final = ("version", "tolerances", "areas", "findings")
_FINDING_TEXTS: Final = ("kind", "area", "message")
_FINDING_KEYS: Final = (*_FINDING_TEXTS, "count")
_KINDS: Final = frozenset(kind.value for kind in Kind)
_ID: Final = re.compile(r"[0-9a-f]{12}")


def baseline_text(baseline: Baseline) -> str:
    """Return the text of a baseline's file: the same for the same run, whatever the order of things in it."""
    document: dict[str, Any] = {
        "version": VERSION,
        "tolerances": dict(baseline.tolerances),
        "areas": {
            name: {
                **numbers_of(area),
                "callers": {caller: caller_numbers(each) for caller, each in sorted(area.callers.items())},
            }
            for name, area in sorted(baseline.areas.items())
        },
        "findings": {
            number: {"kind": known.kind, "area": known.area, "message": known.message, "count": known.count}
            for number, known in sorted(baseline.findings.items())
        },
    }
    return json.dumps(document, indent=2) + "\n"


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises:
        BadFile: The file cannot be read, or it is no baseline.
    """
    name = str(path)
    text = read_text(name, _LARGEST_FILE, missing="is not there (make it with --update-baseline)")
    document = parse_json(name, text)
    if not isinstance(document, dict):
        raise BadFile(name, f"is no baseline: {shortened(document)} instead of an object")
    if document.get("version") is None:
        raise BadFile(name, "is no baseline: it has no key 'version'")
    return _Reader(name, text, document).baseline()


class _Reader:
    """Turns a parsed document into a baseline.

    Args:
        path: The document's file, for messages.
        text: The text of the file, for line numbers.
        document: The parsed text.
    """

    def __init__(self, path: str, text: str, document: Table) -> None:
        self._path, self._text = path, text
        self._document = document

    def baseline(self) -> Baseline:
        version = self._document["version"]
        if type(version) is not int or version != VERSION:
            self._wrong(f"{shortened(version)} is not {VERSION}, the only one known", "version")
        self._check_keys(self._document, _KEYS, ())
        return Baseline(
            {name: self._area(value, ("areas", name)) for name, value in self._table("areas")},
            {name: self._finding(name, value, ("findings", name)) for name, value in self._table("findings")},
            {name: self._tolerance(name, value) for name, value in self._table("tolerances")},
        )

    def _check_keys(self, table: Table, known: Sequence[str], path: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._wrong(f"unknown key; there are: {', '.join(known)}", *path, key)
        for key in known:
            if key not in table:
                self._wrong("is missing", *path, key)

    def _table(self, key: str) -> list[tuple[str, object]]:
        return list(self._object(self._document[key], (key,)).items())

    def _object(self, value: object, path: tuple[str, ...]) -> Table:
        if not isinstance(value, dict):
            self._wrong(f"{shortened(value)} is no object", *path)
        return value

    def _area(self, value: object, path: tuple[str, ...]) -> AreaMeasures:
        table = self._object(value, path)
        self._check_keys(table, (*AREA_KEYS, "callers"), path)
        values = {key: self._number(table[key], (*path, key)) for key in AREA_KEYS if key != "fragmentation"}
        fragmentation = self._share(table["fragmentation"], (*path, "fragmentation"))
        inner = *path, "callers"
        callers = self._object(table["callers"], inner)
        return AreaMeasures(
            **values,
            peak=None,
            fragmentation=fragmentation,
            callers={name: self._caller(each, (*inner, name)) for name, each in callers.items()},
        )

    def _caller(self, value: object, path: tuple[str, ...]) -> CallerMeasures:
        table = self._object(value, path)
        self._check_keys(table, CALLER_KEYS, path)
        return CallerMeasures(**{key: self._number(table[key], (*path, key)) for key in CALLER_KEYS})

    def _number(self, value: object, path: tuple[str, ...]) -> int:
        if type(value) is not int or not 0 <= value < _LARGEST_NUMBER:
            self._wrong(f"{shortened(value)} is no whole number, 0 or more", *path)
        return value

    def _share(self, value: object, path: tuple[str, ...]) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self._wrong(f"{shortened(value)} is no number from 0 to 1", *path)
        return float(value)

    def _finding(self, name: str, value: object, path: tuple[str, ...]) -> KnownFinding:
        if not _ID.fullmatch(name):
            self._wrong("is no id of a finding", *path)
        table = self._object(value, path)
        self._check_keys(table, _FINDING_KEYS, path)
        kind, area, message = (self._string(table[key], (*path, key)) for key in _FINDING_TEXTS)
        if kind not in _KINDS:
            self._wrong(f"{shortened(kind)} is no kind of finding", *path, "kind")
        return KnownFinding(kind, area, message, self._number(table["count"], (*path, "count")))

    def _string(self, value: object, path: tuple[str, ...]) -> str:
        if not isinstance(value, str):
            self._wrong(f"{shortened(value)} is no string", *path)
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
        """Raise the error about a key, which is given by its path."""
        raise BadFile(self._path, problem, line=line_of(self._text, keys), key=shown_keys(keys))
