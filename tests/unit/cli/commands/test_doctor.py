"""`kmemu doctor`: each of its lines has said no, where the core or libunicorn behaves otherwise."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emulator.errors import HostError
from emulator.machine.core import doctor
from emulator.machine.core.core_types import Reason
from emulator.native import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Done

DOCUMENT = Path(__file__).parents[4] / "docs" / "doctor.md"
SPEED = ["replaced", "registers", "counting", "exit checks", "flags", "jumps", "memory"]


class Core:
    """The core's functions, some of which are others."""

    def __init__(self, **others: object) -> None:
        self._others = others

    def __getattr__(self, name: str) -> object:
        return self._others.get(name) or getattr(_LIB, name)


_LIB = _core.lib


def no_lines(output: str) -> list[str]:
    return [line[4:19].strip() for line in output.splitlines() if line.startswith("NO  ")]


def ran(change: Callable[[Any], None]) -> dict[str, object]:
    """Return a run of the core whose ending is changed afterwards."""

    def run(core: object, budget: int, slice_: int, stop: Any) -> None:  # noqa: ANN401
        _LIB.kc_run(core, budget, slice_, stop)
        change(stop)

    return {"kc_run": run}


def set_to(name: str, value: int, where: Callable[[Any], bool] = lambda _: True) -> dict[str, object]:
    return ran(lambda stop: setattr(stop, name, value) if where(stop) else None)


def registers(**values: int) -> dict[str, object]:
    def get(core: object, out: Any) -> None:  # noqa: ANN401
        _LIB.kc_get_registers(core, out)
        for name, value in values.items():
            setattr(out, name, value)

    return {"kc_get_registers": get}


def facts_without(bit: int) -> dict[str, object]:
    return {"kc_facts": lambda core: _LIB.kc_facts(core) & ~bit}


def found_without(name: bytes) -> dict[str, object]:
    def function(i: int, found: Any) -> object:  # noqa: ANN401
        text = _LIB.kc_engine_function(i, found)
        if text != _core.ffi.NULL and _core.ffi.string(text) == name:
            found[0] = False
        return text

    return {"kc_engine_function": function}


def page_written(_core: object, _depth: int, _page: int) -> bool:
    return True


def of(vector: int, error_code: int | None = None) -> Callable[[Any], bool]:
    return lambda stop: (
        stop.reason == Reason.EXCEPTION and stop.vector == vector and error_code in (None, stop.error_code)
    )


RED: list[tuple[dict[str, object], list[str]]] = [
    (found_without(b"helper_rsm_x86_64"), ["functions"]),
    (facts_without(_LIB.KC_REPLACED), ["replaced"]),
    (facts_without(_LIB.KC_REGISTERS), ["registers"]),
    (facts_without(_LIB.KC_COUNTS), ["counting"]),
    (facts_without(_LIB.KC_NO_CHECKS), ["exit checks"]),
    (facts_without(_LIB.KC_FLAGS), ["flags"]),
    (facts_without(_LIB.KC_JUMPS_KEPT), ["jumps"]),
    (registers(es_base=0), ["segments"]),
    (set_to("instructions", 50, lambda stop: stop.instructions == 51), ["instructions"]),
    (registers(eax=21), ["budget", "time stamps"]),
    (set_to("reason", Reason.SLICE, lambda stop: stop.instructions > 8 and stop.reason == Reason.HALTED), ["changing code", "rings"]),
    (registers(eip=doctor._CODE + 1), ["interrupts", "rings", "snapshots"]),  # noqa: SLF001
    (set_to("vector", 8, of(6)), ["exceptions", "lock", "system calls", "features"]),
    (set_to("error_code", 0, of(13, 0x1234)), ["error codes"]),
    (set_to("vector", 14, of(13, 0)), ["alignment"]),
    ({"kc_page_written": page_written}, ["snapshots"]),
]  # fmt: skip


