"""Bad accesses as a table of cases: see case_kernels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.helpers.case_kernels import Case, case

if TYPE_CHECKING:
    from collections.abc import Iterable

OUT, FREED, NOBODYS, CONSTANT = "out-of-bounds", "use-after-free", "unallocated-access", "read-only-write"


def _widths() -> Iterable[Case]:
    for bits in (8, 16, 32):
        size = bits // 8
        at = f"*(volatile u{bits} *)"
        take = "u8 *p = take(N);"
        yield case(f"read_right_{size}", OUT, f"{take} sink = {at}(p + @N@N - {size}@);", "bytes")
        yield case(f"write_right_{size}", OUT, f"{take} {at}(p + @N@N - {size}@) = 1;", "bytes")
        yield case(f"read_left_{size}", OUT, f"{take} sink = {at}(p - @{size}@0@);", "bytes")
        yield case(f"write_left_{size}", OUT, f"{take} {at}(p - @{size}@0@) = 1;", "bytes")
        yield case(f"read_freed_{size}", FREED, f"{take} @give(p, N);@@ sink = {at}(p + 8);")
        yield case(f"write_freed_{size}", FREED, f"{take} @give(p, N);@@ {at}(p + 8) = 1;")
        yield case(f"read_far_left_{size}", OUT, f"{take} sink = {at}(p - @{size + 3}@-3@);", "bytes")
        yield case(
            f"change_left_{size}", OUT, f"{take} ++*({at}(p - @{size}@0@));".replace("*(*(", "*(("), "bytes"
        )
        if size > 1:
            yield case(
                f"across_the_end_{size}", OUT, f"{take} {at}(p + N - @{size - 1}@{size}@) = 1;", "bytes"
            )
            yield case(f"across_the_start_{size}", OUT, f"{take} sink = {at}(p - @{size - 1}@0@);", "bytes")


def _strings() -> Iterable[Case]:
    """Yield string instructions of each width that compare: they end where they find what they look for."""
    take = "u8 *p = take(N); memset(p, 0, N);"
    for size, letter in ((2, "w"), (4, "l")):
        count = f"N / {size} @+ 1@@"
        yield case(f"rep_scas{letter}", OUT, f"{take} sink = scas{letter}(p, {count});", "bytes")
        yield case(f"rep_cmps{letter}", OUT, f"{take} sink = cmps{letter}(p, zeros, {count});", "bytes")
        yield case(
            f"rep_cmps{letter}_second", OUT, f"{take} sink = cmps{letter}(zeros, p, {count});", "bytes"
        )
    yield case("rep_scasb_down", OUT, f"{take} sink = scasb_down(p + N - 1, N @+ 1@@);", "bytes")
    yield case("rep_movsb_down", OUT, f"{take} movsb_down(buffer + 200, p + N - 1, N @+ 1@@);", "bytes")
    yield case("rep_cmpsb_ends", OUT, f"{take} p[N - 1] = @0@1@; sink = cmpsb(p, zeros, N + 1);", "bytes")


def _at_the_end_of_a_page() -> Iterable[Case]:
    """Yield accesses partly in a block that ends so many bytes before its page does, and partly on the next page."""
    for left in (1, 2, 3):
        yield case(
            f"across_the_end_of_a_page_{left}",
            OUT,
            f"""
        u8 *first = take(8), *second = take(8);
        u32 room = {4096 - left} - ((u32)(second + (second - first)) & 4095);
        u8 *p = take(room);
        if ((((u32)p + room) & 4095) != {4096 - left}) fail();
        sink = *(volatile u32 *)(p + room - @{4 - left if left < 3 else 0}@4@);""",
            "bytes",
            "sizes",
        )


def _constants() -> Iterable[Case]:
    """Yield writes to the kernel's code and constants, of what is there already, by a pointer that is not what it should be."""
    for what, address in (("code", "use"), ("a_constant", "digits")):
        to = f"u8 *p = take(N); keep(@(void *){address}@p@); u8 *to = kept;"
        yield case(f"write_to_{what}", CONSTANT, f"{to} *(volatile u8 *)to = *(volatile u8 *)to;")
        yield case(f"copy_to_{what}", CONSTANT, f"{to} memcpy(buffer, to, 8); memcpy(to, buffer, 8);")
    yield case(
        "push_to_code",
        CONSTANT,
        "u8 *p = take(N); keep(@(void *)unused@p@); u8 *to = kept; push_at(to + 8);",
    )


