from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emulator.profile.documents import from_document, to_document
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile

ALLOC = TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
GET = TracedFunction("get_blk", "pools", Role.ALLOC, ("pool", "out", "size"), Result.ERROR)
FREE = TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE)
FRAME = TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFF_FFFF)
COPIES = TracedFunction("kmalloc.inlined", "heap", Role.OTHER, ("size",), Result.NONE, copies=Role.ALLOC)
PROFILE = Profile("mine", (ALLOC, GET, FREE, FRAME, COPIES), {"frames": PAGES})


def test_there_and_back() -> None:
    document = json.loads(json.dumps(to_document(PROFILE)))
    assert from_document(document) == PROFILE


def test_why_it_was_chosen_is_kept() -> None:
    chosen = replace(PROFILE, reason="all 4 functions")
    assert from_document(json.loads(json.dumps(to_document(chosen)))).title == "mine (all 4 functions)"


def test_what_copies_do_is_not_known() -> None:
    document = json.loads(json.dumps(to_document(PROFILE)))
    document["functions"][-1]["role"] = "alloc"
    with pytest.raises(
        ValueError, match=r"kmalloc\.inlined: what copies do is not known, but the role is alloc"
    ):
        from_document(document)


def test_its_form() -> None:
    assert to_document(Profile("p", (ALLOC,))) == {
        "name": "p",
        "areas": {},
        "functions": [
            {
                "name": "kmalloc",
                "area": "heap",
                "role": "alloc",
                "parameters": ["size"],
                "result": "ptr",
                "failure": 0,
                "facts": [],
                "block": "",
                "places": [],
                "unknown": [],
            }
        ],
    }


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (
            "role",
            "take",
            "field role is 'take', not one of alloc, free, realloc, share, reset, seed, defer, other",
        ),
        (
            "role",
            [],
            "field role is a list, not one of alloc, free, realloc, share, reset, seed, defer, other",
        ),
        ("result", None, "field result is None, not one of ptr, frame, error, value, none"),
        ("failure", True, "field failure is True, not of type int"),
        ("failure", 0.5, "field failure is 0.5, not of type int"),
        ("name", 3, "field name is 3, not of type str"),
        ("area", "a\nb", r"'a\nb' is no name of an area"),
        ("parameters", "size", "field parameters is 'size', not of type list"),
        ("parameters", [1], "field parameters is 1, not of type str"),
        (
            "extra",
            1,
            "a function is no object with the fields name, area, role, parameters, result, failure, facts, block, places, unknown",
        ),
    ],
)
def test_wrong_fields(field: str, value: object, problem: str) -> None:
    document = json.loads(json.dumps(to_document(PROFILE)))
    document["functions"][0][field] = value
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        from_document(document)
    assert str(caught.value) == f"not a profile: {problem}"


@pytest.mark.parametrize("document", [None, [], "profile", {}, {"name": "x"}])
def test_something_else(document: object) -> None:
    with pytest.raises(
        ValueError, match=r"^not a profile: it is no object with the fields name, areas, functions$"
    ):
        from_document(document)


def test_further_failures_are_kept() -> None:
    one = TracedFunction("get", "heap", Role.ALLOC, (), Result.POINTER, 0, other_failures=((1, 2), (5, 5)))
    profile = Profile("p", (one,))
    document = json.loads(json.dumps(to_document(profile)))
    assert from_document(document) == profile
    for wrong in (3, [3], [[1]], [[2, 1]], [["1", 2]], [[0, 1 << 32]]):
        document["functions"][0]["other_failures"] = wrong
        with pytest.raises(ValueError, match=r"^not a profile: "):
            from_document(document)
