"""Configs in the tests: written to a real file, read and validated against a small plugin's settings."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from relayhub.config import Config, ConfigError, Document, Problem, read


class Signing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    region: str = "here"
    retries: int = 0


class AcmeSettings(BaseModel):
    """Stands in for the settings of an OpenAI-compatible plugin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field("https://api.example.com/v1", description="Where the API is.")
    api_key: SecretStr = Field(description="The upstream's key.")
    organization: str | None = None
    project: str | None = None
    phrase: SecretStr | None = None
    retries: int = 0
    signing: Signing = Signing()


class DemoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


TYPES: dict[str, type[BaseModel]] = {
    "openai": AcmeSettings,
    "claude": AcmeSettings,
    "gemini": AcmeSettings,
    "demo": DemoSettings,
}
NONE: Mapping[str, str] = {}


def document(folder: Path, text: str, env: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE) -> Document:
    path = folder / "relayhub.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return read(path, env, flags)


def valid(folder: Path, text: str, env: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE) -> Config:
    return document(folder, text, env, flags).validate(TYPES)


def error_of(folder: Path, text: str, env: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        document(folder, text, env, flags).validate(TYPES)
    return caught.value


def problems(
    folder: Path, text: str, env: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE
) -> tuple[Problem, ...]:
    return error_of(folder, text, env, flags).problems


def only_problem(folder: Path, text: str, env: Mapping[str, str] = NONE, flags: Mapping[str, str] = NONE) -> Problem:
    found = problems(folder, text, env, flags)
    assert len(found) == 1, [str(problem.as_dict()) for problem in found]
    return found[0]


def at(problem: Problem) -> tuple[int | None, int | None]:
    return problem.line, problem.column
