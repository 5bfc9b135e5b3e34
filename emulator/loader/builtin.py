"""The kernels that come with the emulator, named "firmware:NAME".

Their ELF files are built from `firmware/scenarios` and travel inside the package.
"""

from __future__ import annotations

import os.path

from emulator.errors import HostError, UnknownName

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
    "fragile": "a small server that handles only some failed allocations; for fault injection",
    "stress": "a long random run of all calls with a fixed seed, for benchmarks",
    "paging_demo": "every call and every error of paging, address space and vmalloc, on both sides of enabling it",
    "btron_demo": "BTRON/386: every call and every error of pages, bytes and memory pools, as a table",
    "btron_pools_wait": "BTRON/386: tasks that wait for pools, time out, are released, lose their pool",
    "btron_fragment": "BTRON/386: pages and bytes half free in a checkerboard where nothing larger fits",
    "btron_stress": "BTRON/386: a long random run of pages, bytes and pools with a fixed seed",
    "vm_demo": "BTRON/386: regions and tasks in ring 3, every call and every error, as a table",
    "vm_share": "BTRON/386: text and a region that two tasks in ring 3 share, and what each has alone",
    "vm_stack_growth": "BTRON/386: stacks that grow by touch, and a region whose handler is asked",
    "vm_fault": "BTRON/386: what ends a task in ring 3, with a line on the console, and nothing else",
    "vm_churn": "BTRON/386: thousands of tasks in ring 3 with a fixed seed, for benchmarks",
}

#: The same for kernels that do one thing wrong each, for `kmemu check`. NAME_ok is NAME without its defect.
DEFECTS = {
    "bad_double_free": "frees a block that is free",
    "bad_wild_free": "frees what never was a block",
    "bad_inner_free": "frees a pointer into a block",
    "bad_wild_access": "an arena that follows a wild pointer (firmware/scenarios/arena.toml)",
    "bad_null_access": "writes through a null pointer; the kernel does not notice",
    "bad_overlap": "an arena whose blocks overlap (firmware/scenarios/arena.toml)",
    "bad_align": "an arena whose blocks are misaligned (the same)",
    "bad_place": "an arena that returns an address outside RAM (the same)",
    "bad_pool": "puts a box into another pool (the same)",
    "bad_overflow": "writes a byte past the end of a block",
    "bad_late_write": "writes to a freed block",
    "bad_below_stack": "loads what lies below ESP, with interrupts on; none comes",
    "bad_return": "writes over a return address; the function does not return",
    "bad_mapped_leak": "forgets a block of vmalloc()",
    "bad_mapped_free": "frees a frame that is still mapped",
    "bad_bitmap": "writes to the bitmap of frames",
    "bad_reserved": "hands out a reserved frame",
    "bad_leak": "forgets blocks",
    "bad_lock": "ends with a lock held",
    "bad_lock_twice": "takes a lock twice; never ends",
    "bad_fit": "a heap that differs from its model",
    "bad_divide": "divides by 0 and has no handlers; the CPU shuts down",
    "bad_exit": "exits with value 3",
    "bad_stale_tlb": "changes a page table entry by hand, and the CPU is not told",
    "btron_bad_size": "BTRON/386: frees bytes with too small a size",
    "btron_bad_round": "BTRON/386: frees bytes with a wrong size that rounds to the right one",
    "btron_bad_refcount": "BTRON/386: writes to the count of a page's owners",
    "btron_bad_null": "BTRON/386: writes through a null pointer; the handler exits with value 2",
    "btron_bad_stack": "BTRON/386: loses a task's stack pointer; the CPU shuts down",
    "vm_bad_table": "BTRON/386: a page table is unlinked and not given back",
    "vm_bad_shared": "BTRON/386: a page is mapped in two spaces and has one owner",
    "vm_bad_writable": "BTRON/386: a page of a program's text stays open for writing",
    "btron_bad_wait": "BTRON/386: two tasks wait for each other; the CPU halts for good",
}
TWINS = tuple(f"{name}_ok" for name in DEFECTS)

_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_firmware")
_NAMES = (*KERNELS, *DEFECTS, *TWINS)
_NEAREST = 5


def resolve(argument: str) -> str:
    """Turn a kernel given by the user into the path of its file.

    Args:
        argument: "firmware:NAME", or a path, which is returned as it is.

    Raises:
        UnknownName: There is no built-in kernel of that name.
        HostError: There is, but its file is not in this installation.
    """
    if not argument.startswith(PREFIX):
        return argument
    name = argument.removeprefix(PREFIX)
    if name not in _NAMES:
        raise UnknownName("built-in kernel", name, _nearest_first(name))
    path = os.path.join(_DIRECTORY, f"{name}.elf")
    if not os.path.isfile(path):
        raise HostError(
            f"built-in kernel {name!r} has not been built: {path} is missing (run: make firmware)"
        )
    return path


def kasan_stubs() -> bytes:
    """Return the library that kernels are linked with which are compiled with -fsanitize=kernel-address.

    Raises:
        HostError: It is not in this installation.
    """
    path = os.path.join(_DIRECTORY, "libkasan_stubs.a")
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror} (run: make firmware)") from error


def is_built_in(path: str) -> bool:
    """Return whether a file is one of the built-in kernels."""
    return os.path.dirname(path) == _DIRECTORY


def _nearest_first(name: str) -> list[str]:
    import difflib

    nearest = difflib.get_close_matches(name, _NAMES, n=_NEAREST)
    return [*nearest, *(known for known in KERNELS if known not in nearest)]
