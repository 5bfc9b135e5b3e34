from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.errors import BadFile
from emulator.profile.documents import from_document, to_document
from emulator.profile.functions import Result, Role
from emulator.profile.model import PAGES, Profile, SpaceRules
from emulator.profile.reader import read_profile
from emulator.profile.suppressions import Suppression
from emulator.profile.tasks import TaskRules

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.profile.functions import TracedFunction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def read(path: Path, text: str) -> Profile:
    path.write_text(text, "utf-8")
    return read_profile(path)


def read_one(path: Path, text: str) -> TracedFunction:
    (function,) = read(path, f"[heap]\n{text}\n").functions
    return function


def problem(path: Path, text: str) -> str:
    with pytest.raises(BadFile) as caught:
        read(path, text)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert caught.value.path == str(path)
    return message.removeprefix(f"{path}: ")


class TestMeaning:
    def test_areas_and_roles(self, path: Path) -> None:
        profile = read(
            path,
            """
            name = "My kernel"
            [heap]
            alloc = ["kmalloc(size)", "kcalloc(count, size)"]
            free = "kfree(ptr)"
            realloc = "krealloc(ptr, size)"
            [frames]
            pages = true
            alloc = "alloc_frames(pages) -> frame"
            share = "share_frame(frame) -> error"
            reset = "frames_init()"
            other = "frames_free() -> value"
            """,
        )
        assert profile.name == "My kernel"
        assert profile.rules == {"frames": PAGES}
        assert [(each.name, each.area, each.role, each.result) for each in profile.functions] == [
            ("kmalloc", "heap", Role.ALLOC, Result.POINTER),
            ("kcalloc", "heap", Role.ALLOC, Result.POINTER),
            ("kfree", "heap", Role.FREE, Result.NONE),
            ("krealloc", "heap", Role.REALLOC, Result.POINTER),
            ("alloc_frames", "frames", Role.ALLOC, Result.FRAME),
            ("share_frame", "frames", Role.SHARE, Result.ERROR),
            ("frames_init", "frames", Role.RESET, Result.NONE),
            ("frames_free", "frames", Role.OTHER, Result.VALUE),
        ]

    def test_the_name_is_the_files_by_default(self, path: Path) -> None:
        assert read(path, "[heap]\nalloc = 'a(size)'").name == "mine"

    def test_spaces_do_not_matter(self, path: Path) -> None:
        function = read_one(path, 'alloc = " f ( align ,size )->ptr "')
        assert (function.name, function.parameters) == ("f", ("align", "size"))

    @pytest.mark.parametrize(
        ("text", "failure"),
        [
            ("alloc = 'f(size)'", 0),
            ("alloc = 'f() -> frame'", 0xFFFFFFFF),
            ("realloc = 'f(ptr, size)'\nfailure = 16", 16),
            ("failure = -1\nalloc = 'f(size) -> ptr'", 0xFFFFFFFF),
            ("failure = 0\nalloc = 'f(size) -> frame'", 0),
            ("failure = -10\nalloc = 'f(out)'", 0xFFFFFFF6),
            ("alloc = 'f(out)'", None),
            ("failure = 7\nalloc = 'f(out) -> none'", None),
            ("failure = 7\nfree = 'f(ptr) -> error'", None),
        ],
    )
    def test_failure(self, path: Path, text: str, failure: int | None) -> None:
        assert read_one(path, text).failure == failure

    def test_several_failures(self, path: Path) -> None:
        text = "failure = [-12, 0, '-4095..-1', '0x10..32']\nalloc = ['f(size)', 'g(out)', 'h(out) -> none']"
        path.write_text(f"[heap]\n{text}")
        f, g, h = read_profile(path).functions
        assert (f.failure, f.failure_result) == (0xFFFF_FFF4, 0xFFFF_FFF4)
        assert f.other_failures == ((0, 0), (0xFFFF_F001, 0xFFFF_FFFF), (16, 32))
        assert [f.answers_no_block(each) for each in (0, 1, 15, 16, 32, 33, 0xFFFF_F000, 0xFFFF_F001)] == [
            *(True, False, False, True, True, False, False, True)
        ]
        assert (g.failure, g.other_failures) == (0xFFFF_FFF4, ())
        assert (h.failure, h.other_failures) == (None, ())

    def test_the_result_of_an_alloc_with_out_is_an_error_by_default(self, path: Path) -> None:
        assert read_one(path, "alloc = 'f(out)'").result is Result.ERROR


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "alloc = 'f(size)'",
                "line 1: key 'alloc': it belongs into the table of an area, such as [heap]",
            ),
            ("\nx = 3", "line 2: key 'x': unknown key"),
            (
                "[heap]\nalocs = 'f(size)'",
                "line 2: key 'heap.alocs': unknown key; there are: alloc, free, realloc, share, reset, seed, defer, other, failure, pages, interior, header, alignment",
            ),
            ("[heap]\nalloc = 3", "line 2: key 'heap.alloc': 3 is no string"),
            ("[heap]\nalloc = ['a()', [1]]", "line 2: key 'heap.alloc': a list is no string"),
            ("[heap]\npages = 1", "line 2: key 'heap.pages': 1 is neither true nor false"),
            ("[heap]\nfailure = '0'", "line 2: key 'heap.failure': '0' is no integer of 32 bits"),
            (
                "[heap]\nfailure = 0x100000000",
                "line 2: key 'heap.failure': 4294967296 is no integer of 32 bits",
            ),
            (
                "[heap]\nfailure = 0\nalloc = 'f(out)'",
                "line 3: key 'heap.alloc': f: the failure value of an error is not 0, that is success",
            ),
            ("[heap]\nfailure = true", "line 2: key 'heap.failure': True is no integer of 32 bits"),
            (
                "[heap]\nfailure = ['-4095..-1']",
                "line 2: key 'heap.failure': '-4095..-1' is no integer of 32 bits",
            ),
            *(
                (
                    f"[heap]\nfailure = [0, '{wrong}']",
                    f"line 2: key 'heap.failure': '{wrong}' is no integer of 32 bits, and no range such as \"-4095..-1\"",
                )
                for wrong in ("-1..1", "2..1", "1..", "..", "1..2..3", "x", "5", "0..0x100000000")
            ),
            ("name = 1\n", "line 1: key 'name': 1 is no string"),
            ("name = ''\n[heap]\nalloc = 'f()'", "the name of a profile is 1 to 80 printable characters"),
            ("", "0 functions; a profile has 1 to 127"),
            (
                "[heap]\nalloc = 'f(size) -> int'",
                "line 2: key 'heap.alloc': result 'int' is not one of ptr, frame, error, value, none",
            ),
            ("[heap]\nalloc = 'f(size,)'", "line 2: key 'heap.alloc': f: '' is no name of a parameter"),
            ("[heap]\nalloc = '9()'", "line 2: key 'heap.alloc': '9' is no name of a function"),
            ("['a b']\nalloc = 'f()'", "line 2: key 'a b.alloc': 'a b' is no name of an area"),
            ('["a\\nb"]\nalloc = "f()"', r"key 'a\nb.alloc': 'a\nb' is no name of an area"),
            (
                "[heap]\nalloc = 'f(size)'\n[slab]\nalloc = 'f(size)'",
                "line 4: key 'slab.alloc': function f is there twice",
            ),
            (
                "[heap]\nalloc = [\n 'f(size)',\n 'g(a, a)',\n]",
                "line 4: key 'heap.alloc': g: parameter a is there 2 times",
            ),
            (
                "heap.alloc = 'f('",
                """key 'heap.alloc': 'f(' is no signature such as "kmalloc(size) -> ptr"; C types are left out""",
            ),
            ("[heap]\nalloc\n", "line 2: is no TOML: Expected '=' after a key in a key/value pair"),
            ("[heap]\nalloc = [", "is no TOML: Invalid value (at end of document)"),
            ("[x]\n[x]", "line 2: is no TOML: Cannot declare ('x',) twice"),
            (f"[{'x' * 500}]\n" * 2, f"line 2: is no TOML: Cannot declare ('{'x' * 83}..."),
            ("[x]\npages = true\n[y]\nalloc = 'f()'", "area 'x' has rules, but no functions"),
            ("x = " + "9" * 5000, "contains a number of thousands of digits"),
            ("x = " + "[" * 9000, "is nested too deeply"),
        ],
    )
    def test_in_the_text(self, path: Path, text: str, message: str) -> None:
        assert problem(path, text) == message

    @pytest.mark.parametrize(
        "text", ["void *f(size_t size)", "f", "f(a", "f(a))", "f() ->", "f() -> ptr x", "f(" + "a" * 1000]
    )
    def test_no_signature(self, path: Path, text: str) -> None:
        message = problem(path, f"[heap]\nalloc = '{text}'")
        assert "is no signature such as" in message
        assert len(message) < 200

    def test_facts(self, path: Path) -> None:
        path.write_text("[heap]\nalloc = 3")
        with pytest.raises(BadFile) as caught:
            read_profile(path)
        error = caught.value
        assert (error.line, error.key, error.problem) == (2, "heap.alloc", "3 is no string")

    def test_not_utf8(self, path: Path) -> None:
        path.write_bytes(b"# \xff")
        with pytest.raises(BadFile, match=r": is not UTF-8: invalid start byte at byte 2$"):
            read_profile(path)

    def test_too_large(self, path: Path) -> None:
        path.write_bytes(b"#" * 65537)
        with pytest.raises(BadFile, match=r": cannot be read: its size is 65537 bytes, more than 65536$"):
            read_profile(path)

    def test_missing_or_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(BadFile, match=r"/none\.toml: cannot be read: No such file or directory$"):
            read_profile(tmp_path / "none.toml")
        with pytest.raises(BadFile, match=r": cannot be read: it is a directory$"):
            read_profile(tmp_path)


