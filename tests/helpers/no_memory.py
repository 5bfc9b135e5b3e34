"""Lets an allocation of the native core fail: a library that is loaded before libc answers for it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

/* Where calls of the core come from, which of them fails, and how many there were since that was said. */
static struct { const char *base, *start, *end; long fail_at, count; } core;
enum { SITES_MAX = 256, OF_A_SITE_MAX = 24 };
static struct { long site, count; } counted[SITES_MAX]; /* since then; of each site the first ones count */

static int find_core(struct dl_phdr_info *info, size_t size, void *data)
{
    if (!strstr(info->dlpi_name, "native/_core"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X)) {
            core.base = (const char *)info->dlpi_addr;
            core.start = (const char *)info->dlpi_addr + part->p_vaddr;
            core.end = core.start + part->p_memsz;
        }
    }
    return 1;
}

/* The n-th request of the core from now on fails; 0: none. Returns how many there were since the last call. */
long shim_fail_at(long n)
{
    long count = core.count;
    dl_iterate_phdr(find_core, NULL);
    core.fail_at = n;
    core.count = 0;
    memset(counted, 0, sizeof counted);
    return count;
}

/* Return addresses in the core of the requests since shim_fail_at(), as offsets; returns how many. */
long shim_sites(long *out)
{
    long count = 0;
    for (; counted[count].site; count++)
        out[count] = counted[count].site;
    return count;
}

static int fails(const void *caller)
{
    long site = (const char *)caller - core.base, i = 0;
    if ((const char *)caller < core.start || (const char *)caller >= core.end)
        return 0;
    while (counted[i].site && counted[i].site != site)
        i++;
    counted[i].site = site;
    return ++counted[i].count <= OF_A_SITE_MAX && ++core.count == core.fail_at;
}

#define ANSWER(result, name, parameters, arguments, failed) \
    result name parameters \
    { \
        static result (*original) parameters; \
        if (fails(__builtin_return_address(0))) { \
            errno = ENOMEM; \
            return failed; \
        } \
        if (!original) \
            original = (result (*) parameters)dlsym(RTLD_NEXT, #name); \
        return original arguments; \
    }
ANSWER(void *, realloc, (void *block, size_t size), (block, size), NULL)
ANSWER(void *, mmap, (void *at, size_t size, int rights, int flags, int file, off_t offset),
       (at, size, rights, flags, file, offset), (void *)-1)
ANSWER(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
ANSWER(int, ftruncate, (int file, off_t size), (file, size), -1)
ANSWER(int, mprotect, (void *at, size_t size, int rights), (at, size, rights), -1)
ANSWER(ssize_t, pwrite, (int file, const void *from, size_t size, off_t offset), (file, from, size, offset), -1)
ANSWER(ssize_t, pread, (int file, void *to, size_t size, off_t offset), (file, to, size, offset), -1)

/* dlsym() itself may allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

/* Room for a context comes from libunicorn, which the core finds by name. */
static int (*context_alloc)(void *engine, void **context);
static int context_alloc_or_fail(void *engine, void **context)
{
    return fails(__builtin_return_address(0)) ? 1 /* UC_ERR_NOMEM */ : context_alloc(engine, context);
}

void *dlsym(void *handle, const char *name)
{
    static void *(*original)(void *, const char *);
    if (!original)
        original = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    void *found = original(handle, name);
    if (strcmp(name, "uc_context_alloc"))
        return found;
    context_alloc = (int (*)(void *, void **))found;
    return (void *)context_alloc_or_fail;
}
"""

REQUESTS = ("malloc", "calloc", "realloc", "mmap", "memfd_create", "ftruncate", "mprotect", "pread", "pwrite")
"""Functions that fail, besides uc_context_alloc."""


def run_without_memory(directory: Path, program: str) -> str:
    """Run a Python program in which ``shim.shim_fail_at(n)`` can be called, and return what it prints.

    Args:
        directory: For the library.
        program: Its first lines make `shim`.

    Raises:
        AssertionError: It ended with an error, or was killed.
    """
    source, library = directory / "shim.c", directory / "shim.so"
    source.write_text(_SHIM)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    done = subprocess.run(
        [sys.executable, "-c", f"import ctypes\nshim = ctypes.CDLL(None)\n{program}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-3000:]}"
    return done.stdout
