"""The contract with plugin authors does not change by accident."""

from __future__ import annotations

from pathlib import Path

from relayhub import sdk
from relayhub.sdk import hookspecs

ROOT = Path(__file__).parent.parent.parent
SNAPSHOT = Path(__file__).parent / "sdk_names.txt"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("relayhub_"))


def test_the_names_are_the_ones_in_the_snapshot() -> None:
    """A name that goes or changes its meaning is a new SDK_VERSION; a new one is added to the snapshot."""
    assert sorted(sdk.__all__) == SNAPSHOT.read_text().split()


def test_every_name_exists() -> None:
    assert [name for name in sdk.__all__ if not hasattr(sdk, name)] == []


def test_every_hook_is_documented() -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text()
    assert [hook for hook in HOOKS if f"`{hook}(" not in guide] == []


def test_every_hook_is_tested() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    assert [hook for hook in HOOKS if hook not in sources] == []


def test_every_capability_is_documented() -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text()
    named = ("NativeProvider", "ChatProvider", "EmbeddingProvider", "ModelLister", "TransportProvider")
    assert [name for name in named if name not in guide] == []
