"""kmemu: boots an i386 kernel, runs or replaces its memory management, and shows every allocation.

The names here are the public Python interface. They are imported when they are first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from emulator.devices.board import BoardSettings
    from emulator.errors import EmulatorError
    from emulator.hle.kernels import find_btron, find_litecore
    from emulator.hle.layers import Mode, attach_layers
    from emulator.loader.image import KernelImage
    from emulator.machine.consoles import Console
    from emulator.machine.core.snapshots import Snapshot
    from emulator.machine.execution import Outcome
    from emulator.machine.machine import Machine
    from emulator.machine.memory import RamWindow
    from emulator.run.recorded import record_trace
    from emulator.trace.trace import Trace
    from kernel_model.address_space import AddressSpace

    __version__: str

__all__ = [
    "AddressSpace",
    "BoardSettings",
    "Console",
    "EmulatorError",
    "KernelImage",
    "Machine",
    "Mode",
    "Outcome",
    "RamWindow",
    "Snapshot",
    "Trace",
    "__version__",
    "attach_layers",
    "boot",
    "find_btron",
    "find_litecore",
    "record_trace",
]

_HOMES = {
    "AddressSpace": "kernel_model.address_space",
    "BoardSettings": "emulator.devices.board",
    "Console": "emulator.machine.consoles",
    "EmulatorError": "emulator.errors",
    "KernelImage": "emulator.loader.image",
    "Machine": "emulator.machine.machine",
    "Mode": "emulator.hle.layers",
    "Outcome": "emulator.machine.execution",
    "RamWindow": "emulator.machine.memory",
    "Snapshot": "emulator.machine.core.snapshots",
    "Trace": "emulator.trace.trace",
    "attach_layers": "emulator.hle.layers",
    "find_btron": "emulator.hle.kernels",
    "find_litecore": "emulator.hle.kernels",
    "record_trace": "emulator.run.recorded",
}


def boot(  # noqa: PLR0913 - the machine's description
    kernel: str = "firmware:demo",
    *,
    ram: RamWindow | None = None,
    layers: Mapping[str, Mode | Literal["native", "model", "lockstep"]] | None = None,
    command_line: str = "",
    modules: Sequence[str] = (),
    load: int | None = None,
    entry: int | None = None,
    protocol: Literal["multiboot1", "multiboot2"] | None = None,
    symbols: str | None = None,
    mmu: Literal["fast", "ordinary", "reference"] = "fast",
    on_output: Callable[[Console, bytes], None] | None = None,
    board: BoardSettings | None = None,
    disk: str | Sequence[str] = (),
) -> Machine:
    """Make a PC with a kernel loaded, ready to run.

    Args:
        kernel: Path of an ELF file or of another Multiboot kernel, or ``firmware:NAME`` for a built-in kernel. Gzip files are decompressed.
        ram: Extended RAM; 4 MiB from 1 MiB upwards if it is None.
        layers: How layers of the kernel's memory management run; those not named run native.
        command_line: For the kernel, after its own name.
        modules: Boot modules, each "path arguments...".
        load: Physical address at which the file is loaded as it is, whatever it holds; None: the file says it.
        entry: Physical address of the first instruction; None: the file says it, or else *load*.
        protocol: By which the kernel is started; None: Multiboot 1 if the kernel has a header of that, else Multiboot 2 or nothing.
        symbols: Path of another ELF file with the kernel's symbols, source lines and variables; None: its own.
        mmu: ``fast``, or for comparison ``ordinary`` or ``reference``, which are slower.
        on_output: Called with the guest's output as it appears.
        board: What the user says about the PC's devices; None: the defaults.
        disk: File that the IDE disk holds, or files of up to four; the guest's writes stay in memory. none: those of *board*.

    Raises:
        EmulatorError: The kernel, a module or the disk cannot be loaded, or a layer not be attached.
        ValueError: *ram* is no possible window, or there is no such mode, MMU or protocol.
    """
    # Imported here because importing the package has to stay cheap.
    from emulator.boot_protocol.modules import Module
    from emulator.devices.board import DEFAULT_BOARD, pc_board
    from emulator.loader.builtin import resolve
    from emulator.loader.image import KernelImage
    from emulator.loader.layout import LoadOptions
    from emulator.machine.machine import Machine
    from emulator.machine.memory import DEFAULT_RAM

    board = DEFAULT_BOARD if board is None else board
    if disk:
        from emulator.loader.disk_file import DiskFile  # few kernels have one

        disks = [disk] if isinstance(disk, str) else disk
        board = board._replace(disks=tuple(DiskFile(each) for each in disks))
    machine = Machine(
        KernelImage.read(resolve(kernel), LoadOptions(load, entry, protocol), symbols),
        ram=DEFAULT_RAM if ram is None else ram,
        command_line=command_line,
        modules=[Module.read(each) for each in modules],
        mmu=mmu,
        on_output=on_output,
        board=pc_board(board),
    )
    if layers:
        from emulator.hle.layers import Mode, attach_layers

        attach_layers(machine, {layer: Mode(mode) for layer, mode in layers.items()})
    return machine


def _public(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # a type checker would take every name for a public one
    __getattr__ = _public


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow

    try:
        return version("kmemu")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"
