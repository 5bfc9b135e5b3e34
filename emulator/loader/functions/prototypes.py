"""Stub."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage


class Field(NamedTuple):
    """A field."""

    offset: int
    size: int


def field_of(_image: KernelImage, _address: int, _parameter: int, _path: str) -> Field | None:
    """Return nothing."""
    return None
