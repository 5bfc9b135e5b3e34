"""What holds for all tests."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Leave what all tests are made of, half a million objects, out of the collections of garbage to come: it stays until the end."""
    gc.collect()
    gc.freeze()
