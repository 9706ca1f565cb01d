"""What is measured: relayhub and the gateways beside it, each in a folder of its own in front of the mock upstream."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from tests.bench.phases import Phase
from tests.bench.wire import CLIENT_KEY, MODEL, UPSTREAM_KEY

ROOT = Path(__file__).parents[2]
LITELLM_VENV = "RELAYHUB_BENCH_LITELLM"
PLENTY = "1000000000000"

NGINX_CONF = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_buffer_size 4m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  map $http_authorization $known {{ default 0; "Bearer {client_key}" 1; }}
  upstream mock {{ server 127.0.0.1:{upstream_port}; keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($known = 0) {{ return 401; }}
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {upstream_key}";
    }}
  }}
}}
"""

LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream_port}/v1", api_key: {upstream_key}}}
general_settings: {{master_key: {client_key}}}
litellm_settings: {{telemetry: false, set_verbose: false, num_retries: 0}}
"""

RELAYHUB_CONFIG = """
server: {{host: 127.0.0.1, port: {port}}}
store: {{path: hub.db, durability: {durability}}}
logging: {{level: warning}}
providers:
  mock:
    type: openai
    base_url: http://127.0.0.1:{upstream_port}/v1
    api_key: {upstream_key}
    max_connections: 8192
    models:
      {model}: {{price: {{input: "0.15", output: "0.60"}}}}
"""


class NotInstalledError(Exception):
    """A gateway that this machine lacks; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """``starts_within_s``: when to give up on it. ``most_streams``: more than these would take it minutes. ``settled``: how
    many calls its books have as complete, for one that has books."""

    name: str
    about: str
    command: tuple[str, ...]
    port: int
    folder: Path
    key: str = CLIENT_KEY
    env: Mapping[str, str] = field(default_factory=dict)
    starts_within_s: float = 20.0
    most_streams: int = 1_000_000
    translates: bool = False
    only: frozenset[Phase] = frozenset(Phase)
    settled: Callable[[], int] | None = None


def relayhub(folder: Path, upstream_port: int) -> Gateway:
    """As it is installed: what a commit holds is on the disk before the call goes on."""
    return _relayhub("relayhub", folder, upstream_port, "power")


def relayhub_process(folder: Path, upstream_port: int) -> Gateway:
    """The same without waiting for the disk, to tell its part in a call that is alone."""
    only = frozenset({Phase.WARM, Phase.LONE, Phase.BUSY})
    return replace(_relayhub("relayhub-process", folder, upstream_port, "process"), only=only)


def _relayhub(name: str, folder: Path, upstream_port: int, durability: str) -> Gateway:
    """With everything on: a key with limits of its own, an account that pays, a price, a hold and a settlement per call."""
    port = free_port()
    config = RELAYHUB_CONFIG.format(
        port=port, upstream_port=upstream_port, upstream_key=UPSTREAM_KEY, model=MODEL, durability=durability
    )
    (folder / "relayhub.yaml").write_text(config)
    run_relayhub(folder, "accounts", "create", "payer")
    run_relayhub(folder, "accounts", "grant", "payer", PLENTY)
    limits = ("--quota", PLENTY, "--rpm", PLENTY, "--tpm", PLENTY, "--concurrent", "100000", "--spend-per-day", PLENTY)
    made = json.loads(run_relayhub(folder, "keys", "create", "bench", "--account", "payer", *limits, "--json"))
    return Gateway(
        name=name,
        about=f"{name} {version('relayhub-gateway')}: key, limits, hold and settlement on, store.durability {durability}",
        command=(*relayhub_program(), "serve"),
        port=port,
        folder=folder,
        key=str(made["key"]),
        env=relayhub_environment(folder),
        translates=True,
        settled=lambda: _completed_calls(folder / "hub.db"),
    )


def relayhub_program() -> tuple[str, ...]:
    """The installed program of this Python."""
    return (str(Path(sys.executable).parent / "relayhub"),)


def relayhub_environment(folder: Path) -> dict[str, str]:
    """Compiled once, as an installed program is, wherever this machine keeps its byte code."""
    byte_code = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    here = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "RELAYHUB_CONFIG": str(folder / "relayhub.yaml")}
    return here | byte_code


def run_relayhub(folder: Path, *arguments: str) -> str:
    """A command beside the server; its stdout. Raises ``RuntimeError`` with what it said where it fails."""
    env = {**os.environ, **relayhub_environment(folder)}
    command = (*relayhub_program(), *arguments)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"relayhub {' '.join(arguments)} failed: {done.stdout}{done.stderr}")
    return done.stdout


def _completed_calls(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return int(connection.execute("SELECT count(*) FROM usage WHERE outcome = 'completed'").fetchone()[0])


def bare_aiohttp(folder: Path, upstream_port: int) -> Gateway:
    """See :mod:`tests.bench.bare`."""
    port = free_port()
    return Gateway(
        name="aiohttp",
        about=f"a bare proxy of aiohttp {version('aiohttp')}: Application and ClientSession",
        command=(sys.executable, "-m", "tests.bench.bare", str(port), str(upstream_port)),
        port=port,
        folder=folder,
        env={"PYTHONPATH": str(ROOT)},
    )


def nginx(folder: Path, upstream_port: int) -> Gateway:
    """``proxy_pass`` with kept connections, without buffering, and one key compared as a string."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NotInstalledError("nginx is not installed (Debian, Ubuntu: apt install nginx-light)")
    port = free_port()
    values = {"folder": folder, "port": port, "upstream_port": upstream_port}
    (folder / "nginx.conf").write_text(NGINX_CONF.format(**values, client_key=CLIENT_KEY, upstream_key=UPSTREAM_KEY))
    said = subprocess.run((program, "-v"), capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", said)
    return Gateway(
        name="nginx",
        about=f"nginx {found[1] if found else '?'}, proxy_pass, one worker",
        command=(program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")),
        port=port,
        folder=folder,
    )


def litellm(folder: Path, upstream_port: int) -> Gateway:
    """Its proxy with one worker and a master key; no database, so no limits and no books."""
    venv = Path(os.environ.get(LITELLM_VENV, sys.prefix))
    program = venv / "bin" / "litellm"
    if not program.exists():
        raise NotInstalledError(
            f"LiteLLM is not installed; make a venv for it, pip install 'litellm[proxy]', and set {LITELLM_VENV} to the venv"
        )
    port = free_port()
    values = {"model": MODEL, "upstream_port": upstream_port}
    text = LITELLM_CONFIG.format(**values, client_key=CLIENT_KEY, upstream_key=UPSTREAM_KEY)
    (folder / "config.yaml").write_text(text)
    ask = "from importlib.metadata import version; print(version('litellm'))"
    said = subprocess.run((str(venv / "bin" / "python"), "-c", ask), capture_output=True, text=True, check=True).stdout
    listen = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_TELEMETRY": "False"}
    return Gateway(
        name="LiteLLM",
        about=f"LiteLLM {said.strip()}, one worker, a master key, no database",
        command=(str(program), "--config", str(folder / "config.yaml"), *listen),
        port=port,
        folder=folder,
        env={**quiet, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder)},
        starts_within_s=120.0,
        most_streams=200,
    )


GATEWAYS: Mapping[str, Callable[[Path, int], Gateway]] = {
    "relayhub": relayhub,
    "relayhub-process": relayhub_process,
    "aiohttp": bare_aiohttp,
    "nginx": nginx,
    "litellm": litellm,
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