RULES = """
[address_spaces]
freed_but_mapped = true
direct_map = [[0xC0000000, 0x100000000], [0, 4096]]
[frames]
pages = true
alloc = "get_frame()"
"""


def test_whether_page_zero_is_used(path: Path) -> None:
    heap = '[heap]\nalloc = "kmalloc(size)"'
    assert read(path, f'page_zero = "used"\n{heap}').uses_page_zero
    assert not read(path, heap).uses_page_zero


HEAP = '[heap]\nalloc = "kmalloc(size)"'


def test_further_functions_of_the_allocator(path: Path) -> None:
    assert read(path, f'allocator = ["heap_*", "slab.c:grow"]\n{HEAP}').allocator == ("heap_*", "slab.c:grow")
    assert read(path, f'allocator = "heap_*"\n{HEAP}').allocator == ("heap_*",)
    assert read(path, HEAP).allocator == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "line 1: key 'allocator': 3 is no string"),
        ('["heap_*", 3]', "line 1: key 'allocator': 3 is no string"),
        ('[""]', "line 1: key 'allocator': a string is empty"),
    ],
)
def test_functions_of_the_allocator_that_are_none(path: Path, value: str, message: str) -> None:
    assert problem(path, f"allocator = {value}\n{HEAP}") == message


def test_suppressions(path: Path) -> None:
    text = f'suppressions = ["use-after-free:poll", "*:drivers/old.c:*"]\n{HEAP}'
    assert read(path, text).suppressions == (
        Suppression("use-after-free", "", "poll"),
        Suppression("*", "drivers/old.c", "*"),
    )


