"""Which changes of Python source are tried."""

from __future__ import annotations

import ast

from tests.mutation.python_operators import mutants

SOURCE = '''
LIMIT = 3 + 1


class Counter:
    """1 < 2"""

    @property
    def full(self) -> int | None:
        """Say 1 < 2."""
        return self.count >= LIMIT and not self.open

    def take(self, items: list[int], index: int) -> list[int]:
        self.count += len(items)
        self.last = items[index]
        if self.last == 0:
            raise ValueError(f"{1 + 1} items")
        rest = sorted((each for each in items if each), reverse=True)
        return [*rest, -min(rest)] if rest[1:] else [7]
'''


def test_every_kind_of_change() -> None:
    found = [f"{mutant.function}:{mutant.line}: {mutant.what}" for mutant, _ in mutants(SOURCE)]
    assert sorted(found) == sorted(
        f"Counter.{each}"
        for each in (
            "full:11: self.count >= LIMIT and (not self.open) -> not self.open",
            "full:11: self.count >= LIMIT and (not self.open) -> self.count >= LIMIT",
            "full:11: self.count >= LIMIT -> self.count > LIMIT",
            "full:11: self.count >= LIMIT -> self.count < LIMIT",
            "full:11: not self.open -> self.open",
            "take:14: self.count += len(items) -> pass",
            "take:15: self.last = items[index] -> pass",
            "take:15: index -> 0",
            "take:16: self.last == 0 -> not self.last == 0",
            "take:16: self.last == 0 -> self.last != 0",
            "take:16: 0 -> 1",
            "take:17: raise ValueError(f'{1 + 1} items') -> pass",
            "take:18: sorted((each for each in items if each), reverse=True) -> sorted((each for each in items if each))",
            "take:18: for each in items if each -> for each in items",
            "take:18: True -> False",
            "take:19: [*rest, -min(rest)] -> [-min(rest)]",
            "take:19: -min(rest) -> min(rest)",
            "take:19: min -> max",
            "take:19: rest[1:] -> not rest[1:]",
            "take:19: 1: -> :",
            "take:19: 1 -> 2",
            "take:19: 7 -> 8",
        )
    )


def test_each_tree_has_its_change_alone() -> None:
    texts = [ast.unparse(tree) for _, tree in mutants(SOURCE)]
    assert len(set(texts)) == len(texts)
    assert ast.unparse(ast.parse(SOURCE)) not in texts
    assert all("LIMIT = 3 + 1" in text for text in texts)


def test_a_mutant_is_known_by_its_function_alone() -> None:
    moved = SOURCE.replace("LIMIT = 3 + 1", "LIMIT = 4\nMORE = 5")
    for (mutant, _), (other, _) in zip(mutants(SOURCE), mutants(moved), strict=True):
        assert mutant._replace(line=0) == other._replace(line=0)
