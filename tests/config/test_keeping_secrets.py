"""No secret appears in what people are shown, however wrong the file is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from relayhub.config import ConfigError, effective, effective_yaml, read
from relayhub.config.secrets import is_secret_name
from tests.config.support import TYPES, document, error_of, valid

SECRET = "hunter2-hunter2"


class Careless(BaseModel):
    """A plugin that repeats values in its errors, and whose secret has an innocent name."""

    model_config = ConfigDict(extra="forbid")

    api_key: str = ""
    phrase: SecretStr = SecretStr("")
    retries: int = 0
    pin: SecretStr = Field(SecretStr(""), alias="the_pin")

    @field_validator("api_key", "phrase")
    @classmethod
    def _repeat(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        raise ValueError(f"{text!r} is wrong, {text}!")


@pytest.mark.parametrize(
    "text",
    [
        "providers: {openai: {api_key: [SECRET]}}",
        "providers: {openai: {api_key: SECRET, nope: 1}}",
        "providers: {openai: {api_key: {x: SECRET}, nope: 1}}",
        "providers: {openai: {api_kee: SECRET}}",
        "providers: {openai: {api_key: x, whatever: {deep: [SECRET]}}}",
        "providers:\n  openai: {api_key: a, password: SECRET}",
        "providers:\n  openai:\n    nope: 1\n  api_key: SECRET",
        "api_key: SECRET",
        "providers: {openai: {api_key: |\n  SECRET\n  SECRET\n, nope: 1}}",
        'providers: {openai: {nope: 1, api_key: "a\n    SECRET\n  b"}}',
        "providers:\n  openai:\n    api_key: SECRET\n    api_key: SECRET",
        "providers:\n  openai: {api_key: a, api_key: SECRET}",
        "providers: {openai: {api_key: x, phrase: [1, SECRET]}}",
        "providers: {openai: {api_key: x, proxy: 'socks5://me:SECRET@host'}}",
        "providers: {openai: {api_key: x, proxy: 'http://me:SECRET@ho st'}}",
        "providers: {openai: {api_key: x, base_url: ['http://me:SECRET@host']}}",
        'providers: {openai: {api_key: x, headers: {Authorization: "Bearer SECRET"}}}',
        'providers: {openai: {api_key: x, headers: {x-acme-token: "SECRET\\n"}}}',
        "providers: {openai: {api_key: '${NOPE:-SECRET}', nope: 1}}",
        "providers: {openai: {api_key: SECRET\n",
        "providers:\n  openai:\n    api_key: 'SECRET\n    x: 1\n",
        "providers:\n  openai:\n    api_key: SECRET: x\n",
        "providers:\n  openai:\n    api_key: >\n      abc\n     SECRET: x: y\n",
        "providers:\n  openai:\n    password: 'abc\n      SECRET' x\n",
        "providers:\n  openai:\n    api_key:\tSECRET\n    x: @y\n\tz: 1\n",
        "providers: {careless: {api_key: SECRET}}",
        "providers: {careless: {phrase: SECRET}}",
        "providers: {careless: {the_pin: [SECRET], retries: x}}",
        "providers: {careless: {api_key: '${FROM_ENV}', phrase: '${FROM_ENV}'}}",
        "x: &a {api_key: SECRET}\nproviders: {careless: *a}",
        "# \u2028 one more line\nproviders:\n  openai: {nope: 1, api_key: SECRET}",
    ],
)
def test_no_report_shows_a_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "relayhub.yaml"
    path.write_text(text.replace("SECRET", SECRET))

    with pytest.raises(ConfigError) as caught:
        read(path, {"FROM_ENV": SECRET}).validate({**TYPES, "careless": Careless})

    shown = f"{caught.value.render(color=False)}{caught.value}{[p.as_dict() for p in caught.value.problems]}"
    assert SECRET not in shown, shown


@given(
    st.lists(
        st.sampled_from(["providers:", "api_key:", "openai", "{", "}", "\n", "  ", "'", '"', ",", "- ", "x", "|"])
    ),
    st.lists(st.sampled_from(["}", "\n", "  ", "'", '"', ": ", ",", "]", "z: @", "\t"])),
)
def test_no_broken_yaml_shows_the_secret_behind_a_key_on_its_line(before: list[str], after: list[str]) -> None:
    from relayhub.config.model_entries import source_of
    from relayhub.config.problems import Problem
    from relayhub.config.tree import parse

    text = f"{''.join(before)}\n  api_key: {SECRET}{''.join(after)}"
    found: list[Problem] = []
    try:
        parse(text, source_of("x.yaml", text), found)
    except ConfigError as error:
        found += error.problems
    assert SECRET not in ConfigError(found).render(color=False)


def test_a_masked_line_keeps_its_caret_in_place(tmp_path: Path) -> None:
    error = error_of(tmp_path, f"providers:\n  openai: {{api_key: {SECRET}, nope: 1, organization: o}}\n")

    _, line, caret, *_ = error.render(color=False).split("\n")
    assert line == "      openai: {api_key: ***, nope: 1, organization: o}"
    assert caret == " " * line.index("nope") + "^^^^"


def test_a_reference_is_no_secret_and_is_shown(tmp_path: Path) -> None:
    assert "api_key: ${ACME_KEY}\n" in error_of(tmp_path, "providers:\n  openai:\n    api_key: ${ACME_KEY}\n").render(
        color=False
    )


def test_what_is_in_a_file_stays_there(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")

    with pytest.raises(ConfigError) as caught:
        document(tmp_path, "providers: {careless: {api_key_file: key}}").validate({"careless": Careless})

    assert caught.value.problems[0].message == "'***' is wrong, ***!"
    assert SECRET not in caught.value.render(color=False)


def test_the_effective_config_masks_secrets_and_credentials_in_urls(tmp_path: Path) -> None:
    config = valid(
        tmp_path,
        f"""
        server: {{public_url: "https://me:{SECRET}@hub.example.com"}}
        providers:
          openai:
            api_key: {SECRET}
            phrase: {SECRET}
            base_url: "https://me:{SECRET}@api.example.com"
            proxy: "http://me:{SECRET}@proxy.example.com:3128"
            headers: {{X-Acme-Token: "{SECRET}", x-team: research}}
            body_defaults: {{metadata: {{secret: "{SECRET}", keys: ["{SECRET}", 12345678]}}}}
        """,
    )

    shown = effective(config)

    assert SECRET not in effective_yaml(config)
    assert "12345678" not in effective_yaml(config)
    providers = shown["providers"]
    assert isinstance(providers, dict)
    provider = providers["openai"]
    assert isinstance(provider, dict)
    assert (provider["api_key"], provider["phrase"]) == ("***", "***")
    assert provider["proxy"] == "http://***@proxy.example.com:3128"
    assert provider["headers"] == {"x-acme-token": "***", "x-team": "research"}


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apiKey",
        "x-api-key",
        "X-Goog-Api-Key",
        "key",
        "keys",
        "secret_access_key",
        "access_token",
        "authToken",
        "token",
        "password",
        "client_secret",
        "Authorization",
        "Set-Cookie",
        "credentials",
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["bytes_per_token", "max_output_tokens", "key_file", "api_key_file", "keep_alive_s", "monkey", "tokenizer"]
)
def test_ordinary_names(name: str) -> None:
    assert not is_secret_name(name)
