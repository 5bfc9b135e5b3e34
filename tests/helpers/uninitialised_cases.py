"""Uses of values that were never written, as a table of cases: see case_kernels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.helpers.case_kernels import Case, case

if TYPE_CHECKING:
    from collections.abc import Iterable

UNINITIALISED: Final = "uninitialised-use"

_FRESH: Final = "u8 *p = take(N); memset(p, 0x33, N); give(p, N); p = take(N);"
"""A block whose memory has held something before."""
_BRANCH: Final = "if ({}) sink = 1;"


def _of(name: str, body: str, *needs: str) -> Case:
    return case(name, UNINITIALISED, f"{_FRESH} {body}", *needs)


def _assembly(name: str, code: str, *needs: str) -> Case:
    """Return a case of instructions with the block's address in EDX, which may use EAX, ECX and EBX."""
    lines = code.replace(";", "\\n")
    return _of(
        name,
        f'__asm__ volatile("{lines}" : : "d"(p) : "eax", "ecx", "ebx", "memory", "cc");',
        *needs,
    )


def _widths() -> Iterable[Case]:
    for bits in (8, 16, 32):
        at = f"*(volatile u{bits} *)p"
        yield _of(f"never_written_{bits}", f"@@{at} = 1;@ {_BRANCH.format(at)}")
        yield _of(
            f"unaligned_{bits}", f"@@memset(p, 0, 8);@ if (*(volatile u{bits} *)(p + 3) == 7) sink = 1;"
        )


