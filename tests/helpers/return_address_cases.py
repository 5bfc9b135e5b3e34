"""Writes over return addresses as a table of cases: see case_kernels.py. None of their functions returns after that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.helpers.case_kernels import Case, case

if TYPE_CHECKING:
    from collections.abc import Iterable

RETURN: Final = "return-address-write"

PRELUDE: Final = r"""
#define stop() __asm__ volatile("cli; hlt")
#define slot ((u8 *)__builtin_frame_address(0) + 4)
#define slot_of_caller (*(u8 **)__builtin_frame_address(0) + 4)
apart void poke8(u8 *p, u32 value) { *(volatile u8 *)p = value; }
apart void poke16(u8 *p, u32 value) { *(volatile u16 *)p = value; }
apart void poke32(u8 *p, u32 value) { *(volatile u32 *)p = value; }
apart void poke_caller8(u32 less) { poke8(slot_of_caller - less, 1); use(0); }
apart void poke_caller16(u32 less) { poke16(slot_of_caller - less, 1); use(0); }
apart void poke_caller32(u32 less) { poke32(slot_of_caller - less, 1); use(0); }
apart void change(u8 *p) { ++*(volatile u8 *)p; }
apart u32 peek(u8 *p) { return *(volatile u32 *)p; }
apart void fill(u8 *p, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)p)[i] = 7; }
apart void copy(u8 *p, const u8 *from, u32 n) { while (n--) *(volatile u8 *)p++ = *from++; }
apart void inner(u8 *p, u32 n) { u8 own[64]; memset(own, 1, 64); use(own); memset(p, 1, n); use(own); }
void *saved[5];
apart void leave(void) { u8 own[40]; memset(own, 2, 40); use(own); __builtin_longjmp(saved, 1); }
apart void deep(u32 n) { u8 own[24]; use(own); if (n) deep(n - 1); else leave(); use(own); }
apart void wide(void) { u8 own[400]; memset(own, 3, 400); use(own); }
"""
"""For the kernels' source, in front of the cases."""

_NAME: Final = "u8 name[12]; use(name);"
_TO_SLOT: Final = "slot + @1@0@ - name"


def _widths() -> Iterable[Case]:
    for bits in (8, 16, 32):
        size = bits // 8
        first = f"slot @+ 0@- {size}@"
        yield case(f"write_{bits}", RETURN, f"{_NAME} poke{bits}({first}, 1); stop();")
        yield case(f"write_last_{bits}", RETURN, f"{_NAME} poke{bits}(slot + @3@4@, 1); stop();")
        if size > 1:
            yield case(f"across_its_start_{bits}", RETURN, f"{_NAME} poke{bits}({first} - 1, 1); stop();")
        yield case(
            f"of_the_caller_{bits}",
            RETURN,
            f"{_NAME} poke_caller{bits}(@0@{size}@); stop();",
        )


CASES: Final = (
    *_widths(),
    case("memset", RETURN, f"{_NAME} memset(name, 1, {_TO_SLOT}); stop();"),
    case("memcpy", RETURN, f"{_NAME} memcpy(name, zeros, {_TO_SLOT}); stop();"),
    case("rep_stosb", RETURN, f"{_NAME} stosb(name, {_TO_SLOT}); stop();"),
    case("rep_stosl", RETURN, f"{_NAME} stosl(slot - 8, @3@2@); stop();"),
    case("rep_movsb", RETURN, f"{_NAME} movsb(name, zeros, {_TO_SLOT}); stop();"),
    case("loop", RETURN, f"{_NAME} fill(name, {_TO_SLOT}); stop();"),
    case("copy_loop", RETURN, f"{_NAME} copy(name, buffer, {_TO_SLOT}); stop();"),
    case("from_further_in", RETURN, f"{_NAME} inner(name, {_TO_SLOT}); stop();"),
    case("change", RETURN, f"{_NAME} change(slot - @0@1@); stop();"),
    case("not_code", RETURN, f"{_NAME} poke32(slot, @(u32)zeros@(u32)use@); stop();"),
    case("not_the_same", RETURN, f"{_NAME} poke32(slot, peek(slot) @^ 0x40000000@@); stop();"),
    case("not_the_same_bytes", RETURN, f"{_NAME} copy(slot, @zeros@slot@, 4); stop();"),
    case("twice", RETURN, f"{_NAME} for (u32 i = 0; i < 2; i++) poke8(slot @+ 0@- 1@, 1); stop();"),
    case("after_much", RETURN, f"{_NAME} wide(); wide(); poke8(slot @+ 0@- 1@, 1); stop();"),
    case(
        "after_a_long_jump",
        RETURN,
        f"{_NAME} if (!__builtin_setjmp(saved)) deep(5); wide(); memset(name, 0, 12); use(name); poke8(slot @+ 0@- 1@, 1); stop();",
    ),
    case(
        "long_jumps",
        RETURN,
        f"{_NAME} for (volatile u32 i = 0; i < 40; i++) {{ if (!__builtin_setjmp(saved)) deep(i % 7); wide(); }} poke8(slot @+ 0@- 1@, 1); stop();",
    ),
)
