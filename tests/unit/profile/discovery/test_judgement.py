"""Drafts that are corrected by calls: each test is one thing that a run may show."""

from __future__ import annotations

import pytest

from emulator.loader.functions.prototypes import Parameter, Prototype
from emulator.profile.discovery.areas import LONELY, DraftArea, Suggestion
from emulator.profile.discovery.candidates import Candidate, Sureness
from emulator.profile.discovery.judgement import judge
from emulator.profile.discovery.observed import SeenCall
from emulator.profile.discovery.signatures import Signature
from emulator.profile.discovery.words import Verb

INT = Prototype(
    "f",
    "int",
    "int",
    (Parameter("frame", "unsigned long", "long unsigned int"),),
    is_external=True,
    file="k.c",
)


def suggestion(
    name: str, verb: Verb, parameters: tuple[str, ...], result: str, *, declared: Prototype | None = None
) -> Suggestion:
    candidate = Candidate(name, name, 0, verb, Sureness.LIKELY, (), declared, 6)
    is_of_pages = bool({"frame", "pages"} & {*parameters, result})
    return Suggestion(candidate, Signature(parameters, result, is_of_pages=is_of_pages), Sureness.LIKELY, [])


def heap(name: str = "heap", alloc: str = "alloc", free: str = "free") -> DraftArea:
    return DraftArea(
        name,
        [
            suggestion(alloc, Verb.ALLOC, ("size",), "ptr"),
            suggestion(free, Verb.FREE, ("ptr",), "none"),
        ],
    )


class Run:
    """Calls that follow each other; a call inside another one is given its number."""

    def __init__(self) -> None:
        self.calls: list[SeenCall] = []
        self._event = 0

    def call(
        self,
        function: str,
        block: int | None = None,
        *,
        parent: int = 0,
        by: tuple[str, ...] = (),
        **arguments: int,
    ) -> int:
        number = len(self.calls) + 1
        self._event += 2
        self.calls.append(
            SeenCall(number, parent, function, arguments, self._event - 1, self._event, block, by)
        )
        return number


def taken(area: DraftArea) -> dict[str, Sureness]:
    return {each.name: each.sureness for each in area.suggestions if each.is_taken}


def notes(area: DraftArea, name: str) -> list[str]:
    return next(each.notes for each in area.suggestions if each.name == name)


def test_blocks_that_are_given_back_make_sure() -> None:
    area, run = heap(), Run()
    for number in range(4):
        run.call("alloc", 0x1000 + 64 * number, size=64)
    for number in range(4):
        run.call("free", 0, ptr=0x1000 + 64 * number)
    judge([area], run.calls)
    assert taken(area) == {"alloc": Sureness.SURE, "free": Sureness.SURE}
    assert notes(area, "alloc") == ["4 calls made 4 blocks"]
    assert notes(area, "free") == ["gave back 4 blocks"]
    assert area.notes == ["Its blocks began at multiples of 64."]


def test_what_overlaps_is_no_allocator() -> None:
    area, run = heap(), Run()
    for _ in range(4):
        run.call("alloc", 0x1000, size=64)
    judge([area], run.calls)
    assert taken(area) == {}
    assert notes(area, "alloc") == ["3 blocks of 4 overlapped one that was alive"]


def test_frees_of_what_was_no_allocator_leave_nothing() -> None:
    """The function that made the blocks is left out, because of what its size was taken for."""
    area, run = heap(), Run()
    area.suggestions.append(suggestion("alloc_zeroed", Verb.ALLOC, ("size",), "ptr"))
    for number in range(4):
        run.call("alloc", 0x1000 + 64 * number, size=0x10000)
    for number in range(4):
        run.call("free", 0, ptr=0x1000 + 64 * number)
    judge([area], run.calls)
    assert taken(area) == {}
    assert notes(area, "free") == ["was given 4 blocks that none of these functions made"]


def test_one_overlap_may_be_the_kernel_s_mistake() -> None:
    area, run = heap(), Run()
    for address in (0x1000, 0x1040, 0x1080, 0x1070):
        run.call("alloc", address, size=64)
    judge([area], run.calls)
    assert set(taken(area)) == {"alloc", "free"}
    assert "1 block overlapped one that was alive" in notes(area, "alloc")