CASES: Final = (
    *_widths(),
    _of("partly_written", "p[0] = 1; if (*(volatile u8 *)(p + @1@0@)) sink = 1;"),
    _of(
        "one_byte_of_four",
        "p[0] = p[1] = p[2] = 1; @@p[3] = 0;@ if (*(volatile u32 *)p == 0x10101) sink = 1;",
    ),
    _of("less", "@@*(int *)p = 5;@ if (*(volatile int *)p < 7) sink = 1;"),
    _of("loop_count", "@@p[5] = 3;@ for (u32 i = 0, n = *(volatile u8 *)(p + 5); i < n; i++) sink = i;"),
    _of("index", "@@p[5] = 3;@ sink = buffer[*(volatile u8 *)(p + 5) & 15];"),
    _of("store_index", "@@p[5] = 3;@ buffer[*(volatile u8 *)(p + 5) & 15] = 1;"),
    _of("output", '@@p[2] = 1;@ __asm__ volatile("outb %0, $0x80" : : "a"(*(volatile u8 *)(p + 2)));'),
    _of("to_the_screen", "@@p[2] = 1;@ *(volatile u8 *)0xb8000 = *(volatile u8 *)(p + 2);", "screen"),
    _of("arithmetic", "@@p[1] = 1;@ u32 v = (*(volatile u8 *)(p + 1) * 3 + 7) ^ 21; if (v > 10) sink = v;"),
    _of(
        "copied_and_used",
        "@@memset(p, 1, N);@ memcpy(buffer, p, N); if (*(volatile u8 *)(buffer + 2)) sink = 1;",
        "bytes",
    ),
    _of(
        "copied_twice",
        "@@memset(p, 1, N);@ memcpy(buffer, p, N); memcpy(buffer + 64, buffer, N); if (*(volatile u8 *)(buffer + 70)) sink = 1;",
        "bytes",
    ),
    _of(
        "only_copied", "memcpy(buffer, p, 16); memcpy(buffer + 64, buffer, 16); @if (buffer[64]) sink = 1;@@"
    ),
    _of(
        "overwritten_copy",
        "memcpy(buffer, p, 16); @@memset(buffer, 0, 16);@ if (*(volatile u8 *)(buffer + 1)) sink = 1;",
    ),
    _of(
        "structure",
        "struct s { u8 a; u32 b; } *s = (void *)p, t; s->a = 1; s->b = 2; t = *s; use(&t); if (((volatile u8 *)&t)[@1@0@]) sink = 1;",
    ),
    _of(
        "bit_field",
        "struct { u32 a : 3, b : 5, c : 24; } volatile *s = (void *)p; s->a = 1; s->b = 2; if (s->@c@b@) sink = 1;",
    ),
    _of("one_bit", "struct { u32 a : 1, b : 1; } volatile *s = (void *)p; s->a = 1; if (s->@b@a@) sink = 1;"),
    _of("flag_in_a_word", "volatile u32 *w = (void *)p; *w |= 4; @@*w &= 0xf;@ if (*w & @8@4@) sink = 1;"),
    _of(
        "union",
        "union { u8 b[4]; u32 w; } volatile *u = (void *)p; u->b[0] = 0; @@u->b[1] = u->b[2] = u->b[3] = 0;@ if (u->w) sink = 1;",
    ),
    _of(
        "words_of_a_string",
        'memcpy(p, "hello", @5@6@); volatile u32 *w = (void *)p; for (u32 i = 0; i < 4; i++) { u32 v = w[i]; if ((v - 0x01010101) & ~v & 0x80808080) break; }',
    ),
    _of(
        "string",
        'memcpy(p, "hello", @5@6@); u32 n = 0; while (n < 8 && ((volatile u8 *)p)[n]) n++; sink = n;',
    ),
    _of("scan", 'memcpy(p, "hello", 5); @@p[5] = 0xee;@ sink = scasb(p, 8);'),
    _of("compare", "@@memset(p, 0, 8);@ sink = cmpsb(p, zeros, 8); if (sink) sink = 2;"),
    _of("compare_words", "@@memset(p, 0, 8);@ sink = cmpsl(p, zeros, 2);"),
    _of("filled_by_words", "stosl(p, @1@2@); if (*(volatile u8 *)(p + 6)) sink = 1;"),
    _of("filled_by_bytes", "stosb(p, @6@7@); if (*(volatile u8 *)(p + 6)) sink = 1;"),
    _of(
        "sum_of_two_words",
        "volatile u32 *w = (void *)p; w[0] = 1; @@w[1] = 0;@ unsigned long long v = (unsigned long long)w[1] << 32 | w[0]; v += 5; if ((u32)(v >> 32)) sink = 1;",
    ),
    _of("count_in_a_byte", "volatile u8 *b = p; b[0] = 1; b[1]++; if (b[@1@0@] == 2) sink = 1;"),
    _of("through_a_call", "@@p[3] = 1;@ keep((void *)(u32)((volatile u8 *)p)[3]); if (kept) sink = 1;"),
    _assembly("cleared_by_xor", "mov (%%edx), %%eax; @@xor %%eax, %%eax;@ test %%eax, %%eax; jz 1f; 1:"),
    _assembly("cleared_by_sub", "mov (%%edx), %%eax; @@sub %%eax, %%eax;@ test %%eax, %%eax; jz 1f; 1:"),
    _assembly("cleared_by_and", "mov (%%edx), %%eax; and $@15@0@, %%eax; jz 1f; 1:"),
    _assembly(
        "set_by_or",
        "mov (%%edx), %%eax; or $@2@-1@, %%eax; jz 1f; mov %%eax, %%ecx; cmp $3, %%ecx; je 1f; 1:",
    ),
    _assembly(
        "carry_mask",
        "mov (%%edx), %%eax; @@xor %%eax, %%eax;@ cmp $1, %%eax; sbb %%ecx, %%ecx; test %%ecx, %%ecx; js 1f; 1:",
    ),
    _assembly(
        "moved_if", "mov $1, %%eax; cmp $@0@1@, %%eax; cmovne (%%edx), %%eax; test %%eax, %%eax; jz 1f; 1:"
    ),
    _assembly(
        "moved_if_undefined",
        "mov $1, %%eax; mov $2, %%ecx; @cmpl $5, (%%edx)@cmp $5, %%ecx@; cmove %%ecx, %%eax; cmp $2, %%eax; je 1f; 1:",
    ),
    _assembly(
        "flag_kept",
        "@cmpl $5, (%%edx)@cmp %%eax, %%eax@; sete %%al; movzbl %%al, %%eax; test %%eax, %%eax; jz 1f; 1:",
    ),
    _assembly("second_byte", "movb $1, (%%edx); mov (%%edx), %%ax; test %%@ah@al@, %%@ah@al@; jz 1f; 1:"),
    _assembly(
        "shifted_out",
        "movw $1, (%%edx); mov (%%edx), %%eax; @shr@shl@ $16, %%eax; test %%eax, %%eax; jz 1f; 1:",
    ),
    _assembly(
        "rotated",
        "movw $1, (%%edx); mov (%%edx), %%eax; rol $16, %%eax; @test %%ax, %%ax@shr $16, %%eax@; jz 1f; 1:",
    ),
    _assembly(
        "swapped",
        "movb $1, (%%edx); mov (%%edx), %%eax; bswap %%eax; @test %%al, %%al@shr $24, %%eax@; jz 1f; 1:",
    ),
    _assembly("pushed", "@@movl $1, (%%edx);@ pushl (%%edx); pop %%ecx; test %%ecx, %%ecx; jz 1f; 1:"),
    _assembly(
        "all_pushed", "mov (%%edx), %%ebx; @@xor %%ebx, %%ebx;@ pusha; popa; test %%ebx, %%ebx; jz 1f; 1:"
    ),
    _assembly(
        "exchanged", "mov $1, %%eax; xchg %%eax, (%%edx); @test %%eax, %%eax@cmpl $1, (%%edx)@; jz 1f; 1:"
    ),
    _assembly(
        "multiplied",
        "mov (%%edx), %%eax; @@movb $0, %%al; movb $0, %%ah; and $0xffff, %%eax;@ imul $3, %%eax, %%eax; test %%eax, %%eax; jz 1f; 1:",
    ),
    _assembly(
        "divided",
        "@@movl $9, (%%edx);@ mov (%%edx), %%eax; push %%edx; xor %%edx, %%edx; mov $3, %%ecx; div %%ecx; pop %%edx; test %%eax, %%eax; jz 1f; 1:",
    ),
    _assembly(
        "bit_tested",
        "movl $1, (%%edx); @movb %%al, %%al; mov 4(%%edx), %%eax@mov (%%edx), %%eax@; bt $0, %%eax; jc 1f; 1:",
    ),
    _assembly("bit_set", "mov (%%edx), %%eax; bts $3, %%eax; bt $@4@3@, %%eax; jc 1f; 1:"),
    _assembly("flags_pushed", "@cmpl $5, (%%edx)@cmp %%eax, %%eax@; pushf; popf; jz 1f; 1:"),
    _assembly(
        "computed_address",
        "movzbl (%%edx), %%eax; @@mov $4, %%eax;@ lea 8(,%%eax,4), %%ecx; and $28, %%ecx; mov buffer(%%ecx), %%ecx",
    ),
    _assembly(
        "address_only_computed",
        "movzbl (%%edx), %%eax; lea 8(%%edx,%%eax,4), %%ecx; @and $3, %%eax; mov buffer(%%eax), %%ecx@@",
    ),
    _assembly(
        "loop_counter",
        "@@movl $3, (%%edx);@ mov (%%edx), %%ecx; and $3, %%ecx; or $1, %%ecx; 1: dec %%ecx; jnz 1b",
    ),
    _assembly(
        "rep_count",
        "@@movl $3, (%%edx);@ mov (%%edx), %%ecx; and $3, %%ecx; push %%edi; mov $buffer, %%edi; rep stosb; pop %%edi",
    ),
    _of(
        "resized_tail",
        "@p = resize(p, 4 * N);@p[0] = 1; p = resize(p, 4 * N);@ if (*(volatile u8 *)(p + @4 * N - 1@0@)) sink = 1;",
        "resize",
        "garbage",
    ),
    _of(
        "resized_in_place_keeps",
        "p[0] = 1; p = resize(p, N - 4); if (*(volatile u8 *)(p + @1@0@)) sink = 1;",
        "resize",
    ),
    _of(
        "resized_keeps",
        "p[0] = 1; p = resize(p, 8 * N); if (*(volatile u8 *)(p + @1@0@)) sink = 1;",
        "resize",
    ),
    _of(
        "cleared_by_the_allocator",
        "p = @obtain@obtain_cleared@(N); if (*(volatile u32 *)(p + 4)) sink = 1;",
        "clears",
        "garbage",
    ),
    _of("cleared_by_the_caller", "@@memset(p, 0, N);@ if (*(volatile u32 *)(p + 4)) sink = 1;"),
    _of("first_use", "u8 *q = take(N); @@q[2] = 1;@ if (*(volatile u8 *)(q + 2)) sink = 1;", "garbage"),
    _of(
        "interrupt_reads",
        '@@p[0] = 1;@ touched = p; __asm__ volatile("int $0x30" : : : "memory"); if (sink) sink = 1;',
        "interrupts",
    ),
    _of(
        "interrupt_comes_between",
        '@@*(u32 *)p = 1;@ touched = zeros; __asm__ volatile("mov (%0), %%ecx; int $0x30; test %%ecx, %%ecx; jz 1f; 1:" : : "d"(p) : "ecx", "memory", "cc");',
        "interrupts",
    ),
    _of("two_pages", "volatile u32 *w = (u32 *)(p + 4094); @@*w = 1;@ if (*w) sink = 1;", "pages"),
)
