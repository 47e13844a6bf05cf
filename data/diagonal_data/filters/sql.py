"""Conditions as users write them: one SQL expression, checked on its syntax tree before it runs.

    parse(text) ─► Expression(sql, columns, rankings)

Text is parsed by DuckDB itself and refused if it is more than an expression over columns: a second
statement, a subquery, a window, an aggregate, or a function whose value is not decided by its
arguments. quantile(COLUMN) and top(COLUMN, SHARE) depend on all samples: in `sql` they stand as
columns, which the scan fills in. The connection itself can open no file and no extension.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from diagonal_infra.errors import UserError

CLASSES = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION"),
        *("CONSTANT", "FUNCTION", "OPERATOR", "TYPE"),
    }
)
"""Of DuckDB's expression classes those that read the row at hand only."""
MACROS = frozenset({"fdiv", "fmod", "list_max", "list_min", "list_sum", "nullif", "split_part"})
"""Functions that DuckDB writes in SQL; others of the kind may give several rows for one."""
TESTS = {
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
}
NAMED = re.compile(r"\s*([a-z][a-z0-9_]*)\s*:(?!:)\s*(.*)", re.DOTALL)
"""`REASON: CONDITION`."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A column of the query that is decided by a column's values in all samples."""

    column: str
    test: str = ""
    """Empty is the quantile itself; `top` is whether the value is in the top share; > >= < and <=
    are what comparing the quantile with `limit` gives, which is found without computing it."""
    limit: float = 0.0

    @property
    def name(self) -> str:
        """Its name in the query; no column of a table is called so."""
        return f"{self.test or 'quantile'}:{self.column}:{self.limit}"


@dataclass(frozen=True, kw_only=True)
class Expression:
    """What the query computes, and of what."""

    sql: str
    columns: frozenset[str]
    """Without those of rankings."""
    rankings: frozenset[Ranking]


def sandbox() -> duckdb.DuckDBPyConnection:
    """A database in memory that reads what is registered with it, and nothing else."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            # What comes out is laid beside what went in, and is seldom put in order then.
            "preserve_insertion_order": "true",
        },
    )
    connection.execute("SET lock_configuration = true")
    return connection


def parse(connection: duckdb.DuckDBPyConnection, text: str) -> Expression:
    """The expression, if it is one.

    Raises:
        UserError: it is not; the message says why.
    """
    # The line break ends a comment, so that the bracket cannot be commented out.
    tree = _serialized(connection, f"SELECT ({text}\n)", text)
    node = _only_expression(connection, tree, text)
    for inner in _nodes(node):
        _check_node(connection, inner, text)
    named = set(_named(node, text))
    return Expression(
        sql=_as_sql(connection, tree, _with_rankings(node, text)),
        columns=frozenset(name for name in named if isinstance(name, str)),
        rankings=frozenset(name for name in named if isinstance(name, Ranking)),
    )


def split_name(text: str) -> tuple[str | None, str]:
    """`REASON: CONDITION` taken apart; None for a condition without a reason."""
    found = NAMED.fullmatch(text)
    return (found[1], found[2]) if found else (None, text)


def conjuncts(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    """The conditions that `and` joins at the top of an expression; one that is none of these."""
    tree = _serialized(connection, f"SELECT ({text}\n)", text)
    node = _only_expression(connection, tree, text)
    if node["type"] != "CONJUNCTION_AND":
        return [text]
    return [_as_sql(connection, tree, child) for child in node["children"]]


def column_name(node: dict[str, Any], text: str) -> str:
    """The one name of a column reference, in lower case as SQL has it."""
    names = node["column_names"]
    if len(names) != 1:
        raise _refused(text, f"a column is named by one word, not {'.'.join(names)!r}")
    return names[0].lower()


def _serialized(connection: duckdb.DuckDBPyConnection, query: str, text: str) -> dict[str, Any]:
    found = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()[0][0]
    tree = json.loads(found)
    if tree["error"]:
        raise _refused(text, tree["error_message"])
    return tree


def _only_expression(
    connection: duckdb.DuckDBPyConnection, tree: dict[str, Any], text: str
) -> dict[str, Any]:
    """The one expression of a SELECT that has nothing else: no table, condition, order, limit."""
    if not text.strip():
        raise _refused(text, "it is empty")
    plain = _serialized(connection, "SELECT (1\n)", text)
    expressions = [s["node"].get("select_list", []) for s in tree["statements"]]
    bare = [s | {"node": s["node"] | {"select_list": []}} for s in tree["statements"]]
    for statement in plain["statements"]:
        statement["node"]["select_list"] = []
    if len(expressions) != 1 or len(expressions[0]) != 1 or not _alike(bare, plain["statements"]):
        raise _refused(text, "it is more than an expression")
    return expressions[0][0]


def _alike(first: Any, second: Any) -> bool:
    """Equality of trees but for where in the text a part stood."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {key for key in first.keys() | second.keys() if not key.startswith("query_loc")}
        return all(_alike(first.get(key), second.get(key)) for key in keys)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_alike, first, second))
    return first == second