def test_frees_of_what_others_made_leave_nothing() -> None:
    area, run = heap(), Run()
    run.call("alloc", 0x1000, size=64)
    for number in range(3):
        run.call("free", 0, ptr=0x9000 + number * 64, by=("work",))
    run.call("free", 0, ptr=0x1000, by=("work",))
    judge([area], run.calls)
    assert taken(area) == {}
    assert notes(area, "free")[-1] == "was given 3 blocks that none of these functions made"


def test_frees_before_anything_was_taken_are_a_seed() -> None:
    area, run = heap(), Run()
    for number in range(5):
        run.call("free", 0, ptr=0x9000 + number * 64, by=("fill", "init", "main"))
    run.call("alloc", 0x9000, size=64, by=("work", "main"))
    run.call("free", 0, ptr=0x9000, by=("work", "main"))
    judge([area], run.calls)
    assert area.seeds == {"fill": "free is given 5 blocks inside that nobody had taken"}
    assert set(taken(area)) == {"alloc", "free"}


def test_what_is_given_back_in_a_realloc_is_no_seed() -> None:
    """It may give back a part of the block that nobody has taken by itself."""
    area, run = heap(), Run()
    area.suggestions.append(suggestion("realloc", Verb.REALLOC, ("ptr", "size"), "ptr"))
    for number in range(3):
        run.call("alloc", 0x1000 + 256 * number, size=200)
        outer = run.call("realloc", 0x1000 + 256 * number, ptr=0x1000 + 256 * number, size=64)
        run.call("free", 0, parent=outer, by=("realloc",), ptr=0x1080 + 256 * number)
        run.call("free", 0, ptr=0x1000 + 256 * number)
    judge([area], run.calls)
    assert set(taken(area)) == {"alloc", "realloc", "free"}
    assert area.seeds == {}


def test_a_second_free_is_not_one_of_something_strange() -> None:
    area, run = heap(), Run()
    run.call("alloc", 0x1000, size=64)
    for _ in range(3):
        run.call("free", 0, ptr=0x1000)
    judge([area], run.calls)
    assert set(taken(area)) == {"alloc", "free"}
    assert area.seeds == {}


def test_a_wrapper_and_what_does_its_work_are_one_area() -> None:
    outer, inner = heap("outer", "kmalloc", "kfree"), heap("inner", "get", "put")
    run = Run()
    for number in range(3):
        call = run.call("kmalloc", 0x1000 + 64 * number, size=60)
        run.call("get", 0x1000 + 64 * number, parent=call, size=64)
        call = run.call("kfree", 0, ptr=0x1000 + 64 * number)
        run.call("put", 0, parent=call, ptr=0x1000 + 64 * number)
    areas = [outer, inner]
    judge(areas, run.calls)
    assert areas == [outer]
    assert set(taken(outer)) == {"kmalloc", "kfree", "get", "put"}
    assert notes(outer, "get")[0] == "does the work of kmalloc"


def test_what_makes_its_blocks_of_another_s_is_no_allocator() -> None:
    """A constructor is given other sizes than its object has, or none."""
    outer, inner = heap("outer", "create_region", "destroy_region"), heap("inner", "malloc", "free")
    run = Run()
    for number in range(3):
        call = run.call("create_region", 0x1000 + 64 * number, size=0x100000)
        run.call("malloc", 0x1000 + 64 * number, parent=call, size=48)
    judge([outer, inner], run.calls)
    assert taken(outer) == {}
    assert notes(outer, "create_region")[0] == "its blocks are those that malloc makes for it"
    assert set(taken(inner)) == {"malloc", "free"}


def test_a_wrapper_has_the_partner_of_what_does_its_work() -> None:
    """All allocators of a file call one that is only theirs; names say of one of them alone what gives back."""
    areas, run = (
        [DraftArea(name, [suggestion(name, Verb.ALLOC, ("size",), "ptr")]) for name in ("make", "work")],
        Run(),
    )
    for area in areas:
        area.suggestions[0].drop(LONELY)
    for number in range(2):
        outer = run.call("make", 0x1000 + 64 * number, size=60)
        inner = run.call("work", 0x1000 + 64 * number, parent=outer, size=60)
        run.call("malloc", 0x1000 + 64 * number, parent=inner, size=60)
    judge([*areas, heap("inner", "malloc")], run.calls)
    assert set(taken(areas[0])) == {"make", "work", "malloc", "free"}
    assert notes(areas[0], "make") == ["2 calls made 2 blocks"]


