"""Profiles as plain data, which the headers of traces hold as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TypeVar

from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, AreaRules, Profile
from emulator.wording import shortened

if TYPE_CHECKING:
    from enum import Enum

_FUNCTION_FIELDS: Final[tuple[str, ...]] = ("name", "area", "role", "parameters", "result", "failure")
_LATER_FIELDS: Final[tuple[str, ...]] = (
    "facts",
    "block",
    "places",
    "unknown",
)  # than the first version of the format

_OPTIONAL_FIELDS: Final = ("copies", "other_failures")


def to_document(profile: Profile) -> dict[str, object]:
    """Return a profile as plain data for JSON: what calls mean, without what is said of accesses and findings."""
    return {
        "name": profile.name,
        "areas": {area: asdict(profile.rules[area]) for area in sorted(profile.rules)},
        "functions": [
            {
                "name": function.name,
                "area": function.area,
                "role": function.role.value,
                "parameters": list(function.parameters),
                "result": function.result.value,
                "failure": function.failure,
                "facts": list(function.facts),
                "block": function.block,
                "places": list(function.places),
                "unknown": list(function.unknown),
                **(
                    {"other_failures": failures}
                    if (failures := [*map(list, function.other_failures)])
                    else {}
                ),
                **({} if function.copies is None else {"copies": function.copies.value}),
            }
            for function in profile.functions
        ],
        **({"reason": profile.reason} if profile.reason else {}),
    }


def from_document(document: object) -> Profile:
    """Build a profile from what `to_document` returned. The data may come from anywhere.

    Raises:
        ValueError: It is not a profile; one line that says why.
    """
    try:
        return _profile(document)
    except ValueError as error:
        raise ValueError(f"not a profile: {error}") from None


def _profile(document: object) -> Profile:
    reason = ""
    if isinstance(document, dict) and "page_areas" in document:  # the first version of the format
        fields = _fields(document, "it", ("name", "page_areas", "functions"))
        rules = dict.fromkeys(_strings(fields["page_areas"], "page_areas"), PAGES)
    else:
        fields = _fields(document, "it", ("name", "areas", "functions"), ("reason",))
        reason = _typed(fields.get("reason", ""), str, "reason")
        areas = _typed(fields["areas"], dict, "areas")
        rules = {_typed(area, str, "areas"): _rules(each) for area, each in areas.items()}
    functions = tuple(map(_function, _typed(fields["functions"], list, "functions")))
    return Profile(_typed(fields["name"], str, "name"), functions, rules, reason=reason)


def _rules(document: object) -> AreaRules:
    fields = _fields(document, "an area", ("pages", "header", "alignment", "interior"))
    return AreaRules(
        _flag(fields["pages"], "pages"),
        _typed(fields["header"], int, "header"),
        _typed(fields["alignment"], int, "alignment"),
        _flag(fields["interior"], "interior"),
    )


def _function(document: object) -> TracedFunction:
    is_later = isinstance(document, dict) and not document.keys().isdisjoint(_LATER_FIELDS)
    names = _FUNCTION_FIELDS + (_LATER_FIELDS if is_later else ())
    fields = _fields(document, "a function", names, _OPTIONAL_FIELDS)
    failure = fields["failure"]
    return TracedFunction(
        _typed(fields["name"], str, "name"),
        _typed(fields["area"], str, "area"),
        Role(_one_of(fields["role"], Role, "role")),
        tuple(_strings(fields["parameters"], "parameters")),
        Result(_one_of(fields["result"], Result, "result")),
        None if failure is None else _typed(failure, int, "failure"),
        tuple(_strings(fields.get("facts", []), "facts")),
        _typed(fields.get("block", ""), str, "block"),
        tuple(_strings(fields.get("places", []), "places")),
        tuple(_strings(fields.get("unknown", []), "unknown")),
        Role(_one_of(fields["copies"], Role, "copies")) if "copies" in fields else None,
        tuple(map(_range, _typed(fields.get("other_failures", []), list, "other_failures"))),
    )


def _range(value: object) -> tuple[int, int]:
    match value:
        case [int(first), int(last)]:
            return first, last
    raise ValueError(f"field other_failures has {shortened(value)}, which is no first and last word")


_T = TypeVar("_T")


def _fields(
    document: object, what: str, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, object]:
    if not isinstance(document, dict) or set(document) - set(optional) != set(names):
        raise ValueError(f"{what} is no object with the fields {', '.join(names)}")
    return document


def _typed(value: object, kind: type[_T], field: str) -> _T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"field {field} is {shortened(value)}, not of type {kind.__name__}")  # noqa: TRY004 - the data is wrong, not the call
    return value


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"field {field} is {shortened(value)}, neither true nor false")  # noqa: TRY004 - as above
    return value


def _strings(value: object, field: str) -> list[str]:
    return [_typed(each, str, field) for each in _typed(value, list, field)]


def _one_of(value: object, choices: type[Enum], field: str) -> object:
    known = [choice.value for choice in choices]
    if value not in known:
        raise ValueError(f"field {field} is {shortened(value)}, not one of {', '.join(known)}")
    return value
