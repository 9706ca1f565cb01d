"""Everything that is wrong is said at once, each with place, caret, cause and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayhub.config.source import Excerpt
from tests.config.support import at, error_of, only_problem, problems, valid

FIVE_MISTAKES = """\
server:
  prot: 9000
  public_models: yes
quota: {units_per_usd: 7}
providers:
  acme:
    type: opnai
    models:
      m: {price: {input: 0.15}}
"""


def test_five_mistakes_are_reported_at_once_with_place_caret_and_remedy(tmp_path: Path) -> None:
    error = error_of(tmp_path, FIVE_MISTAKES)

    assert error.render(color=False).replace(str(tmp_path) + "/", "") == (
        "relayhub.yaml:2:3: unknown key `prot` (server.prot)\n"
        "      prot: 9000\n"
        "      ^^^^\n"
        "    Did you mean `port`?\n"
        "relayhub.yaml:3:18: true or false is needed, this is text (server.public_models)\n"
        "      public_models: yes\n"
        "                     ^^^\n"
        "    Did you mean `true`?\n"
        "relayhub.yaml:4:24: units_per_usd must divide 1000000000 (quota.units_per_usd)\n"
        "    quota: {units_per_usd: 7}\n"
        "                           ^\n"
        "    So that no unit is ever rounded: 500000, 1000000.\n"
        "relayhub.yaml:7:11: there is no provider type `opnai` (providers.acme.type)\n"
        "        type: opnai\n"
        "              ^^^^^\n"
        "    Did you mean `openai`? Known types: `claude`, `demo`, `gemini`, `openai`. `type:` names the plugin's type.\n"
        "relayhub.yaml:9:26: a price must be in quotes, so that it stays exact (providers.acme.models.m.price.input)\n"
        "          m: {price: {input: 0.15}}\n"
        "                             ^^^^\n"
        '    Write "0.15".\n'
        "5 problems in the config."
    )


def test_colour_adds_nothing_but_colour(tmp_path: Path) -> None:
    import re

    error = error_of(tmp_path, FIVE_MISTAKES)

    assert re.sub(r"\x1b\[[0-9;]*m", "", error.render(color=True)) == error.render(color=False)
    assert error.render(color=True) != error.render(color=False)


def test_problems_can_be_told_to_programs(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "server:\n  prot: 1\n")

    assert problem.as_dict() == {
        "file": str(tmp_path / "relayhub.yaml"),
        "line": 2,
        "column": 3,
        "path": "server.prot",
        "message": "unknown key `prot`",
        "hint": "Did you mean `port`?",
    }


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sever: {}", "Did you mean `server`?"),
        ("port: 1", "It belongs under `server:`."),
        ("server: {tls: {cert: x}}", "Did you mean `cert_file`?"),
        ("store: {zzz: 1}", "Known here: `durability`, `path`."),
        ("providers: {demo: {mdels: {}}}", "Did you mean `models`?"),
        ("providers: {demo: {models: {m: {fre: true, free: true}}}}", "Did you mean `free`?"),
        ("providers: {demo: {models: {m: {price: {inptu: '1', output: '1'}}}}}", "Did you mean `input`?"),
        ("providers: {demo: {timeouts: {connect: 1}}}", "Did you mean `connect_s`?"),
        ("providers: {demo: {model_defaults: {pubic: true}}}", "Did you mean `public`?"),
        ("providers: {openai: {api_key: x, base_uri: x}}", "Did you mean `base_url`?"),
        ("providers: {openai: {api_key: x, proxxy: x}}", "Did you mean `proxy`?"),
        ("providers: {openai: {api_key: x, signing: {regoin: x}}}", "Did you mean `region`?"),
    ],
)
def test_an_unknown_key_is_met_with_what_may_have_been_meant(tmp_path: Path, text: str, hint: str) -> None:
    unknown = [problem for problem in problems(tmp_path, text) if problem.message.startswith("unknown key")]

    assert [problem.hint for problem in unknown] == [hint]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {port: true}", "a whole number is needed, this is true or false"),
        ("server: {port: 80.5}", "a whole number is needed, this is a number with decimals"),
        ("server: {port: '80'}", "a whole number is needed, this is text"),
        ("server: {port: [80]}", "a whole number is needed, this is a list"),
        ("server: {port: -1}", "it must be at least 0"),
        ("server: {drain_s: 0}", "it must be more than 0"),
        ("server: {drain_s: true}", "a number is needed, this is true or false"),
        ("server: {host: 127}", "text is needed, this is a whole number"),
        ("server: {host: ''}", "it must not be empty"),
        ("server: {public_models: 1}", "true or false is needed, this is a whole number"),
        ("server: {public_models: 'true'}", "true or false is needed, this is text"),
        ("server: {cors_origins: '*'}", "a list is needed, this is text"),
        ("server: 3", "a mapping (`key: value`) is needed, this is a whole number"),
        ("server: {tls: {}}", "`cert_file` is missing"),
        ("logging: {level: loud}", "it must be one of `debug`, `info`, `warning`, `error`"),
        ("store: {path: ''}", "a path is needed, this is empty"),
        ("store: {durability: 3}", "it must be one of `power`, `process`"),
        ("[]", "the config must be a mapping of sections"),
        ("providers: []", "this must be a mapping: the providers by name"),
        ("providers: {demo: 3}", "a provider is a mapping of settings"),
        ("plugins: {modules: [1]}", "text is needed, this is a whole number"),
    ],
)
def test_nothing_is_taken_for_another_type(tmp_path: Path, text: str, message: str) -> None:
    assert message in [problem.message for problem in problems(tmp_path, text)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_path", "ai"),
        ("base_path", "/ai/"),
        ("base_path", "/a b"),
        ("public_url", "hub.example.com"),
        ("public_url", "ftp://hub.example.com"),
        ("public_url", "https://hub.example.com/?x=1"),
        ("public_url", "https://hub.example.com:99999"),
        ("public_url", "'https://[::1'"),
        ("cors_origins", "[https://app.example.com/path]"),
        ("cors_origins", "[app.example.com]"),
        ("trusted_proxies", "[10.0.0.1/8]"),
        ("trusted_proxies", "[proxy.example.com]"),
        ("trusted_proxies", "[10]"),
        ("body_limit", "32 cats"),
        ("body_limit", "0"),
        ("body_limit", "true"),
        ("tls", "{cert_file: gone.pem, key_file: relayhub.yaml}"),
    ],
)
def test_a_server_setting_that_cannot_work_is_refused(tmp_path: Path, setting: str, value: str) -> None:
    assert only_problem(tmp_path, f"server: {{{setting}: {value}}}").path.startswith(f"server.{setting}")


def test_server_settings_that_work(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    server = valid(
        tmp_path,
        """
        server:
          tls: {cert_file: cert.pem, key_file: key.pem}
          trusted_proxies: [10.0.0.0/8, 127.0.0.1, "::1"]
          base_path: /ai/hub
          public_url: https://hub.example.com/ai/
          cors_origins: [https://app.example.com, "http://localhost:3000"]
          body_limit: 2MiB
        store: {path: data/hub.db}
        """,
    ).server

    assert server.tls is not None
    assert server.tls.cert_file == tmp_path / "cert.pem"
    assert [str(network) for network in server.trusted_proxies] == ["10.0.0.0/8", "127.0.0.1/32", "::1/128"]
    assert (server.base_path, server.public_url) == ("/ai/hub", "https://hub.example.com/ai")
    assert server.body_limit == 2 << 20
    assert valid(tmp_path, "store: {path: data/hub.db}").store.path == tmp_path / "data/hub.db"
    assert valid(tmp_path, "server: {body_limit: 32MB}").server.body_limit == 32_000_000


def test_tls_on_a_unix_socket_is_refused_rather_than_ignored(tmp_path: Path) -> None:
    (tmp_path / "c.pem").touch()
    text = "server: {unix_socket: s, tls: {cert_file: c.pem, key_file: c.pem}}"

    assert only_problem(tmp_path, text).message == "tls has no effect on a unix socket"


def test_a_key_with_nothing_behind_it_means_the_default(tmp_path: Path) -> None:
    config = valid(
        tmp_path,
        """
        server:
          port:
          # host: 0.0.0.0
        logging:
        plugins:
        providers:
          demo:
            timeouts:
            models:
              m: {free: true, price: }
        """,
    )

    assert (config.server.port, config.logging.level) == (8080, "info")
    assert config.providers["demo"].timeouts.connect_s == 10


def excerpt_of(folder: Path, text: str) -> Excerpt:
    excerpt = only_problem(folder, text).excerpt
    assert excerpt is not None
    return excerpt


def test_the_caret_stands_under_its_word_behind_wide_characters_and_tabs(tmp_path: Path) -> None:
    wide = excerpt_of(tmp_path, 'providers: {demo: {models: {"中文": {free: yes}}}}')
    assert wide.indent == " " * (len(wide.text[: wide.text.index("yes")]) + 2)
    assert wide.width == 3

    tabbed = excerpt_of(tmp_path, "server: {\tprot: 1}")
    assert tabbed.indent == " " * 9 + "\t"


def test_a_long_line_is_cut_around_the_caret(tmp_path: Path) -> None:
    excerpt = excerpt_of(
        tmp_path, f"plugins: {{modules: [{', '.join(['abcdefgh'] * 40)}, 3, {', '.join(['x'] * 90)}]}}"
    )

    assert len(excerpt.text) == 120
    assert (excerpt.text[0], excerpt.text[-1]) == ("…", "…")
    assert excerpt.text[len(excerpt.indent)] == "3"


def test_a_flood_of_problems_is_counted_but_not_all_shown(tmp_path: Path) -> None:
    error = error_of(tmp_path, "server:\n" + "".join(f"  zz{n}: 1\n" for n in range(150)))

    assert len(error.problems) == 150
    assert error.render(color=False).endswith("150 problems in the config. The first 100 are shown.")
    assert error.render(color=False).count("unknown key") == 100


def test_the_place_of_a_missing_setting_is_its_section(tmp_path: Path) -> None:
    problem = only_problem(tmp_path, "providers:\n  openai:\n    models: {}\n")

    assert at(problem) == (2, 3)
    assert (problem.message, problem.hint) == ("`api_key` is missing", "api_key: The upstream's key.")
