"""Plugins that fail are set aside with a reason; plugins that clash stop the start."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest
from structlog.testing import capture_logs

from relayhub.plugins.host import PluginHost
from relayhub.plugins.isolation import FAILURES_BEFORE_MUTED, Isolation
from relayhub.plugins.loaded import PluginError, Source
from relayhub.sdk import HubContext, Outcome, Usage, UsageRecord
from relayhub.testing import FakeClock

HEAD = """
from pydantic import BaseModel, ConfigDict
from relayhub.sdk import ProviderType, hookimpl

class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
"""

BUILT_INS = ["claude", "demo", "gemini", "happyhorse", "kling", "openai", "seedance", "tts"]


def provider(name: str, **fields: object) -> str:
    more = "".join(f", {key}={value!r}" for key, value in fields.items())
    return f"""{HEAD}
@hookimpl
def relayhub_register_providers():
    return [ProviderType(name={name!r}, settings=Settings, build=lambda s, c: object(), summary="x"{more})]
"""


Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def load(folder: Path, **options: object) -> PluginHost:
    return PluginHost.load(dirs=[folder], **options)  # type: ignore[arg-type]


def record() -> UsageRecord:
    return UsageRecord(
        call_id="req_1",
        at=0.0,
        account_id="a",
        key_id="k",
        operation="chat",
        dialect="openai.chat",
        model="m",
        provider="p",
        upstream_model="m",
        stream=False,
        outcome=Outcome.COMPLETED,
        measured=True,
        usage=Usage(),
        cost_nano=0,
        price="free",
    )


def test_the_built_ins_come_through_the_door_of_everybody() -> None:
    host = PluginHost.load()
    assert [plugin.name for plugin in host.plugins] == BUILT_INS
    assert {plugin.source for plugin in host.plugins} == {Source.ENTRY_POINT}
    assert set(host.provider_types) == set(BUILT_INS)


def test_files_and_packages_are_dropped_in(tmp_path: Path, write: Write) -> None:
    write("one.py", provider("one"))
    write("two/__init__.py", "from relayhub_dropins.two.inner import relayhub_register_providers\n")
    write("two/inner.py", provider("two"))
    write("_private.py", "raise RuntimeError")
    write("notes.txt", "not a plugin")
    host = load(tmp_path)
    assert [plugin.name for plugin in host.plugins][-2:] == ["one", "two"]
    assert {"one", "two"} <= set(host.provider_types)
    assert host.quarantined == ()


def test_a_module_by_name_is_the_same_plugin_as_its_entry_point() -> None:
    host = PluginHost.load(modules=["relayhub_demo"])
    assert [plugin.name for plugin in host.plugins] == BUILT_INS


FAULTS = {
    "an exception": ("1 / 0", "ZeroDivisionError: division by zero"),
    "an exit": ("raise SystemExit('bye')", "SystemExit: bye"),
    "a syntax error": ("def (", "SyntaxError"),
    "an unknown hook": (
        HEAD + "@hookimpl\ndef relayhub_register_provider():\n    return []\n",
        "unknown hook relayhub_register_provider; did you mean relayhub_register_providers?",
    ),
    "a hook without its mark": ("def relayhub_register_providers():\n    return []\n", "put @hookimpl above it"),
    "another contract": (provider("x", sdk=99), "made for plugin contract 99"),
    "an illegal name": (provider("Not Legal"), "is not a provider type name"),
    "not a provider type": (
        HEAD + "@hookimpl\ndef relayhub_register_providers():\n    return [1]\n",
        "not a ProviderType",
    ),
    "a type offered twice": (
        provider("x").replace('summary="x")]', 'summary="x")] * 2'),
        "offers the provider type 'x' twice",
    ),
    "nothing returned": (
        HEAD + "@hookimpl\ndef relayhub_register_providers():\n    pass\n",
        "returned None; return a list of ProviderType",
    ),
    "a hook that is awaited": (
        HEAD + "@hookimpl\nasync def relayhub_call_settled(record):\n    pass\n",
        "write def instead of async def",
    ),
    "a lifespan without its decorator": (
        HEAD + "@hookimpl\nasync def relayhub_lifespan(hub):\n    yield\n",
        "put @asynccontextmanager between",
    ),
    "an unknown argument": (
        HEAD + "@hookimpl\ndef relayhub_call_settled(row):\n    pass\n",
        "Argument(s) {'row'}",
    ),
    "a clash with a core field": (
        provider("x").replace("    model_config", "    proxy: str = ''\n    model_config"),
        "use proxy, which every provider entry has",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_fails_is_quarantined_and_the_others_work(tmp_path: Path, write: Write, fault: str) -> None:
    text, reason = FAULTS[fault]
    write("broken.py", text)
    write("sound.py", provider("sound"))
    with capture_logs() as logs:
        host = load(tmp_path)
    assert "sound" in host.provider_types
    assert [plugin.name for plugin in host.quarantined] == ["broken"]
    assert reason in host.quarantined[0].reason
    assert [log["event"] for log in logs] == ["plugin.quarantined"]
    assert reason in str(host.why_missing("broken"))


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "not a folder" in load(tmp_path / "nowhere").quarantined[0].reason


def test_a_plugin_that_was_left_out_is_named_when_it_is_missing() -> None:
    assert PluginHost.load(disabled=["openai"]).why_missing("openai") == (
        "the plugin openai is left out by plugins.disabled: [openai]"
    )
    assert PluginHost.load(allow=["demo"]).why_missing("openai") == "the plugin openai is not in plugins.allow"
    assert PluginHost.load().why_missing("opnai") is None


def test_a_broken_plugin_is_blamed_for_the_types_that_its_source_names(tmp_path: Path, write: Write) -> None:
    write("vendor/__init__.py", "from .inner import nothing_of_this_name\n")
    write("vendor/inner.py", provider("vendor-chat"))
    host = load(tmp_path)
    assert "cannot import name 'nothing_of_this_name'" in str(host.why_missing("vendor-chat"))
    assert host.why_missing("vendor-image") is None


def test_an_import_that_fails_leaves_nothing_behind(tmp_path: Path, write: Write) -> None:
    write("half/__init__.py", "import relayhub_dropins.half.inner\n1 / 0\n")
    write("half/inner.py", "")
    load(tmp_path)
    assert [name for name in sys.modules if name.startswith("relayhub_dropins.half")] == []


def test_a_file_that_two_doors_lead_to_runs_once(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    write("twin.py", provider("twin") + f"with open({str(runs)!r}, 'a') as file:\n    file.write('x')\n")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    host = PluginHost.load(dirs=[tmp_path, tmp_path / "link"], modules=["twin"])
    assert runs.read_text() == "x"
    twin = next(plugin for plugin in host.plugins if plugin.name == "twin")
    assert sys.modules["relayhub_dropins.twin"] is twin.module


def test_a_namesake_that_cannot_be_imported_stops_the_start_before_it_runs(tmp_path: Path, write: Write) -> None:
    """It would otherwise be quarantined under the name of the plugin that works."""
    write("a/acme.py", provider("acme"))
    write("b/acme.py", f"open({str(tmp_path / 'imported')!r}, 'w').close()\n1 / 0\n")
    with pytest.raises(PluginError, match=r"two plugins are called 'acme'.*a/acme\.py.*b/acme\.py"):
        PluginHost.load(dirs=[tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "imported").exists()


def test_the_order_of_plugins_is_fixed(tmp_path: Path, write: Write) -> None:
    for name in ("zebra", "ape", "moth"):
        write(f"{name}.py", provider(name))
    for _ in range(2):
        names = [plugin.name for plugin in load(tmp_path).plugins]
        assert names == [*BUILT_INS, "ape", "moth", "zebra"]


def test_nothing_is_imported_before_it_is_loaded() -> None:
    look = "import sys, relayhub.plugins.host; print([m for m in sys.modules if m.startswith('relayhub_')])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_two_plugins_of_one_name_stop_the_start_naming_both(tmp_path: Path, write: Write) -> None:
    write("openai.py", provider("mine"))
    with pytest.raises(PluginError, match=r"relayhub-gateway.*openai\.py"):
        load(tmp_path)


def test_a_built_in_may_be_replaced_after_it_was_disabled(tmp_path: Path, write: Write) -> None:
    path = write("openai.py", provider("openai"))
    host = load(tmp_path, disabled=["openai"])
    assert next(plugin.origin for plugin in host.plugins if plugin.name == "openai") == str(path)


def test_two_plugins_with_one_provider_type_stop_the_start(tmp_path: Path, write: Write) -> None:
    write("mine.py", provider("openai"))
    with pytest.raises(PluginError, match="provider type 'openai'"):
        load(tmp_path)


def test_what_is_not_allowed_is_not_even_imported(tmp_path: Path, write: Write) -> None:
    write("spy.py", f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    host = load(tmp_path, allow=["demo"])
    assert [plugin.name for plugin in host.plugins] == ["demo"]
    assert not (tmp_path / "imported").exists()


def test_every_plugin_is_told_and_a_failing_one_is_muted_in_the_end(tmp_path: Path, write: Write) -> None:
    told = tmp_path / "told"
    write("a_bad.py", HEAD + "@hookimpl\ndef relayhub_call_settled(record):\n    raise RuntimeError\n")
    write(
        "b_good.py",
        HEAD
        + f"@hookimpl\ndef relayhub_call_settled(record):\n    with open({str(told)!r}, 'a') as f: f.write(record.call_id)\n",
    )
    host = load(tmp_path)
    with capture_logs() as logs:
        for _ in range(FAILURES_BEFORE_MUTED + 3):
            host.notify_settled(record())
    assert told.read_text() == "req_1" * (FAILURES_BEFORE_MUTED + 3)
    failed = [log for log in logs if log["event"] == "plugin.failed"]
    assert [log["muted"] for log in failed] == [False] * (FAILURES_BEFORE_MUTED - 1) + [True]


@pytest.mark.parametrize("raised", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError"])
def test_nothing_that_a_hook_raises_gets_out(tmp_path: Path, write: Write, raised: str) -> None:
    write("bad.py", HEAD + f"import asyncio\n@hookimpl\ndef relayhub_call_settled(record):\n    raise {raised}\n")
    with capture_logs() as logs:
        load(tmp_path).notify_settled(record())
    assert [log["event"] for log in logs] == ["plugin.failed"]


async def test_lifespans_are_entered_and_left(tmp_path: Path, write: Write) -> None:
    write(
        "life.py",
        HEAD
        + """
