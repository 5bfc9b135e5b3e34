"""Single instructions with random state: registers, flags, exceptions and memory end as in QEMU.

``make instructions`` runs more of them. What differs and cannot be mended is in docs/differences.md.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.oracle.instructions.cases import CODE
from tests.oracle.instructions.encodings import State
from tests.oracle.instructions.generator import cases
from tests.oracle.instructions.known import KNOWN, Known, unexplained
from tests.oracle.instructions.machines import Difference, differences

_DOCUMENT = Path(__file__).parents[2] / "docs" / "differences.md"


def test_instructions_of_both_rings_end_as_in_qemu() -> None:
    found = unexplained(differences(list(cases(seed=1, count=5000))))
    assert not found, "\n".join(map(str, found[:10]))


def test_a_port_is_closed_after_arithmetic_whose_operand_looks_like_iopl() -> None:
    state = State(Random(1), (3,))
    state.eflags, state.segments, state.eip = 2, [0x23] * 4, CODE + 0x400
    case = state.case("in", bytes.fromhex("2de53a1d0de5cd"))  # subl $0x0d1d3ae5, %eax; inl $0xcd, %eax
    assert not differences([case])


@pytest.mark.parametrize("code", ["4139c0e100", "01d0e000", "6691e1fe", "4139c067e100"])
def test_loope_and_loopne_leave_the_flags_alone_where_ecx_is_0(code: str) -> None:
    cases = []
    for count in (0, 1, 2):
        state = State(Random(count), (0,))
        state.registers[1], state.eflags, state.segments, state.cr0 = count, 2, [0x23] * 4, 0
        cases.append(state.case(f"{count} times", bytes.fromhex(code)))
    assert not differences(cases)


def test_what_is_known_to_differ_still_does() -> None:
    """An entry that a newer Unicorn has made superfluous hides what may break there later."""
    found = {each.case.kind: each for each in differences([known.case() for known in KNOWN])}
    assert list(found) == [known.name for known in KNOWN]
    for known in KNOWN:
        assert found[known.name].causes & known.fields, found[known.name]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_the_document_names_what_differs(known: Known) -> None:
    assert f"**{known.name}**" in _DOCUMENT.read_text()


def test_a_known_difference_explains_its_own_fields_only() -> None:
    (example,) = (known.case() for known in KNOWN if known.name == "SMSW")
    both: dict[str, tuple[int | bytes, int | bytes]] = {"eax": (0, 1), "stack": (b"a", b"b")}
    assert not unexplained([Difference(example, dict(both))])
    assert len(unexplained([Difference(example, both | {"ebx": (0, 1)})])) == 1
    assert len(unexplained([Difference(example._replace(code=b"\x40"), dict(both))])) == 1
    assert len(unexplained([Difference(example, {"stack": (b"a", b"b")})])) == 1


def test_a_difference_is_shown_with_what_makes_it() -> None:
    (case,) = cases(seed=5, count=1, only="unary", rings=(0,))
    shown = str(Difference(case, {"eax": (16, 17), "stack": (b"a", b"b")})).splitlines()
    assert shown[0].startswith("unary: ")
    assert shown[1].strip() == case.code.hex()
    assert shown[3:] == ["    eax: here 0x10, QEMU 0x11"]


def test_the_same_seed_makes_the_same_cases() -> None:
    assert list(cases(seed=3, count=50)) == list(cases(seed=3, count=50))
    assert list(cases(seed=3, count=50)) != list(cases(seed=4, count=50))


def test_a_category_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no category is called 'vector': arithmetic, unary, "):
        list(cases(seed=1, count=1, only="vector"))
