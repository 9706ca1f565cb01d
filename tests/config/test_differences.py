"""What is different between two configs, as people are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from relayhub.config import Change, Config, read, taken_over
from relayhub.config.differences import Kind, changes_between
from relayhub.config.live import EVERYTHING, LIVE
from relayhub.config.schema import ConfigFile


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = "http://up"
    api_key: SecretStr | None = None
    nested: dict[str, str] = {}


def config(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "relayhub.yaml"
    file.write_text(text)
    return read(file, {}).validate({"up": Settings})


def changes(tmp_path: Path, before: str, after: str) -> list[str]:
    return [str(change) for change in changes_between(config(tmp_path, before), config(tmp_path, after))]


def provider(said: str, name: str = "a") -> str:
    return f"providers: {{{name}: {{type: up, {said}}}}}"


def test_nothing_is_different_where_only_the_text_is(tmp_path: Path) -> None:
    assert changes(tmp_path, "server: {port: 8080}", "# a comment\nserver:\n  port: 8080\n") == []


def test_a_value_is_shown_before_and_after(tmp_path: Path) -> None:
    assert changes(tmp_path, "", "jobs: {parallel: 3}") == ["~ jobs.parallel: 256 → 3"]


def test_a_list_is_one_value(tmp_path: Path) -> None:
    assert changes(tmp_path, "", "server: {trusted_proxies: [10.0.0.0/8]}") == [
        '~ server.trusted_proxies: [] → ["10.0.0.0/8"]'
    ]


def test_providers_and_models_come_and_go_whole(tmp_path: Path) -> None:
    before = "providers:\n  a: {type: up, models: {m: {free: true}, gone: {free: true}}}\n"
    after = (
        "providers:\n  a: {type: up, models: {m: {free: true}, new: {upstream: other, free: true}}}\n"
        "  b: {type: up, api_key: sk-secret, models: {x: {free: true}}}\n"
    )
    lines = changes(tmp_path, before, after)
    assert lines[0].startswith("+ providers.a.models.new: {")
    assert '"upstream":"other"' in lines[0]
    assert lines[1].startswith("- providers.a.models.gone: {")
    assert lines[2:] == ['+ providers.b: {"type":"up","base_url":"http://up","api_key":"***","models":["x"]}']


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("api_key: sk-1111111", "api_key: sk-2222222", "~ providers.a.api_key: (changed, and secret)"),
        ("", "api_key: sk-2222222", '~ providers.a.api_key: null → "***"'),
        (
            "headers: {x-own-token: sk-1111111}",
            "headers: {x-own-token: sk-2222222}",
            "~ providers.a.headers.x-own-token: (changed, and secret)",
        ),
        (
            "proxy: 'http://u:sk-1111111@p:1'",
            "proxy: 'http://u:sk-2222222@p:1'",
            "~ providers.a.proxy: (changed, and secret)",
        ),
        (
            "nested: {token: sk-1111111}",
            "nested: {token: sk-2222222}",
            "~ providers.a.nested.token: (changed, and secret)",
        ),
    ],
)
def test_a_secret_is_compared_and_never_shown(tmp_path: Path, before: str, after: str, line: str) -> None:
    lines = changes(tmp_path, provider(before), provider(after))
    assert lines == [line]
    assert "2222222" not in lines[0]
    assert "1111111" not in lines[0]


def test_one_of_several_credentials_is_named(tmp_path: Path) -> None:
    def two(second: str) -> str:
        return provider(f"credentials: [{{name: one, api_key: sk-1}}, {{name: two, api_key: {second}}}]")

    assert changes(tmp_path, two("sk-2"), two("sk-3")) == [
        "~ providers.a.credentials.two.api_key: (changed, and secret)"
    ]


def test_a_price_is_shown_as_the_file_says_it(tmp_path: Path) -> None:
    before, after = (provider(f'models: {{m: {{price: {{input: "{usd}"}}}}}}') for usd in ("0.10", "0.25"))
    assert changes(tmp_path, before, after) == ['~ providers.a.models.m.price.input: "0.1" → "0.25"']


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (line,) = changes(tmp_path, provider(""), provider(f"nested: {{a: {'x' * 1000}}}"))
    assert len(line) < 300
    assert line.endswith("…")


def test_a_change_survives_the_way_to_another_process() -> None:
    change = Change("server.port", Kind.CHANGED, "8080", "9090", restart=True)
    assert Change.of_dict(change.as_dict()) == change
    assert str(change) == "! server.port: 8080 → 9090 (needs a restart)"


# --- what waits for a restart -------------------------------------------------------------------------------------------


def test_what_is_built_once_is_kept_and_named(tmp_path: Path) -> None:
    before = config(tmp_path, "store: {path: a.db}")
    wanted = "server: {port: 9, workers: 4, drain_s: 5}\nstore: {path: b.db}\nquota: {timezone: Asia/Tokyo}\n"
    merged, changed = taken_over(before, config(tmp_path, wanted))
    assert merged.server.port == 8080
    assert merged.server.workers == 1
    assert merged.store == before.store
    assert merged.quota.timezone == "UTC"
    assert merged.server.drain_s == 5
    assert [change.path for change in changed if not change.restart] == ["server.drain_s"]
    assert [change.path for change in changed if change.restart] == [
        "server.port",
        "server.workers",
        "store.path",
        "quota.timezone",
    ]


def test_what_can_change_is_the_new_configs(tmp_path: Path) -> None:
    wanted = config(
        tmp_path, "routing: {failovers: 4}\nlogging: {level: debug}\n" + provider("models: {m: {free: true}}")
    )
    merged, changed = taken_over(config(tmp_path, ""), wanted)
    assert (merged.routing, merged.logging, merged.providers) == (wanted.routing, wanted.logging, wanted.providers)
    assert not any(change.restart for change in changed)


def test_every_live_setting_exists() -> None:
    sections = {name: field.annotation for name, field in ConfigFile.model_fields.items()}
    for section, names in LIVE.items():
        model = sections[section]
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert names == EVERYTHING or names <= set(model.model_fields), section