def test_a_suppression_that_is_none(path: Path) -> None:
    expected = "key 'suppressions': 'poll' is no suppression such as \"use-after-free:old_driver_*\" or \"*:drivers/old.c:poll\""
    assert problem(path, f'suppressions = [\n"*:main",\n"poll"]\n{HEAP}') == f"line 3: {expected}"


def test_what_address_spaces_keep(path: Path) -> None:
    ranges = ((0xC0000000, 1 << 32), (0, 4096))
    assert read(path, RULES).address_spaces == SpaceRules(freed_but_mapped=True, direct_map=ranges)
    assert read(path, RULES).areas == ("frames",)
    assert read(path, '[heap]\nalloc = "kmalloc(size)"').address_spaces == SpaceRules()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('page_zero = "free"', "line 1: key 'page_zero': 'free' is not \"used\""),
        ("page_zero = true", "line 1: key 'page_zero': True is not \"used\""),
        ("address_spaces = 3", "line 1: key 'address_spaces': 3 is no table"),
        (
            "[address_spaces]\nfreed = true",
            "line 2: key 'address_spaces.freed': unknown key; there are: freed_but_mapped, writable_twice, direct_map",
        ),
        (
            "[address_spaces]\nwritable_twice = 1",
            "line 2: key 'address_spaces.writable_twice': 1 is neither true nor false",
        ),
        *(
            (
                f"[address_spaces]\n{rule} = true\n[frames]\nalloc = 'get_frame()'",
                f"line 2: key 'address_spaces.{rule}': it is about areas with pages = true, and there is none",
            )
            for rule in ("freed_but_mapped", "writable_twice")
        ),
        *(
            (
                f"[address_spaces]\ndirect_map = {value}",
                "line 2: key 'address_spaces.direct_map': it is no list of ranges such as [0xC0000000, 0xE0000000]",
            )
            for value in [
                *("7", "[7]", "[[4096]]", "[[4096, 4096]]", "[[-1, 4096]]", "[[0, 0x100000001]]"),
                *('[["a", "b"]]', "[[false, true]]"),
            ]
        ),
    ],
)
def test_rules_of_address_spaces_that_make_no_sense(path: Path, text: str, message: str) -> None:
    assert problem(path, text) == message


