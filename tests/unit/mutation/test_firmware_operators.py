"""Which changes of C source are tried."""

from __future__ import annotations

import pytest

from tests.mutation.firmware_operators import mutants

BODY = """
#include "a.h" /* 1 < 2 */
#define MANY 3u
static int find(int a, int b)
{
    uint32_t flags = critical_enter();
    int c = 0;
    /* a < b */
    if (a < b && !c) {
        return E_ID;
    }
    c += pick(a, b);
    note("1 + 1", c);
    critical_leave(flags);
    return c;
}
"""


def test_every_kind_of_change() -> None:
    found = [(each.line(BODY), each.what(BODY)) for each in mutants(BODY)]
    assert found == [
        (3, "3u  ->  2u"),
        (3, "3u  ->  4u"),
        (6, "critical_enter()  ->  cpu_flags()"),
        (7, "0  ->  1"),
        (9, "(a < b && !c)  ->  (!(a < b && !c))"),
        (9, "<  ->  <="),
        (9, "<  ->  >="),
        (9, "&&  ->  ||"),
        (9, "!  ->  nothing"),
        (10, "return E_ID;  ->  ;"),
        (10, "E_ID  ->  0"),
        (10, "E_ID  ->  E_OK"),
        (12, "c += pick(a, b);  ->  ;"),
        (12, "+=  ->  -="),
        (12, "+=  ->  ="),
        (12, "a, b  ->  b, a"),
        (13, 'note("1 + 1", c);  ->  ;'),
        (13, '"1 + 1", c  ->  c, "1 + 1"'),
        (14, "critical_leave(flags);  ->  ;"),
        (15, "c  ->  0"),
    ]


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("    p = *q;", ["p = *q;  ->  ;"]),
        ("    p = q * r;", ["p = q * r;  ->  ;", "*  ->  +"]),
        ("    int *p = &q;", []),
        ("    spin = spin_lock_irqsave(&lock);", ["spin = spin_lock_irqsave(&lock);  ->  ;", "spin_lock_irqsave(&lock)  ->  cpu_flags()"]),
        ("    x = 0x10;", ["x = 0x10;  ->  ;", "0x10  ->  0x11u", "0x10  ->  0xfu"]),
        ("    *x = (struct s){.a = 1, .b = y};", [".a = 1  ->  nothing", "1  ->  0", "1  ->  2", ".b = y  ->  nothing"]),
    ],
)  # fmt: skip
def test_what_is_no_operator_is_left_alone(line: str, changes: list[str]) -> None:
    source = f"void f(void)\n{{\n{line}\n}}\n"
    assert [each.what(source) for each in mutants(source)] == changes


def test_a_change_is_applied_where_it_is() -> None:
    source = "void f(void)\n{\n    g(a + b);\n}\n"
    assert [each.applied(source).splitlines()[2] for each in mutants(source)] == ["    ;", "    g(a - b);"]
