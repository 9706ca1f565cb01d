"""YAML becomes plain values that know where they stood, and hostile YAML becomes one problem."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relayhub.config import ConfigError
from relayhub.config.model_entries import source_of
from relayhub.config.problems import Problem
from relayhub.config.tree import MAX_DEPTH, Node, parse
from tests.config.support import at, document, only_problem, problems


def tree_of(text: str) -> Node:
    found: list[Problem] = []
    node = parse(text, source_of("x.yaml", text), found)
    assert node is not None
    assert found == []
    return node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("010", 10),
        ("0x10", 16),
        ("0o17", 15),
        ("-3", -3),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("True", True),
        ("~", None),
        ("", None),
        ('"8080"', "8080"),
        ("!!str 8080", "8080"),
    ],
)
def test_scalars_are_read_by_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    read = tree_of(f"a: {text}").plain()

    assert read == {"a": value}
    assert isinstance(read, dict)
    assert type(read["a"]) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert tree_of("4: a\ntrue: b\n1.5: c\nnull: d\n").plain() == {"4": "a", "true": "b", "1.5": "c", "null": "d"}


def test_anchors_and_merge_keys_work_and_keep_their_places() -> None:
    tree = tree_of("base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nmany: {<<: [{x: 8}, *b]}\n")

    assert tree.plain() == {
        "base": {"x": 1, "y": 2},
        "own": {"x": 1, "y": 3},
        "many": {"x": 8, "y": 2},
    }
    merged = tree.entries["own"].entries["x"]
    assert (merged.spot.place.line, merged.spot.place.column) == (1, 14)


NAMES = st.text("abcdefg_", min_size=1, max_size=6)
LEAVES = st.one_of(st.integers(0, 99), st.booleans(), st.sampled_from(["text", "中文", "a b", "é", "😀"]))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
)


def check_marks(node: Node, lines: list[str]) -> None:
    span = node.spot.span
    assert span is not None
    if node.key is not None and node.key.span is not None:
        key = node.key.span
        assert lines[key.line - 1][key.column - 1 : key.end_column - 1] != ""
    match node.value:
        case dict():
            for name, child in node.value.items():
                assert child.key is not None
                assert child.key.span is not None
                key = child.key.span
                assert lines[key.line - 1][key.column - 1 : key.end_column - 1] == name
                check_marks(child, lines)
        case tuple():
            for child in node.value:
                check_marks(child, lines)
        case scalar:
            text = lines[span.line - 1][span.column - 1 : span.end_column - 1]
            assert yaml.safe_load(text) == scalar


@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=4), st.sampled_from([None, True, False]))
def test_every_mark_points_at_exactly_its_key_or_value(value: dict[str, object], flow: bool | None) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, width=10_000)
    tree = tree_of(text)

    assert tree.plain() == value
    check_marks(tree, text.split("\n"))


def test_a_key_that_stands_twice_is_a_problem_at_the_second(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "server:\n  port: 1\n  host: a\n  port: 2\n")

    assert at(problem) == (4, 3)
    assert problem.message == "the key `port` stands here a second time; the first is in line 2"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("server:\n\tport: 1\n", (2, 1), "a tab stands where only spaces may"),
        ("server:\n  host: a: b\n", (2, 10), "there is a `:` where no key can be"),
        ("server:\n  host: @home\n", (2, 9), "a value cannot begin with @"),
        ("server: {port: 1\nstore: {}\n", (2, 6), "flow mapping"),
        ("server: {port: ${PORT}, host: x}\n", (1, 17), "did not find expected"),
        ("server: *gone\n", (1, 9), "this alias has no anchor"),
        ("a: 1\n---\nb: 1\n", (2, 1), "a second document begins here"),
        ("server:\n  host: 'x\n\n", (4, 1), "a quote that opens in line 2 is never closed"),
        ("# 中文\nserver: {host: \x01}\n", (2, 16), "the character U+0001 cannot be in it"),
    ],
)
def test_what_is_not_yaml_is_located_and_explained(
    tmp_path: Path, text: str, place: tuple[int, int], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, text)

    (problem,) = caught.value.problems
    assert at(problem) == place
    assert words in problem.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: " + "[" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("a: &a [*a]\n", f"nested deeper than {MAX_DEPTH} levels"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
            "more than 50000 values",
        ),
    ],
)
def test_yaml_made_to_exhaust_the_reader_is_one_problem(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, text)

    (problem,) = caught.value.problems
    assert words in problem.message


def test_tags_and_odd_keys_are_problems_beside_others(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
        server:
          port: !!python/object:os.system x
          ? [a, b]
          : 1
          <<: 5
          hots: x
        """,
    )

    assert [(at(problem), problem.message) for problem in found] == [
        ((2, 9), "the tag !!python/object:os.system does not fit here"),
        ((3, 5), "a key must be plain text"),
        ((5, 7), "`<<` takes a mapping or a list of mappings"),
        ((6, 3), "unknown key `hots`"),
    ]


@given(st.text(alphabet="ab:-{}[]#&*!|>'\"\n\t $\\?,<%@", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    found: list[Problem] = []
    source = source_of("x.yaml", text)
    try:
        parse(text, source, found)
    except ConfigError as error:
        found += error.problems
    assert ConfigError(found).render(color=True)
    assert all(problem.line is not None for problem in found)
