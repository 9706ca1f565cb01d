"""References in the file, overrides from outside it, and which of them wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from relayhub.config import read, read_demo
from tests.config.support import NONE, TYPES, AcmeSettings, at, document, only_problem, problems, valid

PROVIDER = """
providers:
  acme-one:
    type: openai
    api_key: {key}
    models: {{m: {{free: true}}}}
"""


def key_of(folder: Path, written: str, env: dict[str, str]) -> str:
    settings = valid(folder, PROVIDER.format(key=written), env).providers["acme-one"].settings
    assert isinstance(settings, AcmeSettings)
    assert isinstance(settings.api_key, SecretStr)
    return settings.api_key.get_secret_value()


@pytest.mark.parametrize(
    ("written", "env", "value"),
    [
        ("${KEY}", {"KEY": "abc"}, "abc"),
        ("'${KEY}'", {"KEY": "abc"}, "abc"),
        ("pre-${KEY}-${B}", {"KEY": "abc", "B": "d"}, "pre-abc-d"),
        ("${KEY:-fallback}", {}, "fallback"),
        ("${KEY:-fallback}", {"KEY": ""}, "fallback"),
        ("${KEY:-fallback}", {"KEY": "abc"}, "abc"),
        ("${KEY:?say it}", {"KEY": "abc"}, "abc"),
        ("${KEY}", {"KEY": ""}, ""),
        ("a$$b$${KEY}$c", {}, "a$b${KEY}$c"),
        ("${KEY}", {"KEY": "12345"}, "12345"),
        ("${KEY}", {"KEY": "true"}, "true"),
        ("${KEY}", {"KEY": "x: {y: [1] # ${KEY} $$"}, "x: {y: [1] # ${KEY} $$"),
        ("${KEY}", {"KEY": "two\nlines: 1"}, "two\nlines: 1"),
    ],
)
def test_references_are_replaced_after_parsing(tmp_path: Path, written: str, env: dict[str, str], value: str) -> None:
    assert key_of(tmp_path, written, env) == value


@pytest.mark.parametrize(
    ("written", "env", "message"),
    [
        ("${KEY}", {}, "the environment variable KEY is not set"),
        ("${KEY:?ask the team}", {}, "the environment variable KEY is not set: ask the team"),
        ("${KEY:?ask the team}", {"KEY": ""}, "the environment variable KEY is empty: ask the team"),
        ("${KEY", {}, "this is no reference to an environment variable"),
        ("${1KEY}", {}, "this is no reference to an environment variable"),
        ("${A:-${B}}", {}, "this is no reference to an environment variable"),
    ],
)
def test_a_reference_that_gives_nothing_is_the_only_problem_at_its_place(
    tmp_path: Path, written: str, env: dict[str, str], message: str
) -> None:
    problem = only_problem(tmp_path, PROVIDER.format(key=f'"{written}"'), env)

    assert problem.message == message
    assert at(problem) == (5, 14)
    assert problem.path == "providers.acme-one.api_key"


def test_a_missing_variable_hides_no_other_problem_of_its_section(tmp_path: Path) -> None:
    found = problems(tmp_path, "server:\n  port: ${PORT}\n  host: 3\n  drain_s: -1\n")

    assert [problem.path for problem in found] == ["server.port", "server.host", "server.drain_s"]


def test_a_value_from_the_environment_takes_the_type_of_its_field(tmp_path: Path) -> None:
    config = valid(
        tmp_path,
        """
        server:
          port: ${PORT}
          public_models: "${OPEN}"
          drain_s: ${DRAIN:-2.5}
          public_url: ${URL:-}
        providers:
          acme:
            type: openai
            api_key: x
            retries: ${RETRIES}
            signing: {retries: "${RETRIES}"}
            body_defaults:
              top_p: "${RETRIES}"
              seed: ${RETRIES}
              stop: x
            models: {m: {price: {input: "${PRICE}"}}}
        """,
        {"PORT": "9000", "OPEN": "false", "RETRIES": "3", "PRICE": "0.5"},
    )

    assert (config.server.port, config.server.public_models, config.server.drain_s) == (9000, False, 2.5)
    assert config.server.public_url is None
    acme = config.providers["acme"]
    assert isinstance(acme.settings, AcmeSettings)
    assert (acme.settings.retries, acme.settings.signing.retries) == (3, 3)
    assert acme.body_defaults == {"top_p": "3", "seed": 3, "stop": "x"}
    assert acme.models[0].price is not None
    assert acme.models[0].price.input == 500_000_000


def test_what_the_environment_says_wrongly_is_located_where_it_is_used(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "server:\n  port: ${PORT}\n", {"PORT": "eighty"})

    assert at(problem) == (2, 9)
    assert problem.message == "a whole number is needed, this is text"


def test_a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default(tmp_path: Path) -> None:
    text, env, flag = "server:\n  port: 2\n", {"RELAYHUB__SERVER__PORT": "3"}, {"server.port": "4"}

    assert valid(tmp_path, "").server.port == 8080
    assert valid(tmp_path, text).server.port == 2
    assert valid(tmp_path, text, env).server.port == 3
    assert valid(tmp_path, text, env, flag).server.port == 4
    assert valid(tmp_path, "", {}, flag).server.port == 4


def test_overrides_are_read_as_yaml_and_reach_names_that_variables_cannot_have(tmp_path: Path) -> None:
    env = {
        "RELAYHUB__SERVER__CORS_ORIGINS": '["https://a.example", "https://b.example"]',
        "RELAYHUB__SERVER__PUBLIC_MODELS": "false",
        "RELAYHUB__STORE": "{durability: process}",
        "RELAYHUB__PROVIDERS__ACME_ONE__API_KEY": "{not: yaml} # all of it",
        "RELAYHUB__PROVIDERS__ACME_ONE__PROJECT": "8080",
        "RELAYHUB__PROVIDERS__ACME_ONE__ORGANIZATION": '"8081"',
        "RELAYHUB__PROVIDERS__ACME_ONE__PHRASE": "[a, b]",
        "RELAYHUB_OTHER": "ignored",
        "RELAYHUB__": "ignored",
    }

    config = valid(tmp_path, PROVIDER.format(key="from-file"), env)

    assert config.server.cors_origins == ("https://a.example", "https://b.example")
    assert config.server.public_models is False
    assert config.store.durability == "process"
    settings = config.providers["acme-one"].settings
    assert isinstance(settings, AcmeSettings)
    assert settings.api_key.get_secret_value() == "{not: yaml} # all of it"
    assert (settings.project, settings.organization) == ("8080", "8081")
    assert settings.phrase is not None
    assert settings.phrase.get_secret_value() == "[a, b]"


def test_an_override_may_index_a_list(tmp_path: Path) -> None:
    text = "server: {cors_origins: ['https://a.example', 'https://b.example']}"

    config = valid(tmp_path, text, {"RELAYHUB__SERVER__CORS_ORIGINS__1": "https://c.example"})

    assert config.server.cors_origins == ("https://a.example", "https://c.example")


def test_an_override_is_not_substituted_and_spares_what_it_replaces(tmp_path: Path) -> None:
    env = {"RELAYHUB__PROVIDERS__ACME_ONE__API_KEY": "p$$a${HOME}"}

    config = valid(tmp_path, PROVIDER.format(key="${NOT_SET}"), env)

    settings = config.providers["acme-one"].settings
    assert isinstance(settings, AcmeSettings)
    assert settings.api_key.get_secret_value() == "p$$a${HOME}"


def test_a_wrong_override_names_the_variable_or_the_flag(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "",
        {"RELAYHUB__SERVER__PROT": "1", "RELAYHUB__QUOTA__UNITS_PER_USD": "7"},
        {"server.port": "99999"},
    )

    assert {str(problem.place): problem.message for problem in found} == {
        "environment variable RELAYHUB__SERVER__PROT": "unknown key `prot`",
        "environment variable RELAYHUB__QUOTA__UNITS_PER_USD": "units_per_usd must divide 1000000000",
        "--port": "it must be at most 65535",
    }
    assert all(problem.line is None and problem.excerpt is None for problem in found)


def test_without_a_file_environment_and_flags_still_count() -> None:
    env = {"RELAYHUB__LOGGING__LEVEL": "debug"}

    config = read(None, env, {"server.port": "0"}).validate(TYPES)
    demo = read_demo({"demo": {"models": {"demo-chat": {"free": True}}}}, env, {"server.port": "0"}).validate(TYPES)

    assert (config.logging.level, config.server.port, config.providers) == ("debug", 0, {})
    assert (demo.logging.level, demo.server.port, list(demo.providers)) == ("debug", 0, ["demo"])


def test_nobody_has_to_set_the_variables_of_a_disabled_provider(tmp_path: Path) -> None:
    text = PROVIDER.format(key="${NOT_SET}") + "    enabled: {}\n"

    assert valid(tmp_path, text.replace("{}\n", "false\n")).disabled == ("acme-one",)
    assert valid(tmp_path, text.replace("{}\n", "${USE:-false}\n")).disabled == ("acme-one",)
    assert only_problem(tmp_path, text.replace("{}\n", "${USE:-true}\n")).path == "providers.acme-one.api_key"


def test_the_plugins_section_is_usable_while_the_rest_is_wrong(tmp_path: Path) -> None:
    wrong = document(tmp_path, "plugins: {dirs: [drop, /abs], modules: 3, disabeld: [x], allow: [demo]}\nserver: 3\n")

    plugins = wrong.plugins()

    assert plugins.dirs == (tmp_path / "drop", Path("/abs"))
    assert (plugins.modules, plugins.disabled, plugins.allow) == ((), (), ("demo",))
    assert document(tmp_path, "plugins: 3", NONE).plugins().allow is None
    overridden = document(tmp_path, "", {"RELAYHUB__PLUGINS__DISABLED": "[demo]"}).plugins()
    assert overridden.disabled == ("demo",)