def test_an_aligned_block_lies_in_the_one_that_was_made_for_it() -> None:
    area, run = heap(), Run()
    area.suggestions.append(suggestion("valloc", Verb.ALLOC, ("size",), "ptr"))
    for number in range(3):
        outer = run.call("valloc", 0x11000 + 0x4000 * number, size=0x1000)
        run.call("alloc", 0x10010 + 0x4000 * number, parent=outer, size=0x2000)
    for number in range(3):
        run.call("free", 0, ptr=0x11000 + 0x4000 * number)
    judge([area], run.calls)
    assert set(taken(area)) == {"alloc", "valloc", "free"}
    assert notes(area, "free") == ["gave back 3 blocks"]


def test_what_takes_from_a_list_for_an_allocator_is_its_part() -> None:
    areas, run = [heap(), DraftArea("list", [suggestion("list_pop", Verb.ALLOC, (), "ptr")])], Run()
    areas[1].suggestions[0].drop(LONELY)
    for number in range(3):
        outer = run.call("alloc", 0x1000 + 64 * number, size=48)
        run.call("list_pop", 0x1000 + 64 * number, parent=outer)
        run.call("free", 0, ptr=0x1000 + 64 * number)
    judge(areas, run.calls)
    assert taken(areas[0]) == {"alloc": Sureness.SURE, "free": Sureness.SURE}
    assert taken(areas[1]) == {}


def test_what_is_given_no_length_makes_none_of_a_size() -> None:
    areas, run = [DraftArea("nodes", [suggestion("new_node", Verb.ALLOC, (), "ptr")]), heap()], Run()
    for number in range(3):
        outer = run.call("new_node", 0x1000 + 64 * number)
        run.call("alloc", 0x1000 + 64 * number, parent=outer, size=48)
    judge(areas, run.calls)
    assert taken(areas[0]) == {}
    assert notes(areas[0], "new_node")[0] == "its blocks are those that alloc makes for it"


def test_what_is_given_no_length_may_make_pages() -> None:
    area, run = (
        DraftArea(
            "m",
            [suggestion("kalloc", Verb.ALLOC, (), "ptr"), suggestion("kfree", Verb.FREE, ("ptr",), "none")],
        ),
        Run(),
    )
    for number in range(4):
        run.call("kalloc", 0x80100000 + 4096 * number)
    judge([area], run.calls)
    assert area.is_of_pages
    assert notes(area, "kalloc") == ["all its blocks begin like pages", "4 calls made 4 blocks"]


def test_a_free_moves_to_the_area_of_its_blocks() -> None:
    area, other, run = heap(), heap("other", "take", "give"), Run()
    for number in range(3):
        run.call("alloc", 0x1000 + 64 * number, size=64)
        run.call("take", 0x8000 + 64 * number, size=64)
    for number in range(3):
        run.call("give", 0, ptr=0x1000 + 64 * number)
    judge([area, other], run.calls)
    assert "give" in taken(area)
    assert "gives back blocks of heap" in notes(area, "give")


@pytest.mark.parametrize(("first", "step", "result"), [(0x100000, 4096, "ptr"), (0x100, 1, "frame")])
def test_words_are_addresses_or_numbers_of_pages(first: int, step: int, result: str) -> None:
    for drafted in ("ptr", "frame"):
        area = DraftArea(
            "pages",
            [
                suggestion("take", Verb.ALLOC, (), drafted, declared=INT),
                suggestion("give", Verb.FREE, (drafted,), "none"),
            ],
        )
        area.suggestions[0].signature = area.suggestions[0].signature._replace(is_of_pages=True)
        run = Run()
        for number in range(4):
            run.call("take", first + step * number)
        judge([area], run.calls)
        assert area.suggestions[0].signature.result == result
        assert area.suggestions[1].signature.parameters == (result,)


