"""What a start loads, and what it leaves away: each of these is some megabytes of every hub and a part of its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relayhub.cli import SUBCOMMANDS
from tests.support.server import environment

NOTHING_OF_THESE = {
    "sqlalchemy.orm": "only its core is used; sqlalchemy.ext.asyncio loads it, so relayhub.store.async_connection is used",
    "sqlalchemy.dialects.postgresql": "an index with a condition for another database loads that one's dialect",
    "alembic": "only a database that is not up to date needs it",
    "jwt": "only an account that signs its requests needs it",
    "rich": "what draws tables, help and frames is for commands that a person reads",
    "rich_click": "the same",
    "pygments": "the same",
    "cryptography": "only a hub that has something to seal needs it",
    "relayhub_kling.provider": "only a hub that has such an upstream needs it; the same holds for every plugin",
    "relayhub_openai.provider": "the same",
}
SERVE = """
import gc, sys
from relayhub.cli import main
try: main(["serve", "--help"])
except SystemExit: pass
from relayhub.plugins.host import PluginHost
PluginHost.load()
print([name for name in sys.argv[1:] if name in sys.modules])
from relayhub.web.admin import shapes
from relayhub_kling.settings import KlingSettings
print([kind.__name__ for kind in (shapes.Input, shapes.Done, KlingSettings) if kind.__pydantic_complete__])
print(gc.isenabled(), gc.get_freeze_count() > 50_000)
"""
HELP = """
import sys
from relayhub.cli import main
try: main(["--help"])
except SystemExit: pass
itself = ("relayhub.cli", "relayhub.cli.pretty")
print([name for name in sys.modules if name.startswith("relayhub.") and name not in itself])
"""


def run_python(script: str, home: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return run_python(SERVE, tmp_path_factory.mktemp("home"), *NOTHING_OF_THESE)


def test_serving_with_every_plugin_loads_nothing_that_it_does_not_need(served: list[str]) -> None:
    assert served[-3] == "[]", NOTHING_OF_THESE


def test_forms_that_nobody_has_used_yet_are_not_built(served: list[str]) -> None:
    assert served[-2] == "[]"


def test_modules_are_out_of_reach_of_garbage_collections_that_come_later(served: list[str]) -> None:
    assert served[-1] == "True True"


def test_help_names_every_command_and_imports_none(tmp_path: Path) -> None:
    *shown, imported = run_python(HELP, tmp_path)
    assert imported == "[]"
    said = "\n".join(shown)
    assert [name for name in SUBCOMMANDS if f" {name} " not in said] == []
