from __future__ import annotations

from pathlib import Path

import pytest

from emulator.errors import HostError, UnknownName, missing_symbols
from emulator.loader import builtin
from emulator.loader.builtin import DEFECTS, KERNELS, TWINS, resolve


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(builtin, "_DIRECTORY", tmp_path)
    return tmp_path


def test_the_list() -> None:
    assert list(KERNELS) == [
        "demo",
        "fragment",
        "exhaust",
        "leak",
        "double_free",
        "use_after_free",
        "overflow",
        "fragile",
        "stress",
        "paging_demo",
        "btron_demo",
        "btron_pools_wait",
        "btron_fragment",
        "btron_stress",
        "vm_demo",
        "vm_share",
        "vm_stack_growth",
        "vm_fault",
        "vm_churn",
    ]
    assert all(text and "\n" not in text for text in (KERNELS | DEFECTS).values())


def test_every_defect_has_a_twin_and_both_are_there() -> None:
    assert tuple(f"{name}_ok" for name in DEFECTS) == TWINS
    for name in (*DEFECTS, *TWINS):
        assert Path(resolve(f"firmware:{name}")).is_file()


def test_the_sources_with_a_defect_are_those_in_the_list() -> None:
    scenarios = Path(__file__).parents[3] / "firmware" / "scenarios"
    assert {path.stem for path in scenarios.glob("*bad_*.c")} == set(DEFECTS)


def test_near_names_are_those_of_defects_too() -> None:
    with pytest.raises(UnknownName) as caught:
        resolve("firmware:bad_leek_ok")
    assert str(caught.value).startswith("no built-in kernel 'bad_leek_ok'; there are: bad_leak_ok, ")


def test_a_path_stays_as_it_is() -> None:
    assert resolve("some/kernel.elf") == "some/kernel.elf"
    assert resolve("demo") == "demo"


def test_a_built_in_kernel(directory: Path) -> None:
    (directory / "leak.elf").touch()
    assert resolve("firmware:leak") == str(directory / "leak.elf")


def test_the_directory_is_in_the_package() -> None:
    assert str(Path(builtin.__file__).parent.parent / "_firmware") == builtin._DIRECTORY  # noqa: SLF001 - the lookup itself


def test_not_built(directory: Path) -> None:
    with pytest.raises(HostError) as caught:
        resolve("firmware:demo")
    assert str(caught.value) == (
        f"built-in kernel 'demo' has not been built: {directory}/demo.elf is missing (run: make firmware)"
    )


def test_an_unknown_name_gets_the_nearest_first() -> None:
    with pytest.raises(UnknownName) as caught:
        resolve("firmware:strss")
    assert str(caught.value) == (
        "no built-in kernel 'strss'; there are: "
        "stress, demo, fragment, exhaust, leak, double_free, use_after_free, overflow, fragile, paging_demo, "
        "btron_demo, btron_pools_wait, btron_fragment, btron_stress, vm_demo, "
        "vm_share, vm_stack_growth, vm_fault, vm_churn"
    )
    assert caught.value.name == "strss"


@pytest.mark.parametrize("name", ["", "../demo", "Demo", "demo.elf"])
def test_names_are_exact(name: str) -> None:
    with pytest.raises(UnknownName):
        resolve(f"firmware:{name}")


def test_missing_symbols_are_named_with_their_purpose() -> None:
    error = missing_symbols("k.elf", ["kmalloc", "kfree"], "layer heap")
    assert str(error) == "k.elf: layer heap needs the missing symbols kmalloc, kfree"
    assert str(missing_symbols("k.elf", ["__end"], "the memory map")) == (
        "k.elf: the memory map needs the missing symbol __end"
    )
    assert error.names == ("kmalloc", "kfree")
