"""Build script of the native core: cffi, API mode, stable ABI (abi3)."""

import importlib.util
import re
from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).parent
ROOMS = ("analysis", "core", "observe", "record", "unicorn")
CDEF_HEADERS = ("analysis/analysis.h", "core.h")
CALLBACKS = """
extern "Python" {
    uint32_t kc_on_port_read(void *handle, uint32_t port, int32_t size);
    void kc_on_port_write(void *handle, uint32_t port, int32_t size, uint32_t value);
    uint32_t kc_on_memory_read(void *handle, uint32_t window, uint32_t offset, int32_t size);
    void kc_on_memory_write(void *handle, uint32_t window, uint32_t offset, int32_t size, uint32_t value);
    void kc_on_console(void *handle, uint32_t number, const uint8_t *bytes, uint32_t count);
    uint32_t kc_on_probe(void *handle, uint32_t number, uint32_t kind, uint32_t esp, uint32_t eax);
    void kc_on_calls(void *handle);
    void kc_on_entered(void *handle);
    void kc_on_idle(void *handle);
    uint32_t kc_on_apic_acknowledge(void *handle);
    void kc_on_apic_line(void *handle, uint32_t line);
    void kc_on_apic_off(void *handle);
    void kc_on_bios(void *handle);
    uint32_t kc_on_stop(void *handle, uint32_t breakpoint);
}
void kc_connect(void);
"""
CONNECT = """
#include "analysis/analysis.h"
#include "core.h"
static uint32_t kc_on_port_read(void *, uint32_t, int32_t);
static void kc_on_port_write(void *, uint32_t, int32_t, uint32_t);
static uint32_t kc_on_memory_read(void *, uint32_t, uint32_t, int32_t);
static void kc_on_memory_write(void *, uint32_t, uint32_t, int32_t, uint32_t);
static void kc_on_console(void *, uint32_t, const uint8_t *, uint32_t);
static uint32_t kc_on_probe(void *, uint32_t, uint32_t, uint32_t, uint32_t);
static void kc_on_calls(void *);
static void kc_on_entered(void *);
static void kc_on_idle(void *);
static uint32_t kc_on_apic_acknowledge(void *);
static void kc_on_apic_line(void *, uint32_t);
static void kc_on_apic_off(void *);
static void kc_on_bios(void *);
static uint32_t kc_on_stop(void *, uint32_t);
static void kc_connect(void)
{
    static const kc_python callbacks = {
        kc_on_port_read, kc_on_port_write, kc_on_memory_read, kc_on_memory_write, kc_on_console, kc_on_probe, kc_on_calls,
        kc_on_entered, kc_on_idle, kc_on_apic_acknowledge, kc_on_apic_line, kc_on_apic_off,
        kc_on_bios, kc_on_stop,
    };
    kc_set_python(&callbacks);
}
"""


def declarations() -> str:
    """Return the parts of the headers that Python sees."""
    headers = ((NATIVE / name).read_text() for name in CDEF_HEADERS)
    return "".join(
        header.partition("/* cdef begin */")[2].partition("/* cdef end */")[0] for header in headers
    )


def files(pattern: str) -> list[str]:
    """Return the files of all rooms, relative to pyproject.toml: setuptools refuses absolute paths of sources."""
    return [
        f"emulator/native/{room}/{path.name}"
        for room in ROOMS
        for path in sorted((NATIVE / room).glob(pattern))
    ]


def unicorn_headers() -> str:
    """Return the include directory that the unicorn package ships."""
    spec = importlib.util.find_spec("unicorn")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("building the native core needs the Python package unicorn for its headers")
    return str(Path(spec.submodule_search_locations[0]) / "include")


ffibuilder = FFI()
ffibuilder.cdef(re.sub(r"/\*.*?\*/", "", declarations(), flags=re.DOTALL) + CALLBACKS)
ffibuilder.set_source(
    "emulator.native._core",
    CONNECT,
    sources=["emulator/native/machine.c", *files("*.c")],
    depends=[*(f"emulator/native/{path.name}" for path in NATIVE.glob("*.h")), *files("*.h")],
    include_dirs=["emulator/native", unicorn_headers()],
    libraries=["dl", "pthread"],
    extra_compile_args=[
        "-std=gnu11",
        "-O2",
        "-flto=auto",
        "-g1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fvisibility=hidden",
    ],
    extra_link_args=["-O2", "-flto=auto"],
)
