"""Several credentials in one entry: each is the plugin's settings, and each error has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayhub.config import effective_yaml
from tests.config.support import AcmeSettings, only_problem, valid

SECRET = "sk-very-secret"


def entry(*items: str, more: str = "") -> str:
    return f"providers: {{openai: {{credentials: [{', '.join(items)}]{more}}}}}"


def keys(folder: Path, text: str) -> list[tuple[str, int, str, str]]:
    found = []
    for one in valid(folder, text).providers["openai"].credentials:
        assert isinstance(one.settings, AcmeSettings)
        found.append((one.name, one.weight, one.settings.api_key.get_secret_value(), one.settings.base_url))
    return found


def test_what_a_credential_does_not_say_comes_from_the_entry(tmp_path: Path) -> None:
    text = entry(
        "{name: a, api_key: k1, weight: 3}",
        "{name: b, api_key: k2, base_url: https://b}",
        more=", base_url: https://up",
    )
    assert keys(tmp_path, text) == [("a", 3, "k1", "https://up"), ("b", 1, "k2", "https://b")]


def test_a_file_takes_the_place_of_the_entrys_own_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    assert keys(tmp_path, entry("{name: a, api_key_file: key}", more=", api_key: other"))[0][2] == "from-file"


def test_without_a_name_it_is_the_same_wherever_it_stands(tmp_path: Path) -> None:
    there = keys(tmp_path, entry("{api_key: k1}", "{api_key: k2}"))
    back = keys(tmp_path, entry("{api_key: k2}", "{api_key: k1}"))
    assert {row[2]: row[0] for row in there} == {row[2]: row[0] for row in back}
    assert there[0][0] != there[1][0]


def test_an_entry_without_credentials_has_none(tmp_path: Path) -> None:
    provider = valid(tmp_path, "providers: {openai: {api_key: k}}").providers["openai"]
    assert provider.credentials == ()


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            entry("{name: a, api_key: k1}", "{name: a, api_key: k2}"),
            "providers.openai.credentials[1]",
            "stands here twice",
        ),
        (entry("{api_key: k1}", "{api_key: k1}"), "providers.openai.credentials[1]", "stands here twice"),
        (entry("{api_key: k1, nope: 1}"), "providers.openai.credentials[0].nope", "unknown key `nope`"),
        (entry("{name: a}"), "providers.openai.credentials[0]", "`api_key` is missing"),
        (
            entry("{api_key: k1, proxy: 'http://p'}"),
            "providers.openai.credentials[0].proxy",
            "the same for all credentials",
        ),
        (entry("{api_key: k1, weight: -1}"), "providers.openai.credentials[0].weight", "at least 0"),
        (entry("{api_key: k1, name: 'a b'}"), "providers.openai.credentials[0].name", ""),
    ],
)
def test_an_error_has_its_place(tmp_path: Path, text: str, path: str, message: str) -> None:
    problem = only_problem(tmp_path, text)
    assert message in problem.message
    assert problem.path.startswith(path.partition("[")[0])


def test_no_secret_of_a_credential_is_shown(tmp_path: Path) -> None:
    shown = effective_yaml(valid(tmp_path, entry(f"{{name: a, api_key: {SECRET}}}", f"{{api_key: {SECRET}-2}}")))
    assert SECRET not in shown
    assert "name: a" in shown
    problem = only_problem(tmp_path, entry(f"{{name: a, api_key: [{SECRET}]}}"))
    assert SECRET not in problem.message + str(problem.as_dict())
