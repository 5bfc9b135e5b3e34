from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.profile.functions import Result, Role, TracedFunction

ALLOC = TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0)
FREE = TracedFunction("kfree", "heap", Role.FREE, ("ptr",), Result.NONE)
GET = TracedFunction("get_blk", "pools", Role.ALLOC, ("pool", "out", "size"), Result.ERROR)
STORE = TracedFunction("take_blk", "pools", Role.ALLOC, ("out",), Result.NONE)
FRAME = TracedFunction("alloc_frame", "frames", Role.ALLOC, (), Result.FRAME, 0xFFFF_FFFF)


def test_what_a_call_has_to_do_with_blocks() -> None:
    assert [role for role in Role if role.makes_block] == [Role.ALLOC, Role.REALLOC]
    assert [role for role in Role if role.names_block] == [Role.FREE, Role.REALLOC, Role.SHARE, Role.DEFER]


def test_where_the_address_goes() -> None:
    assert GET.out == 1
    assert ALLOC.out is None


@pytest.mark.parametrize(
    ("role", "parameters", "result", "problem"),
    [
        (
            Role.ALLOC,
            ("size",),
            Result.ERROR,
            "f: alloc without a parameter out needs the result ptr or frame",
        ),
        (
            Role.ALLOC,
            ("out",),
            Result.POINTER,
            "f: alloc with a parameter out needs the result error or none",
        ),
        (
            Role.ALLOC,
            ("size", "pages"),
            Result.POINTER,
            "f: parameters size and pages both say how long the block is",
        ),
        (Role.ALLOC, ("count",), Result.POINTER, "f: parameter count multiplies size, but there is no size"),
        (
            Role.ALLOC,
            ("count", "order"),
            Result.POINTER,
            "f: parameter count multiplies size, but there is no size",
        ),
        (
            Role.REALLOC,
            ("size",),
            Result.POINTER,
            "f: realloc needs a parameter ptr or frame that says which block",
        ),
        (Role.FREE, (), Result.NONE, "f: free needs a parameter ptr or frame that says which block"),
        (Role.FREE, ("ptr", "frame"), Result.NONE, "f: parameters ptr and frame both say which block"),
        (Role.FREE, ("ptr",), Result.FRAME, "f: free has no block as its result, only error, value or none"),
        (Role.SHARE, ("size",), Result.NONE, "f: share needs a parameter ptr or frame that says which block"),
        (Role.RESET, (), Result.POINTER, "f: reset has no block as its result, only error, value or none"),
        (Role.OTHER, ("a", "a"), Result.NONE, "f: parameter a is there 2 times"),
        (Role.OTHER, ("void",), Result.NONE, "f: 'void' is no name of a parameter"),
        (Role.OTHER, ("x\n",), Result.NONE, r"f: 'x\n' is no name of a parameter"),
        (Role.OTHER, tuple("abcdefg"), Result.NONE, "f has 7 parameters, at most 6 are recorded"),
    ],
)
def test_parts_that_do_not_fit(role: Role, parameters: tuple[str, ...], result: Result, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        TracedFunction("f", "heap", role, parameters, result)
    assert str(caught.value) == problem


def test_other_functions_may_have_anything() -> None:
    for result in Result:
        TracedFunction("f", "heap", Role.OTHER, ("size", "pages", "count", "ptr", "frame", "out"), result)


@pytest.mark.parametrize("name", ["a", "_", "$x", "kmalloc.part.0", "A9"])
def test_names_of_functions(name: str) -> None:
    assert replace(FREE, name=name).name == name


@pytest.mark.parametrize("name", ["", "9a", "a-b", ".text", "é", "a b", "a\n", "a" * 256])
def test_what_is_no_name_of_a_function(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^'.*' is no name of a function$|^'a{56}\.\.\. is no name of a function$"
    ):
        replace(FREE, name=name)


def test_what_is_no_name_of_an_area() -> None:
    with pytest.raises(ValueError, match=r"^'a b' is no name of an area$"):
        replace(FREE, area="a b")
    assert replace(FREE, area="slab-64").area == "slab-64"


@pytest.mark.parametrize("function", [FREE, replace(FREE, result=Result.ERROR), STORE])
def test_a_failure_value_is_for_functions_that_take_a_block(function: TracedFunction) -> None:
    with pytest.raises(ValueError, match=r"^\w+: only a function that takes a block has a failure value$"):
        replace(function, failure=1)


def test_an_error_that_is_success_is_no_failure() -> None:
    with pytest.raises(
        ValueError, match=r"^get_blk: the failure value of an error is not 0, that is success$"
    ):
        replace(GET, failure=0)


@pytest.mark.parametrize(
    ("function", "failure_result"),
    [
        (ALLOC, 0),
        (FRAME, 0xFFFF_FFFF),
        (replace(ALLOC, failure=None), None),
        (GET, 0xFFFF_FFFF),
        (replace(GET, failure=0xFFFF_FFF6), 0xFFFF_FFF6),
        (STORE, None),
        (FREE, None),
        (replace(FREE, result=Result.ERROR), None),
    ],
)
def test_how_a_function_says_that_there_is_no_memory(
    function: TracedFunction, failure_result: int | None
) -> None:
    assert function.failure_result == failure_result


@pytest.mark.parametrize("failure", [-1, 1 << 32])
def test_a_failure_value_is_an_unsigned_word(failure: int) -> None:
    with pytest.raises(ValueError, match=r"^kmalloc: the failure value -?\d+ is no unsigned 32-bit word$"):
        replace(ALLOC, failure=failure)
