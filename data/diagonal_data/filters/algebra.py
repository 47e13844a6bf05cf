"""Filters put together: `a & b`, `a | b`, `a - b`, with brackets.

A name is any word without white space, brackets, & and |. `&` binds tighter than `|` and `-`,
which are done from left to right. A list may name a sample several times: `&` takes the fewer, `|`
the more, and `a - b` is what a lists of the samples that b does not list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diagonal_infra.errors import UserError

TOKEN = re.compile(r"\s*([&|()]|[^\s&|()]+)")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A filter's name, or two nodes with a sign between."""

    text: str
    sides: tuple["Node", "Node"] | None = None

    def names(self) -> list[str]:
        """The filters in it, each once."""
        if self.sides is None:
            return [self.text]
        return list(dict.fromkeys([*self.sides[0].names(), *self.sides[1].names()]))

    def __str__(self) -> str:
        if self.sides is None:
            return self.text
        return f"({self.sides[0]} {self.text} {self.sides[1]})"

    def times(self, listed: Mapping[str, np.ndarray]) -> np.ndarray:
        """How often each row is listed, from how often each filter lists it."""
        if self.sides is None:
            return listed[self.text]
        first, second = (side.times(listed) for side in self.sides)
        if self.text == "&":
            return np.minimum(first, second)
        if self.text == "|":
            return np.maximum(first, second)
        return np.where(second > 0, 0, first)

    def reasons(self, listed: Mapping[str, np.ndarray]) -> np.ndarray:
        """Why each row is not in it, as text; empty if it is."""
        if self.sides is None:
            return np.where(listed[self.text] > 0, "", f"not in {self.text}").astype(object)
        first, second = self.sides
        before = first.reasons(listed)
        if self.text == "&":
            return np.where(before == "", second.reasons(listed), before)
        if self.text == "|":
            return np.where(second.reasons(listed) == "", "", before)
        return np.where((before == "") & (second.times(listed) > 0), f"in {second}", before)


def parse_algebra(text: str) -> Node:
    """The expression as a tree.

    Raises:
        UserError: it is none.
    """
    tokens = TOKEN.findall(text)
    node, rest = _sum(tokens, text)
    if rest:
        raise _refused(text, f"{rest[0]!r} stands where a sign is expected")
    return node


def _sum(tokens: list[str], text: str) -> tuple[Node, list[str]]:
    node, rest = _product(tokens, text)
    while rest and rest[0] in ("|", "-"):
        second, after = _product(rest[1:], text)
        node, rest = Node(text=rest[0], sides=(node, second)), after
    return node, rest


def _product(tokens: list[str], text: str) -> tuple[Node, list[str]]:
    node, rest = _name(tokens, text)
    while rest and rest[0] == "&":
        second, after = _name(rest[1:], text)
        node, rest = Node(text="&", sides=(node, second)), after
    return node, rest


def _name(tokens: list[str], text: str) -> tuple[Node, list[str]]:
    if not tokens:
        raise _refused(text, "it ends where a filter's name is expected")
    if tokens[0] == "(":
        node, rest = _sum(tokens[1:], text)
        if not rest or rest[0] != ")":
            raise _refused(text, "a bracket is not closed")
        return node, rest[1:]
    if tokens[0] in ("&", "|", "-", ")"):
        raise _refused(text, f"{tokens[0]!r} stands where a filter's name is expected")
    return Node(text=tokens[0]), tokens[1:]


def _refused(text: str, why: str) -> UserError:
    return UserError(
        f'{text!r} is no combination of filters: {why}; write "a & b", "a | b", "a - b"'
    )