from contextlib import asynccontextmanager
seen = []

@hookimpl
def relayhub_lifespan(hub):
    @asynccontextmanager
    async def span():
        seen.append("in " + hub.version)
        yield
        seen.append("out")
    return span()
""",
    )
    host = load(tmp_path)
    for span in host.lifespans(HubContext("9", FakeClock())):
        async with span:
            pass
    module = next(plugin.module for plugin in host.plugins if plugin.name == "life")
    assert vars(module)["seen"] == ["in 9", "out"]


BROKEN_LIVES = {
    "at its begin": "        raise RuntimeError('boom')\n        yield\n",
    "at its end": "        yield\n        raise RuntimeError('boom')\n",
    "by leaving": "        raise SystemExit('boom')\n        yield\n",
    "by cancelling": "        raise asyncio.CancelledError\n        yield\n",
    "by interrupting": "        yield\n        raise KeyboardInterrupt\n",
    "by closing": "        yield\n        raise GeneratorExit\n",
}


@pytest.mark.parametrize("when", BROKEN_LIVES)
async def test_a_lifespan_that_fails_does_not_stop_the_hub(tmp_path: Path, write: Write, when: str) -> None:
    write(
        "life.py",
        HEAD
        + "import asyncio\nfrom contextlib import asynccontextmanager\n@hookimpl\ndef relayhub_lifespan(hub):\n"
        + "    @asynccontextmanager\n    async def span():\n"
        + BROKEN_LIVES[when]
        + "    return span()\n",
    )
    entered = False
    with capture_logs() as logs:
        for span in load(tmp_path).lifespans(HubContext("9", FakeClock())):
            async with span:
                entered = True
    assert entered
    assert [(log["event"], log["plugin"], log["hook"]) for log in logs] == [
        ("plugin.failed", "life", "relayhub_lifespan")
    ]


async def test_a_lifespan_that_never_begins_is_left_behind() -> None:
    @asynccontextmanager
    async def stuck() -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    with capture_logs() as logs:
        async with Isolation().lifespan("stuck", stuck(), limit_s=0.01):
            pass
    assert [log["event"] for log in logs] == ["plugin.failed"]


async def test_what_the_hub_itself_raises_passes_a_lifespan() -> None:
    @asynccontextmanager
    async def quiet() -> AsyncIterator[None]:
        try:
            yield
        except ZeroDivisionError:
            pytest.fail("it is not the plugin's")

    with pytest.raises(ZeroDivisionError):
        async with Isolation().lifespan("quiet", quiet()):
            raise ZeroDivisionError


def test_a_lifespan_that_is_none_is_said(tmp_path: Path, write: Write) -> None:
    write("life.py", HEAD + "@hookimpl\ndef relayhub_lifespan(hub):\n    return 7\n")
    with capture_logs() as logs:
        assert load(tmp_path).lifespans(HubContext("9", FakeClock())) == []
    assert [log["event"] for log in logs] == ["plugin.failed"]


def test_commands_of_plugins_are_added(tmp_path: Path, write: Write) -> None:
    write(
        "cmd.py",
        HEAD
        + "import click\n@hookimpl\ndef relayhub_register_commands(cli):\n    cli.add_command(click.Command('hi'))\n",
    )
    group = click.Group("x")
    load(tmp_path).register_commands(group)
    assert list(group.commands) == ["hi"]