def _as_sql(
    connection: duckdb.DuckDBPyConnection, tree: dict[str, Any], node: dict[str, Any]
) -> str:
    """An expression of the tree as text, without brackets around it."""
    tree["statements"][0]["node"]["select_list"] = [node]
    query = "SELECT json_deserialize_sql(?::JSON)"
    sql: str = connection.execute(query, [json.dumps(tree)]).fetchall()[0][0]
    sql = sql.removeprefix("SELECT ")
    if sql[0] + sql[-1] != "()":
        return sql
    # The first bracket need not be the last one's: what is left must be the same expression.
    bare = json.loads(
        connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {sql[1:-1]}"]).fetchall()[0][0]
    )
    same = not bare["error"] and _alike(bare["statements"], tree["statements"])
    return sql[1:-1] if same else sql


def _check_node(connection: duckdb.DuckDBPyConnection, node: dict[str, Any], text: str) -> None:
    if node["class"] not in CLASSES:
        raise _refused(text, f"a {node['class'].lower()} may not stand in it")
    if node["class"] == "FUNCTION" and node["function_name"] not in ("quantile", "top"):
        _check_function(connection, node["function_name"], text)


def _check_function(connection: duckdb.DuckDBPyConnection, name: str, text: str) -> None:
    query = (
        "SELECT DISTINCT function_type, stability FROM duckdb_functions() WHERE function_name = ?"
    )
    kinds = connection.execute(query, [name]).fetchall()
    if not kinds:
        raise _refused(text, f"there is no function {name!r}")
    if name not in MACROS and kinds != [("scalar", "CONSISTENT")]:
        raise _refused(text, f"function {name!r} is not decided by the values of one row")


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every expression of a tree, itself included."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "class" in node:
        yield node
    for child in children:
        yield from _nodes(child)


def _ranking(node: dict[str, Any], text: str) -> Ranking | None:
    """What a quantile(), a top(), or a quantile() compared with a number stands for."""
    if node["class"] == "COMPARISON" and node["type"] in TESTS:
        of, limit = _ranking(node["left"], text), _number(node["right"])
        if of is not None and not of.test and limit is not None:
            return Ranking(column=of.column, test=TESTS[node["type"]], limit=limit)
    if node["class"] != "FUNCTION" or node["function_name"] not in ("quantile", "top"):
        return None
    arguments = [argument["expression"] for argument in node["arguments"]]
    is_top = node["function_name"] == "top"
    if [a["class"] for a in arguments] != ["COLUMN_REF", "CONSTANT"][: 1 + is_top]:
        raise _refused(text, "write quantile(COLUMN) or top(COLUMN, SHARE)")
    column = column_name(arguments[0], text)
    if not is_top:
        return Ranking(column=column)
    share = _number(arguments[1])
    if share is None or not 0 < share <= 1:
        raise _refused(text, "the share of top() is a number above 0 and at most 1")
    return Ranking(column=column, test="top", limit=share)


def _number(node: dict[str, Any]) -> float | None:
    if node["class"] != "CONSTANT" or node["literal"]["kind"] not in ("INTEGER", "NUMERIC"):
        return None
    return float(node["literal"]["text"])


def _with_rankings(node: Any, text: str) -> Any:
    """The tree with a column reference in place of every quantile() and top()."""
    if isinstance(node, list):
        return [_with_rankings(child, text) for child in node]
    if not isinstance(node, dict):
        return node
    ranking = _ranking(node, text) if "class" in node else None
    if ranking is None:
        return {key: _with_rankings(child, text) for key, child in node.items()}
    function = node if node["class"] == "FUNCTION" else node["left"]
    return function["arguments"][0]["expression"] | {"column_names": [ranking.name]}


def _named(node: Any, text: str) -> Iterator[str | Ranking]:
    """The columns that are read as they are, and the rankings."""
    if isinstance(node, list):
        for child in node:
            yield from _named(child, text)
    elif isinstance(node, dict):
        ranking = _ranking(node, text) if "class" in node else None
        if ranking is not None:
            yield ranking
        elif node.get("class") == "COLUMN_REF":
            yield column_name(node, text)
        else:
            yield from _named(list(node.values()), text)


def _refused(text: str, why: str) -> UserError:
    return UserError(
        f"{text!r} is no condition: {why}; write one SQL expression over columns, such as "
        "\"width >= 200 and lang = 'en'\""
    )
