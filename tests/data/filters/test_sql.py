import duckdb
import pytest

from diagonal_data.filters.sql import Ranking, conjuncts, parse, sandbox, split_name
from diagonal_infra.errors import UserError


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return sandbox()


def test_columns_are_those_that_the_expression_reads(connection) -> None:
    text = "Width >= 200 AND lang IN ('en', 'it''s') AND coalesce(licence, url) LIKE '%by%'"
    found = parse(connection, text)
    assert found.columns == {"width", "lang", "licence", "url"}
    assert not found.rankings


def test_rankings_stand_as_columns_of_their_own(connection) -> None:
    found = parse(connection, "quantile(clip_similarity) * 2 > width OR top(text_p, 0.25)")
    top = Ranking(column="text_p", test="top", limit=0.25)
    assert found.rankings == {Ranking(column="clip_similarity"), top}
    assert found.columns == {"width"}
    assert '"top:text_p:0.25"' in found.sql


@pytest.mark.parametrize("sign", [">", ">=", "<", "<="])
def test_a_quantile_compared_with_a_number_is_one_ranking(connection, sign: str) -> None:
    found = parse(connection, f"quantile(a) {sign} 0.7 AND b = 1")
    assert found.rankings == {Ranking(column="a", test=sign, limit=0.7)}
    assert found.columns == {"b"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1; DROP TABLE samples", "syntax error"),
        ("a); DROP TABLE samples; --", "syntax error"),
        ("a > (SELECT 1)", "subquery"),
        ("EXISTS (FROM read_text('/etc/hostname'))", "subquery"),
        ("1) FROM (SELECT 2", "more than an expression"),
        ("a) WHERE (b", "more than an expression"),
        ("a) UNION (SELECT 1", "more than an expression"),
        ("a) ORDER BY (b", "more than an expression"),
        ("*", "star may not"),
        ("?", "more than an expression"),
        ("sum(a) > 1", "'sum' is not decided"),
        ("count(*) > 1", "'count_star' is not decided"),
        ("rank() OVER () > 1", "window may not"),
        ("random() > 0.5", "'random' is not decided"),
        ("now() > a", "'now' is not decided"),
        ("unnest(a) > 1", "no function 'unnest'|not decided"),
        ("getenv('HOME') = a", "no function 'getenv'"),
        ("samples.a > 1", "named by one word"),
        ("quantile(a + 1) > 0.5", "write quantile"),
        ("top(a)", "write quantile"),
        ("top(a, 0)", "the share of top"),
        ("", "it is empty"),
    ],
)
def test_what_is_no_expression_over_columns_is_refused(connection, text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        parse(connection, text)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO '/tmp/filters-escape.csv'",
        "ATTACH '/tmp/filters-escape.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_the_database_reaches_nothing_outside(connection, query: str) -> None:
    with pytest.raises(duckdb.Error):
        connection.execute(query).fetchall()


def test_conditions_joined_by_and_are_rules_of_their_own(connection) -> None:
    text = "width >= 200 AND (lang = 'en' OR lang IS NULL) AND (licence IS NULL)"
    expected = ["width >= 200", "(lang = 'en') OR (lang IS NULL)", "licence IS NULL"]
    assert conjuncts(connection, text) == expected
    assert conjuncts(connection, "a OR b") == ["a OR b"]


def test_a_condition_may_name_its_reason() -> None:
    assert split_name("too_small: width > 200") == ("too_small", "width > 200")
    assert split_name("width::int > 200") == (None, "width::int > 200")
    assert split_name("url = 'http://a'") == (None, "url = 'http://a'")
