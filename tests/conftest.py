"""Suites that need a program which may be missing carry a mark and are skipped by name where it is; CI requires them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support import browser

NODE_MODULES = Path(__file__).parent / "e2e" / "node" / "node_modules"
VENDOR_SDKS = Path(sys.prefix) / "vendor-sdks"

NEEDS = {
    "node": (lambda: shutil.which("node") is not None and NODE_MODULES.is_dir(), "Node and `npm ci` in tests/e2e/node"),
    "chromium": (browser.present, "chromium and chromedriver"),
    "vendor_sdks": (VENDOR_SDKS.is_dir, "the upstreams' SDKs: scripts/vendor-sdks"),
    "curl": (lambda: shutil.which("curl") is not None, "curl"),
}


def pytest_configure(config: pytest.Config) -> None:
    if VENDOR_SDKS.is_dir():
        sys.path.append(str(VENDOR_SDKS))  # behind everything else: what both have comes from the project's own
    for name, (_, what) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    required = set(filter(None, os.environ.get("RELAYHUB_TEST_REQUIRE", "").split(",")))
    for name, (present, what) in NEEDS.items():
        if present():
            continue
        if name in required:
            raise pytest.UsageError(f"RELAYHUB_TEST_REQUIRE names {name}, but this machine lacks {what}")
        for item in items:
            if item.get_closest_marker(name) is not None:
                item.add_marker(pytest.mark.skip(reason=f"needs {what}"))
