"""Read what to boot for a test from pytest's configuration, and from the marker ``kmemu`` of single tests."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from emulator.cli import option_values
from emulator.loader.builtin import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from emulator.machine.memory import RamWindow

_MARKER: Final = "kmemu"
DEFAULT_TIMEOUT_S: Final = 60.0


class BadConfiguration(Exception):
    """The configuration or a marker asks for what cannot be; one line for the user."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to boot, and how.

    Attributes:
        kernel: A path, or ``firmware:NAME``; "" when nothing says.
        profile: Path of a profile; "": the known one that fits the kernel.
        ram: Extended RAM; None: 4 MiB.
        cmdline: For the kernel, after its own name.
        modules: Boot modules, each "path arguments...".
        load: Physical address at which the file is loaded as it is; None: the file says it.
        entry: Physical address of the first instruction; None: the file says it, or else *load*.
        protocol: By which the kernel is started; "": by the one that it has, Multiboot 1 if it has both.
        symbols: Path of another ELF file with the kernel's symbols; "": its own.
        disk: Path of the file that the IDE disk holds; "": there is no disk.
        boot_until: Symbol at whose entry the boot ends; "": where the kernel exits or halts.
        timeout: Seconds of the host that a boot, a call or a run may take.
        walk_heap: Audit for damage in a known kernel's heap after each test.
        check: Let a test fail whose calls of the kernel make a mistake that `kmemu check` finds.
        sanitize: Let a test fail in which the kernel accesses memory beyond a block, after its free, or in no block.
        uninitialised: With *sanitize*: let a test fail, too, in which a branch, an address or an output depends on what was never written.
        halt_on_error: With *sanitize*: stop the kernel before such an access.
    """

    kernel: str = ""
    profile: str = ""
    ram: RamWindow | None = None
    cmdline: str = ""
    modules: tuple[str, ...] = ()
    load: int | None = None
    entry: int | None = None
    protocol: Literal["", "multiboot1", "multiboot2"] = ""
    symbols: str = ""
    disk: str = ""
    boot_until: str = ""
    timeout: float = DEFAULT_TIMEOUT_S
    walk_heap: bool = True
    check: bool = True
    sanitize: bool = False
    uninitialised: bool = False
    halt_on_error: bool = False


NAMES: Final = tuple(field.name for field in fields(Settings))


def configured(config: pytest.Config) -> Settings:
    """Return what the configuration says.

    Raises:
        BadConfiguration: A value is wrong.
    """
    values = {name: config.getini(f"kmemu_{name}") for name in NAMES}
    return _settings(Settings(), values, config.rootpath, "kmemu_{}".format)


def settings_of(item: pytest.Item, base: Settings) -> Settings:
    """Return what is booted for a test: *base*, changed by its markers, the nearest last.

    Raises:
        BadConfiguration: A marker is wrong.
    """
    markers = list(item.iter_markers(_MARKER))
    for marker in reversed(markers):
        if marker.args:
            raise BadConfiguration(
                f"@pytest.mark.kmemu takes no positional arguments, but {', '.join(NAMES)}"
            )
        unknown = [name for name in marker.kwargs if name not in NAMES]
        if unknown:
            raise BadConfiguration(f"@pytest.mark.kmemu has no {unknown[0]!r}; there are: {', '.join(NAMES)}")
        base = _settings(base, marker.kwargs, item.config.rootpath, "@pytest.mark.kmemu({}=...)".format)
    return base


def _settings(
    base: Settings, values: Mapping[str, object], root: Path, name_of: Callable[[str], str]
) -> Settings:
    read: dict[str, object] = {name: getattr(base, name) for name in NAMES}
    for name, value in values.items():
        try:
            read[name] = _READERS[name](value, root)
        except (ArgumentTypeError, ValueError, TypeError) as error:
            raise BadConfiguration(f"{name_of(name)}: {error}") from None
    return Settings(**read)  # type: ignore[arg-type]


def _text(value: object, _root: Path) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _path(value: object, root: Path) -> str:
    text = str(value) if isinstance(value, Path) else _text(value, root)
    return text if not text or text.startswith(PREFIX) else str(root / text)


def _modules(value: object, root: Path) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise TypeError(f'{value!r} is no list of modules, each "FILE ARGS"')
    return tuple(_path(each, root) for each in given)


def _address(value: object, root: Path) -> int | None:
    text = hex(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value, root)
    return option_values.address(text) if text else None


def _protocol(value: object, root: Path) -> str:
    text = _text(value, root)
    if text not in ("", *option_values.PROTOCOLS):
        raise ValueError(f"{text!r} is not one of {', '.join(option_values.PROTOCOLS)}")
    return text


def _ram(value: object, root: Path) -> RamWindow | None:
    text = _text(value, root)
    return option_values.ram_window(text) if text else None


def _timeout(value: object, _root: Path) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number of seconds")
    if value == "":
        return DEFAULT_TIMEOUT_S
    return option_values.timeout(str(value)) or float("inf")


def _flag(value: object, _root: Path) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither True nor False")
    return value


_READERS: Final[Mapping[str, Callable[[object, Path], object]]] = {
    "kernel": _path,
    "profile": _path,
    "ram": _ram,
    "cmdline": _text,
    "modules": _modules,
    "load": _address,
    "entry": _address,
    "protocol": _protocol,
    "symbols": _path,
    "disk": _path,
    "boot_until": _text,
    "timeout": _timeout,
    "walk_heap": _flag,
    "check": _flag,
    "sanitize": _flag,
    "uninitialised": _flag,
    "halt_on_error": _flag,
}
