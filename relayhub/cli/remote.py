"""Asking a running hub, for what only it knows."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import click

from relayhub.cli.support import fail

ASK_S = 10.0

C = TypeVar("C", bound=Callable[..., object])


def server_options(command: C) -> C:
    """``--server`` and ``--admin-key``."""
    key = click.option("--admin-key", envvar="RELAYHUB_ADMIN_KEY", help="For --server; default: $RELAYHUB_ADMIN_KEY.")
    server = click.option("--server", help="Address of the running hub, to see how its routes do at this moment.")
    return server(key(command))


def ask(server: str, admin_key: str | None, path: str, query: Mapping[str, str]) -> object:
    """The ``data`` of ``GET /api/admin{path}``. Ends the program where there is none. Redirects are not followed: the key
    is for that server."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        fail("--server is the hub's address, such as http://127.0.0.1:8080")
    if admin_key is None:
        fail("--server needs --admin-key; `relayhub admin-keys create NAME --role viewer` makes one")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ASK_S)
    whole = f"{parts.path.rstrip('/')}/api/admin{path}" + (f"?{urlencode(query)}" if query else "")
    try:
        connection.request("GET", whole, headers={"authorization": f"Bearer {admin_key}"})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        fail(f"{server} could not be asked: {error}")
    finally:
        connection.close()
    said = _read(body)
    if "data" not in said:
        fail(str(said.get("message") or f"{server} answered with status {status}, and not as a relayhub does"))
    return said["data"]


def _read(body: bytes) -> dict[str, object]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def not_a_relayhub(server: str) -> str:
    return f"{server} answered, but not as a relayhub of this version does"