def test_numbers_of_what_is_not_known_are_no_addresses() -> None:
    area, run = heap(), Run()
    area.suggestions[0] = suggestion("alloc", Verb.ALLOC, (), "ptr")
    for number in range(4):
        run.call("alloc", 17 + number)
        run.call("free", 0, ptr=17 + number)
    run.call("alloc", None)  # it was called when the run ended
    judge([area], run.calls)
    assert taken(area) == {}
    assert notes(area, "alloc")[0] == "its results are small numbers, and what they count is not known"


def test_frees_that_return_numbers_return_errors() -> None:
    area = DraftArea(
        "frames",
        [
            suggestion("take", Verb.ALLOC, (), "frame"),
            suggestion("give", Verb.FREE, ("frame",), "none", declared=INT),
        ],
    )
    run = Run()
    for number in range(4):
        run.call("take", 0x100 + number)
    run.call("give", 0, frame=0x100)
    run.call("give", 0xFFFFFFFF, frame=0x100)
    judge([area], run.calls)
    assert area.suggestions[1].signature.result == "error"
    assert notes(area, "give") == ["gave back 1 block", "returned 0 for each"]


def test_a_part_of_a_run_of_pages_can_be_given_back() -> None:
    area = DraftArea(
        "frames",
        [
            suggestion("take", Verb.ALLOC, ("pages",), "frame"),
            suggestion("give", Verb.FREE, ("frame", "pages"), "none"),
        ],
    )
    run = Run()
    run.call("take", 0x100, pages=8)
    run.call("give", 0, frame=0x102, pages=2)
    run.call("take", 0x102, pages=2)
    run.call("take", 0x108, pages=1)
    run.call("give", 0, frame=0x104, pages=5)
    run.call("take", 0x104, pages=5)
    judge([area], run.calls)
    assert notes(area, "take") == ["4 calls made 4 blocks"]
    assert notes(area, "give") == ["gave back 2 blocks"]


def test_a_lonely_function_is_taken_when_it_makes_blocks() -> None:
    area, run = DraftArea("early", [suggestion("early_alloc", Verb.ALLOC, ("size",), "ptr")]), Run()
    area.suggestions[0].drop(LONELY)
    for number in range(3):
        run.call("early_alloc", 0x1000 + 32 * number, size=32)
    judge([area], run.calls)
    assert taken(area) == {"early_alloc": Sureness.LIKELY}


def test_what_makes_headers_for_an_allocator_is_its_part() -> None:
    areas, run = [heap(), DraftArea("header", [suggestion("new_block", Verb.ALLOC, ("size",), "ptr")])], Run()
    areas[1].suggestions[0].drop(LONELY)
    for number in range(3):
        outer = run.call("alloc", 0x1008 + 64 * number, size=32)
        run.call("new_block", 0x1000 + 64 * number, parent=outer, size=32)
    judge(areas, run.calls)
    assert taken(areas[0]) == {"alloc": Sureness.LIKELY, "free": Sureness.LIKELY}
    assert taken(areas[1]) == {}
    assert notes(areas[1], "new_block")[-1] == "what it makes are headers before the blocks of others"


def test_a_header_is_the_constant_distance_of_neighbours() -> None:
    area, run = heap(), Run()
    address = 0x1002
    for number in range(12):
        size = 16 + 8 * (number % 3)
        run.call("alloc", address, size=size)
        address += size + 12
    judge([area], run.calls)
    assert area.settings == {"header": "12", "alignment": "2"}


def test_a_number_of_pages_is_no_page() -> None:
    area, run = heap("pages", "alloc_pages", "free_pages"), Run()
    area.suggestions.append(suggestion("alloc_some", Verb.ALLOC, ("pages",), "ptr"))
    for each in area.suggestions:
        each.signature = each.signature._replace(is_of_pages=True)
    for number in range(4):
        run.call("alloc_pages", 0x200000 + 4096 * number, size=4096)
    run.call("alloc_some", 3, pages=3)
    judge([area], run.calls)
    assert set(taken(area)) == {"alloc_pages", "free_pages"}
    assert notes(area, "alloc_some") == ["its results are no addresses of pages"]
