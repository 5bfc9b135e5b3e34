"""The kernels that come with the emulator, named "firmware:NAME".

Their ELF files are built from `firmware/scenarios` and travel inside the package.
"""

from __future__ import annotations

from pathlib import Path

from emulator.errors import KernelNotBuilt, UnknownKernel

PREFIX = "firmware:"

#: Name and one line that says what the kernel shows.
KERNELS = {
    "demo": "boots, uses every call of the allocators and prints what it did",
    "fragment": "leaves heap and frames half free in a checkerboard where nothing larger fits",
    "exhaust": "takes memory until there is none and gives everything back",
    "leak": "a small server that loses blocks in three of its functions",
    "double_free": "frees a block twice; the heap notices",
    "use_after_free": "writes to a freed block, over the link of the free list",
    "overflow": "writes past the end of a block, over the next header",
    "stress": "a long random run of all calls with a fixed seed, for benchmarks",
    "btron_demo": "BTRON/386: every call and every error of pages, bytes and memory pools, as a table",
    "btron_pools_wait": "BTRON/386: tasks that wait for pools, time out, are released, lose their pool",
    "btron_stress": "BTRON/386: a long random run of pages, bytes and pools with a fixed seed",
}

_DIRECTORY = Path(__file__).parent.parent / "_firmware"


def resolve(argument: str) -> Path:
    """Turn a kernel given by the user into the path of its file.

    Args:
        argument: "firmware:NAME", or a path, which is returned as it is.

    Raises:
        UnknownKernel: There is no built-in kernel of that name.
        KernelNotBuilt: There is, but its file is not in this installation.
    """
    if not argument.startswith(PREFIX):
        return Path(argument)
    name = argument.removeprefix(PREFIX)
    if name not in KERNELS:
        raise UnknownKernel(name, _nearest_first(name))
    path = _DIRECTORY / f"{name}.elf"
    if not path.is_file():
        raise KernelNotBuilt(name, str(path))
    return path


def _nearest_first(name: str) -> list[str]:
    import difflib

    nearest = difflib.get_close_matches(name, KERNELS, n=len(KERNELS))
    return [*nearest, *(known for known in KERNELS if known not in nearest)]
