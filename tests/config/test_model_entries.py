"""The models of a provider: their shapes, their prices, and the names that clash."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayhub.config import Config, Model, discovered_yaml
from relayhub.types.call import Operation
from tests.config.support import at, error_of, only_problem, problems, valid

FREE = "{free: true}"


def models(config: Config) -> dict[str, Model]:
    return {model.name: model for model in config.providers["demo"].models}


def demo(lines: str) -> str:
    return "providers:\n  demo:\n" + "".join(f"    {line}\n" for line in lines.splitlines())


def test_a_mapping_of_models_with_everything_they_may_say(tmp_path: Path) -> None:
    found = models(
        valid(
            tmp_path,
            demo("""\
models:
  big:
    upstream: acme/big-2
    price: {input: "0.27", output: 1, cached_input: "0", cache_write: "0.3", reasoning: "2", call: "0.000000001"}
    public: false
    aliases: [large, b]
    max_output_tokens: 100
    operations: [chat, embeddings]
  small: {free: true}"""),
        )
    )

    big, small = found["big"], found["small"]
    assert big.price is not None
    assert (big.price.input, big.price.output) == (270_000_000, 1_000_000_000)
    assert (big.price.cached_input, big.price.cache_write) == (0, 300_000_000)
    assert (big.price.reasoning, big.price.call) == (2_000_000_000, 1)
    assert (big.upstream, big.settings.public, big.settings.aliases) == ("acme/big-2", False, ("large", "b"))
    assert frozenset(big.settings.operations) == {Operation.CHAT, Operation.EMBEDDINGS}
    assert (small.upstream, small.price, small.settings.public) == ("small", None, True)
    assert small.settings.operations == (Operation.CHAT,)
    assert str(big.place) == f"{tmp_path / 'relayhub.yaml'}:4:7"


def test_prices_that_are_not_said_are_left_to_the_accounts(tmp_path: Path) -> None:
    price = models(valid(tmp_path, demo('models: {m: {price: {input: "1"}}}')))["m"].price

    assert price is not None
    assert (price.output, price.cached_input, price.cache_write, price.reasoning, price.call) == (
        0,
        None,
        None,
        None,
        0,
    )


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{}", "this model has no price"),
        ("", "this model has no price"),
        ("{price: {}}", "this model has no price"),
        ('{price: {input: "0"}}', "this model has no price"),
        ("{free: false}", "this model has no price"),
        ('{free: true, price: {input: "1"}}', "it has a price and is `free: true`"),
        ("{price: {input: 0.27}}", "a price must be in quotes, so that it stays exact"),
        ("{price: {input: true}}", "a price is an amount of USD in quotes"),
        ("{price: {input: [1]}}", "a price is an amount of USD in quotes"),
        ('{price: {input: "-1"}}', "this is no price: '-1' must be zero or more"),
        ("{price: {input: -1}}", "this is no price: '-1' must be zero or more"),
        ('{price: {input: "NaN"}}', "this is no price: 'NaN' must be zero or more"),
        ('{price: {input: "1e99"}}', "this is no price: '1e99' is too large"),
        ('{price: {input: "0,27"}}', "this is no price: '0,27' is not an amount"),
        ('{price: {input: "0.0000000001"}}', "this is no price: '0.0000000001' has more than 9 decimal places"),
        ('{price: "0.27"}', "a mapping (`key: value`) is needed"),
        ("'0.27'", "a mapping (`key: value`) is needed"),
        ("{free: true, operations: []}", "it must not be empty"),
        (
            "{free: true, operations: [painting]}",
            "it must be one of `chat`, `embeddings`, `completions`",
        ),
        ("{free: true, max_output_tokens: 0}", "it must be more than 0"),
        ("{free: true, upstream: ''}", "it must not be empty"),
        ("{free: true, aliases: [a b]}", "this is not a model name"),
        ("{free: true, aliases: [a*]}", "an alias cannot be a wildcard"),
        ("{free: true, upstream: a*}", "a * here needs a public name that ends in *"),
    ],
)
def test_a_model_that_cannot_be_sold_or_reached_is_refused(tmp_path: Path, entry: str, words: str) -> None:
    problem = only_problem(tmp_path, demo(f"models:\n  m: {entry}"))

    assert words in problem.message
    assert problem.line == 4


def test_a_price_as_a_number_is_answered_with_the_same_price_in_quotes(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, demo("models:\n  m: {price: {output: 0.28}}"))

    assert (at(problem), problem.hint) == ((4, 27), 'Write "0.28".')


@pytest.mark.parametrize("name", ["''", "a b", "'a*b'", "'**'", '"a\\tb"', "x" * 201])
def test_a_name_that_no_client_could_ask_for_is_refused(tmp_path: Path, name: str) -> None:
    problem = only_problem(tmp_path, demo(f"models:\n  {name}: {FREE}"))

    assert at(problem) == (4, 7)


def test_wildcards_stand_for_the_rest_of_a_name(tmp_path: Path) -> None:
    found = models(
        valid(tmp_path, demo(f"models: {{'a/*': {{free: true, upstream: 'x-*-y'}}, 'b-*': {FREE}, '*': {FREE}}}"))
    )

    assert {name: model.upstream for name, model in found.items()} == {"a/*": "x-*-y", "b-*": "b-*", "*": "*"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("'a*': {free: true, upstream: 'x*y*'}", "only one * can stand for the rest"),
        ("'a*': {free: true, aliases: [b]}", "a wildcard cannot have aliases"),
    ],
)
def test_a_wildcard_that_means_nothing_is_refused(tmp_path: Path, entry: str, words: str) -> None:
    assert words in only_problem(tmp_path, demo(f"models:\n  {entry}")).message


def test_names_that_clash_within_a_provider_are_refused_but_not_between_providers(tmp_path: Path) -> None:
    text = demo(f"models:\n  a: {{free: true, aliases: [x, b]}}\n  b: {{free: true, aliases: [x]}}\n  c: {FREE}")
    found = problems(tmp_path, text)

    assert [(at(problem), problem.message) for problem in found] == [
        ((4, 36), "the alias `b` is taken by the model `b` of this provider"),
        ((5, 33), "the alias `x` is taken by the model `a` of this provider"),
    ]
    two = "providers: {one: {type: demo, models: {m: {free: true}}}, two: {type: demo, models: {m: {free: true}}}}"
    assert [entry.models[0].name for entry in valid(tmp_path, two).providers.values()] == ["m", "m"]


def test_a_list_of_models_with_common_defaults(tmp_path: Path) -> None:
    text = """\
