"""``--sanitize=uninitialised``: each command shows what depends on memory that nobody has written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

SOURCE = r"""
struct message { struct message *next; unsigned length; unsigned flags; char text[12]; };

static unsigned heap = 0x200000;

void *pool_get(unsigned size)
{
    void *block = (void *)heap;

    heap += (size + 7) & ~7u;
    return block;
}

void message_send(struct message *m)
{
    m->length = 5;
    if (m->flags & 1)
        m->text[0] = 'u';
}

void kmain(void)
{
    struct message *m = pool_get(sizeof *m);

    m->next = 0;
    message_send(m);
}

__asm__(".section .multiboot, \"a\"; .long 0x1badb002, 0, -0x1badb002; .bss; .skip 4096; stack: .text\n"
        ".global _start; _start: mov $stack, %esp; call kmain; cli; hlt");
"""
MESSAGE = "a branch depends on 0x00200008, 8 bytes inside a block of 24 bytes, which was never written"


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """Return a kernel and its profile, for a command."""
    kernel = compile_kernel(tmp_path, SOURCE, ("-g", "-O1", "-fno-inline"))
    profile = tmp_path / "pool.toml"
    profile.write_text('[pool]\nalloc = "pool_get(size)"\n')
    return str(kernel), "--profile", str(profile)


def test_check_names_the_line_the_field_and_the_read(
    kmemu: Callable[..., Done], words: tuple[str, ...]
) -> None:
    done = kmemu("check", *words, "--sanitize=uninitialised")
    assert (done.status, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0] == f"BUG: {MESSAGE} in message_send"
    assert lines[2].startswith("  by j")
    assert lines[3].startswith("  read by test byte ptr [eax + 8], 1 at 0x0010")
    assert lines[3].endswith("kernel.c:17")
    assert lines[4:6] == [
        "  block #1 is 0x00200000-0x00200018",
        "  in m->flags of struct message",
    ]
    assert "........UUUUUUUU" in done.out
    assert "U never written" in done.out


def test_documents_have_its_kind_and_its_line(kmemu: Callable[..., Done], words: tuple[str, ...]) -> None:
    asked = ("check", *words, "--sanitize=uninitialised")
    document = json.loads(kmemu(*asked, "--json").out)
    [finding] = document["findings"]
    assert (finding["kind"], finding["message"]) == ("uninitialised-use", MESSAGE)
    assert finding["place"]["stack"][0]["line"] == 17
    assert {"uninitialised-use", "out-of-bounds"} <= set(document["checked"])
    sarif = json.loads(kmemu(*asked, "--format", "sarif").out)
    [result] = sarif["runs"][0]["results"]
    assert result["ruleId"] == "uninitialised-use"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 17}


def test_it_has_to_be_asked_for(kmemu: Callable[..., Done], words: tuple[str, ...]) -> None:
    done = kmemu("check", *words, "--sanitize", "--json")
    document = json.loads(done.out)
    assert (done.status, document["findings"]) == (0, [])
    why = "values that were never written were not followed in this run"
    assert document["unchecked"]["uninitialised-use"] == why
    assert "uninitialised" not in kmemu("check", *words, "--sanitize").out
    assert kmemu("check", *words, "--sanitize=more").status == 2


def test_it_is_left_out_and_halted_at_as_others_are(
    kmemu: Callable[..., Done], words: tuple[str, ...], tmp_path: Path
) -> None:
    asked = ("check", *words, "--sanitize=uninitialised")
    done = kmemu(*asked, "--halt-on-error")
    assert done.status == 1
    assert "stopped before the bad access at message_send+" in done.out
    suppressions = tmp_path / "known.supp"
    suppressions.write_text("uninitialised-use:message_*\n")
    assert kmemu(*asked, "--halt-on-error", "--suppressions", str(suppressions)).status == 0


@pytest.mark.parametrize("command", [("boot",), ("trace",), ("step", "--print")])
def test_other_commands_show_it(
    kmemu: Callable[..., Done], words: tuple[str, ...], command: tuple[str, ...]
) -> None:
    assert MESSAGE in kmemu(command[0], *words, *command[1:], "--sanitize=uninitialised").out
    assert MESSAGE not in kmemu(command[0], *words, *command[1:], "--sanitize").out
