"""A real browser, headless, driven through its WebDriver."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCRIPT_S = 40


def present() -> bool:
    """Whether this machine has Chromium and its driver."""
    return CHROMIUM is not None and DRIVER is not None


@dataclass(frozen=True, slots=True)
class Browser:
    session: str

    def open(self, url: str) -> None:
        self._ask("POST", "url", {"url": url})

    def run(self, script: str, *arguments: object) -> object:
        """Run an async function's body in the page (``args`` are its arguments); what it resolves to."""
        wrapped = (
            "const done = arguments[arguments.length - 1], args = [...arguments].slice(0, -1);"
            f"(async () => {{ {script} }})().then(done, error => done('failed: ' + error));"
        )
        return self._ask("POST", "execute/async", {"script": wrapped, "args": list(arguments)})

    def _ask(self, method: str, path: str, body: object) -> object:
        return _ask(method, f"{self.session}/{path}", body)


def _ask(method: str, url: str, body: object | None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=SCRIPT_S + 20) as answer:
        return json.load(answer)["value"]


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in this folder, until the block ends."""
    assert DRIVER is not None
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        session = _new_session(_address(driver), profile)
        try:
            yield Browser(session)
        finally:
            with contextlib.suppress(OSError):
                _ask("DELETE", session, None)
    finally:
        driver.terminate()
        driver.wait(20)
        assert driver.stdout is not None
        driver.stdout.close()


def _address(driver: subprocess.Popen[str]) -> str:
    assert driver.stdout is not None
    for line in driver.stdout:
        if "started successfully on port" in line:
            return f"http://127.0.0.1:{line.rpartition('port ')[2].strip().rstrip('.')}"
    raise AssertionError("chromedriver did not start")


def _new_session(driver: str, profile: Path) -> str:
    options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"script": SCRIPT_S * 1000}}
    made = _ask("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
    assert isinstance(made, dict)
    return f"{driver}/session/{made['sessionId']}"
