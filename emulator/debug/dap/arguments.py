"""The arguments of requests, checked as they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INT32: Final = (1 << 31) - 1
_INT53: Final = (1 << 53) - 1


class BadRequest(Exception):
    """A request cannot be served; one line that says why."""


class Arguments:
    """The arguments of a request, or an object in them.

    Args:
        values: As they came.
        where: What they belong to, for errors: ``setBreakpoints``.

    Raises:
        BadRequest: They are no object.
    """

    def __init__(self, values: Any, where: str) -> None:  # noqa: ANN401 - JSON
        if values is not None and not isinstance(values, dict):
            raise BadRequest(f"{where}: the arguments are {_named(values)}, and not an object")
        self._values: Mapping[str, Any] = values or {}
        self._where = where

    def names(self) -> Iterator[str]:
        """Yield the names of those that are given."""
        return iter(self._values)

    def has(self, name: str) -> bool:
        """Return whether one is given."""
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; *default*, or without one an error, where none is given."""
        return str(self._get(name, str, "a string", default))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a truth value."""
        return bool(self._get(name, bool, "true or false", default))

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = _INT32) -> int:
        """Return a whole number from *least* to *most*."""
        value = self._get(name, int, "a whole number", default)
        if isinstance(value, bool) or not least <= value <= most:
            raise BadRequest(
                f"{self._where}: {name} is {_named(value)}, and not a number from {least} to {most}"
            )
        return int(value)

    def offset(self, name: str) -> int:
        """Return a whole number that may be negative; 0 where none is given."""
        return self.number(name, 0, least=-_INT53, most=_INT53)

    def objects(self, name: str) -> list[Arguments]:
        """Return a list of objects; an empty one where none is given."""
        values = self._get(name, list, "a list", [])
        return [
            Arguments(each if each is not None else [], f"{self._where}: {name}[{number}]")
            for number, each in enumerate(values)
        ]

    def object(self, name: str) -> Arguments:
        """Return an object; an empty one where none is given."""
        return Arguments(self._get(name, dict, "an object", {}), f"{self._where}: {name}")

    def texts(self, name: str) -> list[str]:
        """Return a list of strings; an empty one where none is given."""
        values = self._get(name, list, "a list", [])
        for number, each in enumerate(values):
            if not isinstance(each, str):
                raise BadRequest(f"{self._where}: {name}[{number}] is {_named(each)}, and not a string")
        return list(values)

    def one_of(self, name: str, values: tuple[str, ...]) -> str:
        """Return one of some strings; the first where none is given."""
        value = self.text(name, values[0])
        if value not in values:
            raise BadRequest(f"{self._where}: {name} is {_named(value)}, and not {' or '.join(values)}")
        return value

    def any(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return whatever is given; None: nothing."""
        return self._values.get(name)

    def _get(self, name: str, kind: type, what: str, default: Any) -> Any:  # noqa: ANN401 - JSON
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise BadRequest(f"{self._where}: {name} is missing")
            return default
        if not isinstance(value, kind):
            raise BadRequest(f"{self._where}: {name} is {_named(value)}, and not {what}")
        return value


def _named(value: Any) -> str:  # noqa: ANN401 - JSON
    text = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - it has to fit into a line