CASES: Final = (
    *_widths(),
    *_constants(),
    *_strings(),
    *_at_the_end_of_a_page(),
    case("change_right", OUT, "u8 *p = take(N); ++*(volatile u8 *)(p + @N@0@);", "bytes"),
    case("last_of_rounding", OUT, "u8 *p = take(N); p[N - @0@1@] = 1; p[N - 1] = 2; use(p);", "bytes"),
    case("near_right", OUT, "u8 *p = take(N); sink = *(volatile u8 *)(p + N + @2@-2@);", "bytes"),
    case("loop", OUT, "u8 *p = take(N); for (u32 i = 0; i @<=@<@ N; i++) p[i] = 0; use(p);", "bytes"),
    case(
        "loop_down", OUT, "u8 *p = take(N); for (int i = N - 1; i >= @-1@0@; i--) p[i] = 0; use(p);", "bytes"
    ),
    case("rep_stosb", OUT, "u8 *p = take(N); stosb(p, @N + 1@N@);", "bytes"),
    case("rep_stosl", OUT, "u8 *p = take(N); stosl(p, N / 4 @+ 1@@);", "bytes"),
    case("rep_movsb_from", OUT, "u8 *p = take(N); movsb(buffer, p, @N + 1@N@);", "bytes"),
    case("rep_movsb_to", OUT, "u8 *p = take(N); movsb(p, buffer, @N + 1@N@);", "bytes"),
    case("rep_scasb", OUT, "u8 *p = take(N); memset(p, 1, N); sink = scasb(p, @N + 1@N@);", "bytes"),
    case("rep_cmpsb", OUT, "u8 *p = take(N); memset(p, 0, N); sink = cmpsb(p, zeros, @N + 1@N@);", "bytes"),
    case("memset", OUT, "u8 *p = take(N); memset(p, 0, @N + 1@N@);", "bytes"),
    case("memcpy_from", OUT, "u8 *p = take(N); memcpy(buffer, p, @N + 1@N@);", "bytes"),
    case("memcpy_to", OUT, "u8 *p = take(N); memcpy(p, buffer, @N + 1@N@);", "bytes"),
    case("memset_freed", FREED, "u8 *p = take(N); @give(p, N);@@ memset(p, 0, N);"),
    case(
        "freed_second",
        FREED,
        "u8 *p = take(N), *q = take(N); give(@p@q@, N); sink = *(volatile u8 *)p; keep(q);",
    ),
    case(
        "freed_and_others_taken",
        FREED,
        "u8 *p = take(N), *q = take(N); give(q, N); give(@p@take(N)@, N); sink = *(volatile u8 *)p;",
    ),
    case(
        "list",
        FREED,
        """
        struct link { struct link *next; u32 value; } *head = 0;
        for (u32 i = 0; i < 4; i++) { struct link *one = take(N); one->next = head; one->value = i; head = one; use(head); }
        while (head) {
            struct link *one = head;
            head = head->next;
            @give(one, N);@@
            sink = *(volatile u32 *)&one->value;
        }""",
    ),
    case(
        "freed_twice_over",
        FREED,
        "u8 *p = take(N); give(p, N); u8 *q = take(N); @give(q, N);@@ sink = *(volatile u8 *)p; keep(q);",
        "reuse",
    ),
    case(
        "smaller_in_its_place",
        OUT,
        "u8 *p = take(N); give(p, N); u8 *q = take(N / 2); if (p != q) fail(); sink = *(volatile u8 *)(p + N / 2 - @0@1@); keep(q);",
        "reuse",
        "sizes",
        "bytes",
    ),
    case(
        "jump_again",
        FREED,
        "u8 *p = take(N); memset(p, 0xc3, N); ((void (*)(void))(p + 16))(); @give(p, N);@@ ((void (*)(void))(p + 16))(); use(p);",
        "keeps",
    ),
    case("pushed_by_call", OUT, "u8 *p = take(N); push_at(p @@+ 4@);", "bytes"),
    case(
        "interrupt_freed",
        FREED,
        'u8 *p = take(N); @give(p, N);@@ touched = p; __asm__ volatile("int $0x30" : : : "memory");',
        "interrupts",
    ),
    case(
        "interrupt_right",
        OUT,
        'u8 *p = take(N); touched = p + @N@0@; __asm__ volatile("int $0x30" : : : "memory");',
        "interrupts",
        "bytes",
    ),
    case(
        "interrupt_in_allocator",
        FREED,
        "u8 *p = take(N), *q = take(N); @give(p, N);@@ touched = p; hooked = 1; give(q, N); hooked = 0;",
        "interrupts",
        "hook",
    ),
    case(
        "resized",
        FREED,
        "u8 *p = take(N), *q = take(N); p[0] = 1; u8 *r = resize(p, 8 * N); sink = *(volatile u8 *)@p@r@; keep(q);",
        "resize",
    ),
    case(
        "resized_in_place",
        OUT,
        "u8 *p = take(N); p = resize(p, N / 2); p[N / 2 - @0@1@] = 1; use(p);",
        "resize",
    ),
    case(
        "across_two_pages",
        OUT,
        """
        u8 *first = take(8), *second = take(8);
        u32 room = 4094 - ((u32)(second + (second - first)) & 4095);
        u8 *p = take(room);
        if ((((u32)p + room) & 4095) != 4094) fail();
        *(volatile u32 *)(p + room - @0@4@) = 1;""",
        "bytes",
        "sizes",
    ),
    case(
        "over_two_pages",
        FREED,
        """
        u8 *p = take(8192 + 64);
        u8 *end = (u8 *)(((u32)p + 4096) & ~4095u);
        @give(p, 8192 + 64);@@
        *(volatile u32 *)(end - 2) = 1;""",
        "sizes",
    ),
    case("far", NOBODYS, "u8 *p = take(N); sink = *(volatile u8 *)(p + @6000@0@);", "bytes", "far"),
)
"""Where a case has more than one way to be right, the twin keeps all that is not the defect."""
