"""One provider entry: its name, its plugin's settings, and how its upstream is reached."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from relayhub.config import CORE_PROVIDER_FIELDS, ConfigError
from relayhub.types.http import Deadlines
from tests.config.support import TYPES, AcmeSettings, at, document, only_problem, problems, valid


def test_the_type_is_the_name_unless_it_is_said(tmp_path: Path) -> None:
    config = valid(tmp_path, "providers: {demo: {}, other: {type: demo}, openai: {api_key: x}}")

    assert {name: entry.type for name, entry in config.providers.items()} == {
        "demo": "demo",
        "other": "demo",
        "openai": "openai",
    }


def test_an_entry_with_nothing_in_it_is_one_of_its_own_name(tmp_path: Path) -> None:
    assert valid(tmp_path, "providers:\n  demo:\n").providers["demo"].type == "demo"


@pytest.mark.parametrize("name", ["v1", "v1beta", "api", "admin", "console", "metrics", "openapi.json", "static"])
def test_a_name_that_relayhub_serves_itself_is_refused_with_that_reason(tmp_path: Path, name: str) -> None:
    problem = only_problem(tmp_path, f"providers: {{{name}: {{type: demo}}}}")

    assert problem.message == f"a provider cannot be called `{name}`: relayhub serves the path /{name} itself"


@pytest.mark.parametrize("name", ["Acme", "-acme", "acme.com", "a" * 64, "a/b", "é"])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(tmp_path: Path, name: str) -> None:
    assert "cannot be the name" in only_problem(tmp_path, f"providers: {{'{name}': {{type: demo}}}}").message


def test_an_unknown_type_lists_the_known_ones_and_lets_the_rest_be_checked(tmp_path: Path) -> None:
    found = problems(tmp_path, "providers:\n  acme:\n    type: demoo\n    proxy: x\n")

    assert [(at(problem), problem.message) for problem in found] == [
        ((3, 11), "there is no provider type `demoo`"),
        ((4, 12), "this is not an http or https URL"),
    ]
    assert (
        found[0].hint
        == "Did you mean `demo`? Known types: `claude`, `demo`, `gemini`, `openai`. `type:` names the plugin's type."
    )


def test_an_unknown_type_without_type_is_located_at_the_name(tmp_path: Path) -> None:
    assert at(only_problem(tmp_path, "providers:\n  acme: {}\n")) == (2, 3)


def test_a_type_whose_plugin_failed_is_explained_by_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`acme` is not available: it cannot be imported"):
        document(tmp_path, "providers: {acme: {}}").validate(TYPES, lambda name: f"it cannot be imported ({name})")


def test_flat_settings_go_to_the_plugin_and_the_common_fields_do_not(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    entry = valid(
        tmp_path,
        """
        providers:
          acme:
            type: openai
            api_key: k
            organization: "12"
            headers: {X-Team: research}
            body_defaults: {temperature: 0.5, stop: [a, {b: null}]}
            proxy: http://user:pass@proxy:3128/
            ca_file: ca.pem
            timeouts: {idle_s: 5}
            max_connections: 3
        """,
    ).providers["acme"]

    assert isinstance(entry.settings, AcmeSettings)
    assert (entry.settings.organization, entry.settings.base_url) == ("12", "https://api.example.com/v1")
    assert entry.headers == {"x-team": "research"}
    assert entry.body_defaults == {"temperature": 0.5, "stop": ["a", {"b": None}]}
    assert (entry.proxy, entry.ca_file) == ("http://user:pass@proxy:3128", tmp_path / "ca.pem")
    assert entry.timeouts.deadlines == Deadlines(idle_s=5)
    assert entry.max_connections == 3
    assert str(entry.place) == f"{tmp_path / 'relayhub.yaml'}:3:3"


def test_the_default_deadlines_are_those_of_the_upstream_seam(tmp_path: Path) -> None:
    assert valid(tmp_path, "providers: {demo: {}}").providers["demo"].timeouts.deadlines == Deadlines()


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("headers: {Authorization: x}", (4, 15), "the plugin puts the credentials"),
        ("headers: {x-api-key: x}", (4, 15), "the plugin puts the credentials"),
        ("headers: {Connection: x}", (4, 15), "relayhub sets it"),
        ("headers: {content-length: '1'}", (4, 15), "relayhub sets it"),
        ("headers: {'x y': x}", (4, 15), "cannot be the name of a header"),
        ('headers: {x-a: "b\\r\\nc: d"}', (4, 20), "control character"),
        ("headers: {x-a: a, X-A: b}", (4, 5), "stands here twice"),
        ("headers: {x-a: 1}", (4, 20), "text is needed"),
        ("body_defaults: {model: x}", (4, 21), "cannot have a default"),
        ("body_defaults: {stream: true}", (4, 21), "cannot have a default"),
        ("body_defaults: [1]", (4, 20), "a mapping"),
        ("proxy: socks5://proxy:1080", (4, 12), "SOCKS proxies are not supported"),
        ("proxy: proxy:3128", (4, 12), "not an http or https URL"),
        ("ca_file: gone.pem", (4, 14), "there is no file"),
        ("timeouts: {idle_s: '5'}", (4, 24), "a number is needed, this is text"),
        ("max_connections: 0", (4, 22), "more than 0"),
        ("enabled: maybe", (4, 14), "true or false is needed"),
        ("type: 3", (3, 11), "stands here a second time"),
    ],
)
def test_a_common_field_that_cannot_work_is_refused_at_its_place(
    tmp_path: Path, line: str, place: tuple[int, int], words: str
) -> None:
    text = f"providers:\n  acme:\n    type: demo\n    {line}\n"

    problem = only_problem(tmp_path, text)

    assert words in problem.message
    assert at(problem) == (place if "second" not in words else (4, 5))


def test_a_secret_may_stand_in_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "acme").write_text("  from-file\n\n")

    settings = valid(tmp_path, "providers: {openai: {api_key_file: keys/acme}}").providers["openai"].settings
    absolute = valid(tmp_path, f"providers: {{openai: {{api_key_file: {tmp_path}/keys/acme}}}}").providers["openai"]

    for found in (settings, absolute.settings):
        assert isinstance(found, AcmeSettings)
        assert found.api_key.get_secret_value() == "from-file"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff", "is not UTF-8"), (b"x" * 100_000, "is larger than")],
)
def test_a_secret_file_that_cannot_be_used_is_the_one_problem(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)

    problem = only_problem(tmp_path, "providers: {openai: {api_key_file: key}}")

    assert words in problem.message
    assert (at(problem), problem.path) == ((1, 36), "providers.openai.api_key_file")


def test_a_secret_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "providers: {openai: {api_key: x, api_key_file: y}}")

    assert problem.message == "`api_key` and `api_key_file` are both set"


def test_only_secrets_may_stand_in_files(tmp_path: Path) -> None:
    assert only_problem(tmp_path, "providers: {openai: {api_key: x, base_url_file: y}}").message == (
        "unknown key `base_url_file`"
    )


def test_a_disabled_provider_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    config = valid(tmp_path, "providers: {gone: {type: not-installed, enabled: false, x: 1}, demo: {enabled: true}}")

    assert (list(config.providers), config.disabled) == (["demo"], ("gone",))


class Mode(StrEnum):
    FAST = "fast"
    GOOD = "good"


class Elaborate(BaseModel):
    """A plugin whose own validator makes pydantic forget that its input was JSON."""

    model_config = ConfigDict(extra="ignore")

    mode: Mode = Mode.FAST
    folder: Path = Path()
    names: tuple[str, ...] = ()
    count: int = 0

    @model_validator(mode="before")
    @classmethod
    def _pass(cls, value: object) -> object:
        return value


def test_a_plugins_own_validators_do_not_change_how_strict_we_are(tmp_path: Path) -> None:
    types = {"e": Elaborate}
    good = "providers: {e: {mode: good, folder: x, names: [a, b], count: 3}}"

    settings = document(tmp_path, good).validate(types).providers["e"].settings

    assert isinstance(settings, Elaborate)
    assert (settings.mode, settings.folder, settings.names, settings.count) == (Mode.GOOD, Path("x"), ("a", "b"), 3)
    for wrong in ("mode: best", "names: [1]", "count: '3'", "count: true", "names: a", "unknown: 1"):
        with pytest.raises(ConfigError):
            document(tmp_path, f"providers: {{e: {{folder: x, {wrong}}}}}").validate(types)


def test_the_fields_that_every_provider_has() -> None:
    assert {"type", "models", "headers", "proxy", "timeouts", "enabled"} <= CORE_PROVIDER_FIELDS
    assert not CORE_PROVIDER_FIELDS & {"api_key", "base_url"}