def test_a_trace_does_not_say_what_address_spaces_keep(path: Path) -> None:
    profile = read(path, RULES)
    assert from_document(to_document(profile)).address_spaces == SpaceRules()


TASKS = """
[tasks]
list = "ptable.proc"
id = "pid"
name = "name"
unused = "state = 0"
current = "proc"
stack = "kstack"
stack_size = 4096
esp = "context"
pushed = ["edi", "esi", "ebx", "ebp", "eip"]
"""


def test_where_tasks_are(path: Path) -> None:
    expected = TaskRules(
        list="ptable.proc",
        id="pid",
        name="name",
        unused=("state", 0),
        current="proc",
        stack="kstack",
        stack_size=4096,
        esp="context",
        pushed=("edi", "esi", "ebx", "ebp", "eip"),
    )
    assert read(path, TASKS + HEAP).tasks == expected
    assert read(path, TASKS + HEAP).areas == ("heap",)
    assert read(path, HEAP).tasks is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = 3", "line 1: key 'tasks': 3 is no table"),
        ('[tasks]\nlist = "a"', "line 1: key 'tasks': list and id have to be there"),
        (
            "[tasks]\nfirst = 1",
            "line 2: key 'tasks.first': unknown key; there are: list, id, next, name, current, stack, esp, unused, stack_size, pushed",
        ),
        ("[tasks]\nid = 3", "line 2: key 'tasks.id': 3 is no name, or names with dots between"),
        ("[tasks]\nid = 'a.'", "line 2: key 'tasks.id': 'a.' is no name, or names with dots between"),
        ("[tasks]\nstack_size = true", "line 2: key 'tasks.stack_size': True is no number of bytes"),
        ("[tasks]\nstack_size = -1", "line 2: key 'tasks.stack_size': -1 is no number of bytes"),
        (
            "[tasks]\nunused = 'state'",
            "line 2: key 'tasks.unused': 'state' is no field with a number: \"state = 0\"",
        ),
        ("[tasks]\npushed = 'eip'", "line 2: key 'tasks.pushed': 'eip' is no list of registers"),
        *(
            (f"[tasks]\nlist = 'l'\nid = 'i'\n{text}", f"line 1: key 'tasks': {message}")
            for text, message in [
                ("", "neither stack nor current says which task runs"),
                ("stack = 's'", "stack and stack_size go together"),
                ("current = 'c'\nesp = 'e'", "esp and pushed go together"),
                ("current = 'c'\nesp = 'e'\npushed = ['ebp']", "pushed lacks eip"),
                (
                    "current = 'c'\nesp = 'e'\npushed = ['eip', 'esp']",
                    "pushed is a list of registers, each once: eax, ecx, edx, ebx, esi, edi, ebp, eip, eflags",
                ),
            ]
        ),
    ],
)
def test_tasks_that_make_no_sense(path: Path, text: str, message: str) -> None:
    assert problem(path, text) == message