def test_all_of_it_holds_here(kmemu: Callable[..., Done]) -> None:
    done = kmemu("doctor")
    assert (done.status, no_lines(done.out), done.err) == (0, [], "")
    shown = re.search(r"\$ kmemu doctor\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert shown
    assert done.out.splitlines()[1:] == shown[1].splitlines()[1:]


def test_as_a_document(kmemu: Callable[..., Done]) -> None:
    document = json.loads(kmemu("doctor", "--json").out)
    assert (document["version"], document["good"], document["fast"]) == (1, True, True)
    assert [fact["name"] for fact in document["facts"] if fact["is_for_speed"]] == SPEED
    assert list(document["facts"][0]) == ["name", "holds", "text", "is_for_speed"]


@pytest.mark.parametrize(("others", "names"), RED, ids=[names[0] for _, names in RED])
def test_a_line_says_no(
    kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, others: dict[str, object], names: list[str]
) -> None:
    doctor._found_out.cache_clear()  # noqa: SLF001
    monkeypatch.setattr(doctor, "lib", Core(**others))
    done = kmemu("doctor")
    doctor._found_out.cache_clear()  # noqa: SLF001
    assert done.status == 1
    assert no_lines(done.out) == names
    is_fast = not set(names) & set(SPEED)
    assert (
        "The fast paths are on." if is_fast else f"The fast paths are off: {names[0]}."
    ) in done.out.splitlines()
    assert ("Some guests behave otherwise" in done.out) == is_fast


def test_where_no_libunicorn_can_be_used(kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise HostError("cannot use libunicorn: libunicorn is not of the versions >= 2.1.4, < 2.2")

    monkeypatch.setattr(doctor, "load_unicorn", refuse)
    done = kmemu("doctor")
    assert done.status == 1
    assert done.out.splitlines() == [
        "NO  library        cannot use libunicorn: libunicorn is not of the versions >= 2.1.4, < 2.2",
        "",
        "kmemu cannot run kernels here.",
        "Some guests behave otherwise than on a PC.",
    ]


def run_with(library: str) -> tuple[int, list[str]]:
    """Run the command in a process that has loaded *library* first."""
    done = subprocess.run(
        [sys.executable, "-m", "emulator.cli.main", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": library},
    )
    facts = json.loads(done.stdout)["facts"]
    return done.returncode, [fact["name"] for fact in facts if not fact["holds"]]


def test_where_libunicorn_was_loaded_for_the_whole_process() -> None:
    spec = importlib.util.find_spec("unicorn")
    assert spec
    assert spec.origin
    library = next((Path(spec.origin).parent / "lib").glob("libunicorn.so*"))
    assert run_with(str(library)) == (1, ["library"])


def test_where_libunicorn_was_loaded_before_the_core() -> None:
    program = "import unicorn, sys; from emulator.cli.main import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, no_lines(done.stdout), done.stderr) == (0, [], "")


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#define EXPORTED __attribute__((visibility("default")))
"""
FORWARD_CALLS = r"""
void tcg_gen_callN_x86_64(void *s, void *f, void *r, int n, void *a)
{
    static void (*original)(void *, void *, void *, int, void *);
    if (!original) original = dlsym(dlopen("libunicorn.so.2", RTLD_NOW | RTLD_NOLOAD), "tcg_gen_callN_x86_64");
    original(s, f, r, n, a);
}
"""
NO_PROTECTION = r"""
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int mprotect(void *at, size_t size, int rights)
{
    if (rights == PROT_READ && size > 4096) { errno = EPERM; return -1; }
    return syscall(SYS_mprotect, at, size, rights);
}
"""


@pytest.mark.parametrize(
    ("code", "names"),
    [(FORWARD_CALLS, ["counting"]), (NO_PROTECTION, ["snapshots"])],
    ids=["counting", "snapshots"],
)
def test_where_a_function_is_another(tmp_path: Path, code: str, names: list[str]) -> None:
    source, library = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM + code)
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    assert run_with(str(library)) == (1, names)
