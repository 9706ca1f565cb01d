"""The example is the schema's own: nothing in it is wrong, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import yaml
from pydantic import BaseModel

from relayhub.config import Config, effective, example_text
from relayhub.config.schema import ConfigFile
from tests.config.support import AcmeSettings, valid

ROOT = Path(__file__).parents[2]
SWITCHED_OFF = re.compile(r"^(\s*)#(?=[\w.*/-]+:|- \{)", re.MULTILINE)
VARIABLES = {name: f"value-of-{name}" for name in re.findall(r"\$\{(\w+)\}", example_text()) if name != "VAR"}


def switched_on(text: str) -> str:
    """All settings that are commented out, in force; of those that exclude each other the later ones."""
    text = SWITCHED_OFF.sub(r"\1", text)
    return re.sub(r"^\s*unix_socket:.*\n", "", text, flags=re.MULTILINE)


def whole_example(folder: Path) -> Config:
    for name in ("fullchain.pem", "privkey.pem", "company-ca.pem", "local_key"):
        (folder / name).write_text("x")
    (folder / "local-models.yaml").write_text("extra: {free: true}\n")
    text = switched_on(example_text()).replace("/run/secrets/local_key", "local_key")
    return valid(folder, text, VARIABLES)


def test_the_packaged_example_and_the_one_at_the_root_are_the_same() -> None:
    assert (ROOT / "config.example.yaml").read_text(encoding="utf-8") == example_text()


def test_the_example_is_valid_once_its_variables_are_set(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    text = example_text().replace("    #api_key_file: /run/secrets/local_key", "    api_key_file: key")

    config = valid(tmp_path, text, VARIABLES)

    assert list(config.providers) == ["openai", "deepseek", "kimi", "qwen", "claude", "gemini", "local", "demo"]
    assert config.disabled == ("glm", "kling", "seedance", "happyhorse", "tts")
    assert config.store.path == tmp_path / "relayhub.db"


def test_the_example_is_valid_with_everything_switched_on(tmp_path: Path) -> None:
    config = whole_example(tmp_path)

    assert config.server.tls is not None
    names = [model.name for model in config.providers["local"].models]
    assert names == ["local/*", "local-video", "local-image", "local-voice", "rerank-by-call", "extra"]


def test_settings_that_are_switched_off_show_their_defaults(tmp_path: Path) -> None:
    """Where a commented setting is not an example of a value, switching it on changes nothing."""
    shown, plain = effective(whole_example(tmp_path)), effective(valid(tmp_path, ""))
    examples = {
        "tls",
        "trusted_proxies",
        "base_path",
        "public_url",
        "unix_socket",
        "control",
        "dirs",
        "allow",
        "path",
        "upload_dir",
    }
    examples |= {"max_in_flight", "max_clients"}

    for section in ("server", "store", "quota", "logging", "plugins"):
        on, default = shown[section], plain[section]
        assert isinstance(on, dict)
        assert isinstance(default, dict)
        assert {key: on[key] for key in on if key not in examples} == {
            key: default[key] for key in default if key not in examples
        }


def fields_of(annotation: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all settings; ``*`` for a name that the person chooses."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            key = field.alias or name
            yield (*path, key)
            yield from fields_of(field.annotation, (*path, key))
        return
    arguments = get_args(annotation)
    inner = (*path, "*") if getattr(annotation, "__origin__", None) is dict else path
    for argument in arguments:
        yield from fields_of(argument, inner)


def appears(value: object, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(appears(item, path) for item in value)
    if not isinstance(value, dict):
        return False
    keys = list(value) if path[0] == "*" else [path[0]]
    return any(appears(value[key], path[1:]) for key in keys if key in value)


def test_every_setting_of_the_schema_appears_in_the_example() -> None:
    text = SWITCHED_OFF.sub(r"\1", example_text())
    example = yaml.safe_load(text)
    common = {
        ("providers", "*", "model_defaults", name)
        for name in (
            "free",
            "public",
            "operations",
            "max_output_tokens",
            "image_form",
            "priority",
            "weight",
            "on_disconnect",
        )
    }
    prices = {path for path in fields_of(ConfigFile) if path[:3] == ("providers", "*", "model_defaults") and path[4:]}
    costs = {path for path in fields_of(ConfigFile) if "cost" in path[:-1]} | {
        ("providers", "*", "model_defaults", name) for name in ("price", "cost")
    }
    wanted = set(fields_of(ConfigFile)) - common - prices - costs

    assert len(wanted) > 60
    assert {path for path in wanted if not appears(example, path)} == set()


def test_the_settings_of_the_openai_plugin_appear_too() -> None:
    example = yaml.safe_load(SWITCHED_OFF.sub(r"\1", example_text()))
    wanted = {"base_url", "api_key", "organization", "project"} & set(AcmeSettings.model_fields)

    assert {name for name in wanted if not appears(example, ("providers", "*", name))} == set()


def test_prices_are_marked_as_made_up_and_comments_are_short() -> None:
    lines = example_text().splitlines()

    assert any("MADE-UP EXAMPLES" in line for line in lines)
    assert max(len(line) for line in lines) <= 120


def test_the_example_needs_no_more_types_than_are_built_in() -> None:
    example = yaml.safe_load(example_text())
    built_in = {folder.name.removeprefix("relayhub_") for folder in (ROOT / "plugins").iterdir()}

    assert {entry.get("type", name) for name, entry in example["providers"].items()} <= built_in
