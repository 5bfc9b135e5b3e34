"""The plugin for pytest: tests call the functions of a booted kernel. See docs/pytest.md.

pytest imports this module in every project that has the package installed, so all else is imported when a test uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from emulator.pytest_plugin.checks import KernelChecks
    from emulator.pytest_plugin.kernel import Kernel
    from emulator.pytest_plugin.settings import Settings

__all__ = ["Kernel"]  # the rest is for pytest

_OPTIONS = {
    "kmemu_kernel": "kernel to test: a path from the root directory, or firmware:NAME",
    "kmemu_profile": "profile with the kernel's functions that allocate and free (default: the known one that fits)",
    "kmemu_ram": "RAM above 1 MiB, such as 64M (default: 4M)",
    "kmemu_cmdline": "command line for the kernel",
    "kmemu_load": "physical address at which the kernel's file is loaded as it is, whatever it holds",
    "kmemu_entry": "physical address of the first instruction (default: the file's, or that of kmemu_load)",
    "kmemu_protocol": "multiboot1 or multiboot2, for a kernel that has both (default: multiboot1)",
    "kmemu_symbols": "another ELF file with the kernel's symbols",
    "kmemu_disk": "file that the IDE disk holds; it is not written",
    "kmemu_boot_until": "symbol at whose entry the boot ends (default: where the kernel exits or halts)",
    "kmemu_timeout": "seconds that a boot, a call or a run may take; 0 for no limit (default: 60)",
}
_MARKERS = {
    "kmem_no_leaks": "no block that the test allocates in the kernel is left when it ends",
    "kmem_limit": "the most bytes that the test may take at a time",
    "kmem_fail_nth": "this allocation of the test fails, from 1",
    "kmem_expect": "the kernel makes these mistakes in the test, and no others",
}
_SIGNATURES = {"kmem_limit": "(size, area=None)", "kmem_fail_nth": "(number)", "kmem_expect": "(kind, ...)"}

_settings: pytest.StashKey[Settings] = pytest.StashKey()
_checks: pytest.StashKey[KernelChecks] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Describe the configuration."""
    for name, text in _OPTIONS.items():
        parser.addini(name, text, default="")
    parser.addini("kmemu_modules", 'Multiboot modules, each "FILE ARGS" on a line', type="linelist")
    parser.addini(
        "kmemu_walk_heap", "look for damage in a known heap after each test", type="bool", default=True
    )
    parser.addini(
        "kmemu_check",
        "let tests fail that make the kernel do what kmemu check finds",
        type="bool",
        default=True,
    )
    parser.addini(
        "kmemu_sanitize",
        "let tests fail in which the kernel accesses memory beyond a block, after its free, or in no block",
        type="bool",
        default=False,
    )
    parser.addini(
        "kmemu_uninitialised",
        "with kmemu_sanitize, let tests fail in which a branch, an address or an output depends on what was never written",
        type="bool",
        default=False,
    )
    parser.addini(
        "kmemu_halt_on_error",
        "with kmemu_sanitize, stop the kernel before such an access",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the markers; read the configuration if there is one."""
    config.addinivalue_line(
        "markers",
        "kmemu(kernel, profile, ram, cmdline, modules, load, entry, protocol, symbols, disk, boot_until, timeout, walk_heap, check, sanitize, uninitialised, halt_on_error): "
        "what the fixture kernel boots",
    )
    for name, text in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}{_SIGNATURES.get(name, '')}: {text}")
    if any(config.getini(name) for name in _OPTIONS):
        _configured(config)


@pytest.fixture(scope="session")
def _kmemu_machines() -> object:
    """Return the kernels that this session has booted, for `emulator.pytest_plugin.machines.booted_kernel`."""
    return {}


@pytest.fixture
def kernel(request: pytest.FixtureRequest, _kmemu_machines: object) -> Kernel:
    """Return a kernel at the end of its boot, to call its functions and read its memory."""
    from emulator.pytest_plugin.checks import prepare

    item = request.node
    ready, checks = prepare(item, _configured(item.config), _kmemu_machines)
    checks.begin()
    item.stash[_checks] = checks
    return ready


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Reject markers that have no effect."""
    for marker in item.iter_markers():
        if marker.name in _MARKERS and "kernel" not in getattr(item, "fixturenames", ()):
            pytest.fail(f"@pytest.mark.{marker.name} is of no use without the fixture kernel", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check what a test leaves, if it has passed."""
    checks = item.stash.get(_checks, None)
    if checks is not None:
        checks.begin()
    result = yield
    checks = item.stash.get(_checks, None)
    if checks is not None:
        problem = checks.problem()
        if problem:
            pytest.fail(problem, pytrace=False)
    return result


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Forget the test's kernel."""
    if _checks in item.stash:
        del item.stash[_checks]


def _configured(config: pytest.Config) -> Settings:
    """Return what the configuration says.

    Raises:
        UsageError: It is wrong.
    """
    if _settings not in config.stash:
        from emulator.pytest_plugin.settings import BadConfiguration, configured

        try:
            config.stash[_settings] = configured(config)
        except BadConfiguration as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_settings]


def _public(name: str) -> object:
    """Import `Kernel`, for annotations of tests, when it is first used (PEP 562)."""
    if name != "Kernel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from emulator.pytest_plugin.kernel import Kernel

    return Kernel


if not TYPE_CHECKING:  # a type checker would take every name for a public one
    __getattr__ = _public
