"""The JSON schema accepts what the config accepts, and catches the mistakes that an editor can catch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from relayhub.config import example_text, json_schema
from tests.config.json_schema_check import accepts
from tests.config.support import TYPES, problems, valid
from tests.config.test_the_example import switched_on

SCHEMA: dict[str, object] = dict(json_schema(TYPES))


def test_it_is_json_schema_2020_12_and_every_reference_in_it_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert isinstance(definitions, dict)

    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}:
        assert reference in definitions


def test_every_setting_is_described() -> None:
    definitions = SCHEMA["$defs"]
    assert isinstance(definitions, dict)
    sections = [
        SCHEMA,
        *(definitions[name] for name in ("ServerConfig", "PriceConfig", "ModelConfig", "TimeoutsConfig")),
    ]
    undescribed = [
        name for section in sections for name, field in section["properties"].items() if "description" not in field
    ]

    assert undescribed == []


WITH_KEY = example_text().replace("    #api_key_file:", "    api_key_file:")


@pytest.mark.parametrize("text", [WITH_KEY, switched_on(example_text())], ids=["as it is", "all switched on"])
def test_the_example_fits(text: str) -> None:
    assert accepts(SCHEMA, yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "server: {port: '${PORT}', public_models: '${OPEN:-true}'}",
        "logging: {level: '${LEVEL:-info}'}",
        "providers: {demo: {}}",
        "providers: {demo: null}",
        "providers: {demo: {models: [a, {name: b, free: true}], model_defaults: {free: true}}}",
        "providers: {demo: {models: {a: null}, model_defaults: {free: true}}}",
        "providers: {x: {type: demo, headers: {x-a: b}}}",
        "providers: {openai: {api_key: x}}",
        "providers: {openai: {api_key_file: relayhub.yaml}}",
        "providers: {openai: {api_key: x, signing: {region: there}}}",
        "providers: {other: {type: gone, enabled: false, x: 1}}",
        "server: {body_limit: 3MB}",
    ],
)
def test_what_the_config_accepts_fits(tmp_path: Path, text: str) -> None:
    valid(tmp_path, text, {"PORT": "1"})

    assert accepts(SCHEMA, yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "sever: {}",
        "server: {prot: 1}",
        "server: {port: eighty}",
        "server: {port: 99999}",
        "server: {public_models: 'yes'}",
        "logging: {level: loud}",
        "providers: {x: {}}",
        "providers: {x: {type: gone}}",
        "providers: {Demo: {type: demo}}",
        "providers: {demo: {api_key: x}}",
        "providers: {openai: {}}",
        "providers: {openai: {api_key: 3}}",
        "providers: {openai: {api_key: x, base_uri: x}}",
        "providers: {x: {type: openai, api_key: x, signing: {regoin: x}}}",
        "providers: {demo: {timeouts: {connect_s: 0}}}",
        "providers: {demo: {models: {a: {fre: true}}}}",
        "providers: {demo: {models: {a: {price: {input: 0.5}}}}}",
        "providers: {demo: {models: [3]}}",
    ],
)
def test_what_the_config_refuses_does_not_fit(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)

    assert not accepts(SCHEMA, yaml.safe_load(text))


def test_two_plugins_may_call_their_models_the_same() -> None:
    from pydantic import BaseModel, create_model

    first = create_model("Inner", x=(int, ...))
    second = create_model("Inner", y=(int, ...))
    types: dict[str, type[BaseModel]] = {
        "one": create_model("Settings", inner=(first, ...)),
        "two": create_model("Settings", inner=(second, ...)),
    }
    schema: dict[str, object] = dict(json_schema(types))

    assert accepts(schema, {"providers": {"one": {"inner": {"x": 1}}, "two": {"inner": {"y": 1}}}})
    assert not accepts(schema, {"providers": {"one": {"inner": {"y": 1}}}})
