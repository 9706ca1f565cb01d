"""Which file is the config, and what is said when it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayhub.config import ConfigError, locate, read
from tests.config.support import NONE, TYPES


def test_the_option_wins_over_the_variable_and_that_over_the_working_folder(tmp_path: Path) -> None:
    for name in ("option.yaml", "variable.yaml", "relayhub.yaml"):
        (tmp_path / name).touch()
    env = {"RELAYHUB_CONFIG": "variable.yaml"}

    assert locate(Path("option.yaml"), env, tmp_path) == tmp_path / "option.yaml"
    assert locate(None, env, tmp_path) == tmp_path / "variable.yaml"
    assert locate(None, {"RELAYHUB_CONFIG": ""}, tmp_path) == tmp_path / "relayhub.yaml"


def test_without_any_file_it_is_demo_mode(tmp_path: Path) -> None:
    assert locate(None, NONE, tmp_path) is None


@pytest.mark.parametrize("missing", ["gone.yaml", "."])
def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path, missing: str) -> None:
    (tmp_path / "relayhub.yaml").touch()

    with pytest.raises(ConfigError, match=r"--config: there is no file") as by_option:
        locate(Path(missing), NONE, tmp_path)
    with pytest.raises(ConfigError, match=r"RELAYHUB_CONFIG: there is no file"):
        locate(None, {"RELAYHUB_CONFIG": missing}, tmp_path)
    assert "relayhub init" in by_option.value.render(color=False)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "relayhub.yaml"
    path.write_text("# nothing yet\n")

    config = read(path, NONE).validate(TYPES)

    assert (config.server.port, config.providers) == (8080, {})


@pytest.mark.parametrize(
    ("content", "words"), [(b"server: {host: \xff}\n", "not UTF-8"), (b"#" * (5 << 20), "larger than")]
)
def test_a_file_that_is_no_text_is_said_to_be(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "relayhub.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=words):
        read(path, NONE)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "relayhub.yaml"
    path.write_bytes(b"\xef\xbb\xbfserver:\r\n  port: 9000\r\n  hots: x\r\n")

    with pytest.raises(ConfigError) as caught:
        read(path, NONE).validate(TYPES)

    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (3, 3)
    assert problem.excerpt is not None
    assert problem.excerpt.text == "  hots: x"