model_defaults: {price: {input: "1"}, public: false, max_output_tokens: 9}
models:
  - plain
  - wild-*
  - {name: own, price: {input: "2"}, max_output_tokens: 5}
  - {name: gratis, free: true, public: true}"""
    found = models(valid(tmp_path, demo(text)))

    assert list(found) == ["plain", "wild-*", "own", "gratis"]
    prices = {name: model.price.input if model.price else None for name, model in found.items()}
    assert prices == {"plain": 10**9, "wild-*": 10**9, "own": 2 * 10**9, "gratis": None}
    assert [model.settings.max_output_tokens for model in found.values()] == [9, 9, 5, 9]
    assert [model.settings.public for model in found.values()] == [False, False, False, True]
    assert str(found["wild-*"].place).endswith(":6:9")


@pytest.mark.parametrize(
    ("models_text", "place", "words"),
    [
        ("[a, a]", (4, 17), "the model `a` stands here a second time"),
        ("[3]", (4, 14), "a model's name is needed"),
        ("[{free: true}]", (4, 14), "a model's name is needed"),
        ("[[a]]", (4, 14), "a model's name is needed"),
        ("3", (4, 13), "a mapping"),
        ("[{name: 'a b'}]", (4, 21), "this is not a model name"),
    ],
)
def test_a_list_of_models_that_is_wrong(tmp_path: Path, models_text: str, place: tuple[int, int], words: str) -> None:
    problem = only_problem(tmp_path, demo(f"model_defaults: {FREE}\nmodels: {models_text}"))

    assert words in problem.message
    assert at(problem) == place


def test_a_wrong_default_is_one_problem_however_many_models_have_it(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, demo("model_defaults: {price: {input: 0.5}}\nmodels: [a, b, c]"))

    assert at(problem) == (3, 37)


def test_models_from_a_file_stand_beneath_the_ones_of_the_entry(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "models.yaml").write_text(
        'a: {price: {input: "1"}, upstream: up-a}\nb: {price: {input: "2"}}\n'
    )
    text = demo("models_file: more/models.yaml\nmodels:\n  a: {free: true}\n  c: {free: true}")

    found = models(valid(tmp_path, text))

    assert list(found) == ["a", "c", "b"]
    assert found["b"].price is not None
    assert found["b"].price.input == 2 * 10**9
    assert str(found["b"].place) == f"{tmp_path / 'more' / 'models.yaml'}:2:1"


def test_names_that_an_upstream_chose_get_at_no_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text('["${SECRET}", {name: b, upstream: "${SECRET}"}]\n')

    found = models(valid(tmp_path, demo(f"models_file: m.yaml\nmodel_defaults: {FREE}"), {"SECRET": "x"}))

    assert {name: model.upstream for name, model in found.items()} == {"${SECRET}": "${SECRET}", "b": "${SECRET}"}


def test_a_price_in_the_entry_replaces_the_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text('a: {price: {input: "1", output: "9"}, upstream: up-a}\n')

    model = models(valid(tmp_path, demo('models_file: m.yaml\nmodels: {a: {price: {input: "5"}}}')))["a"]

    assert model.price is not None
    assert (model.price.input, model.price.output, model.upstream) == (5 * 10**9, 0, "up-a")


def test_a_mistake_in_the_models_file_is_located_there(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("a:\n  fre: true\n  free: true\nb: {}\nb: {}\n")

    error = error_of(tmp_path, demo("models_file: m.yaml"))

    assert [(problem.place.source, at(problem)) for problem in error.problems] == [
        (str(tmp_path / "m.yaml"), (2, 3)),
        (str(tmp_path / "m.yaml"), (4, 1)),
        (str(tmp_path / "m.yaml"), (5, 1)),
    ]
    assert "fre: true\n" in error.render(color=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), ("3", "must be a list or a mapping of models"), ("a: [", "not valid YAML")],
)
def test_a_models_file_that_cannot_be_used_is_said(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "m.yaml").write_text(content)

    assert words in only_problem(tmp_path, demo("models_file: m.yaml")).message


def test_what_discover_writes_is_a_models_file_once_it_has_prices(tmp_path: Path) -> None:
    names = ["gpt-4o", "a: b".replace(" ", ""), "yes", "4", 'quo"te', "org/model:free", "${HOME}", "模型"]
    (tmp_path / "m.yaml").write_text(discovered_yaml(names), encoding="utf-8")

    unpriced = problems(tmp_path, demo("models_file: m.yaml"))
    priced = valid(tmp_path, demo('models_file: m.yaml\nmodel_defaults: {price: {input: "1"}}'))

    assert {problem.message for problem in unpriced} == {"this model has no price"}
    assert list(models(priced)) == names
