"""Read the page's own parts: markup, style, scripts, and the policy that says what they may do."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
_LIBRARIES = (  # in the order in which they need each other
    "d3-array",
    "d3-color",
    "d3-dispatch",
    "d3-ease",
    "d3-format",
    "d3-hierarchy",
    "d3-interpolate",
    "d3-time",
    "d3-time-format",
    "d3-timer",
    "d3-scale",
    "d3-selection",
    "d3-transition",
    "d3-flame-graph",
    "uplot",
)
_SCRIPTS = (
    "text",
    "data",
    "area",
    "state",
    "page",
    "linechart",
    "usage",
    "callers",
    "mappaint",
    "map",
    "mapfacts",
    "flametree",
    "flame",
    "gaps",
    "lifetimes",
    "tables",
    "timeline",
    "main",
)
# d3-flame-graph brings a style sheet of its own and inserts it when it is loaded.
_INSERTED_STYLE = re.compile(r"\.textContent=`([^`]*)`")


@cache
def read_assets() -> tuple[str, Mapping[str, str]]:
    """Read the page's parts from the package.

    Returns:
        The markup, with ``@NAME@`` where something is filled in; and what every page has in common there, by name: ``STYLE``,
        ``LIBRARIES`` (the charts), ``SCRIPT`` (the page's own), ``LICENCES`` (of the libraries) and ``POLICY``, the
        Content-Security-Policy that allows nothing but these scripts and styles.
    """
    libraries = ";\n".join(_read(path) for name in _LIBRARIES for path in _vendored(name, "*.js"))
    style = _read(_HERE / "vendor/uplot/uPlot.min.css") + "".join(
        _read(_HERE / f"css/{name}.css") for name in ("base", "views")
    )
    # One function around all keeps our names apart from the libraries'.
    script = '(() => {\n"use strict";\n' + "\n".join(_read(_HERE / f"js/{name}.js") for name in _SCRIPTS)
    script += "})();\n"
    licences = "\n\n".join(
        f"{path.parent.name}\n\n{_read(path)}" for path in sorted(_HERE.glob("vendor/*/LICENSE"))
    )
    styles = [style, *_INSERTED_STYLE.findall(libraries)]
    parts = {
        "STYLE": style,
        "LIBRARIES": libraries,
        "SCRIPT": script,
        "LICENCES": licences,
        "POLICY": _policy([libraries, script], styles),
    }
    return _read(_HERE / "template.html"), parts


def _vendored(name: str, pattern: str) -> list[Path]:
    return sorted((_HERE / "vendor" / name).glob(pattern))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _policy(scripts: list[str], styles: list[str]) -> str:
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: list[str]) -> str:
    """Return the names of inline texts in a policy (CSP 3, 2.3.1 "hash-source")."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
