"""``relayhub explain``."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import click

from relayhub.app import build_catalog, build_providers, routing_terms
from relayhub.cli.support import (
    Setup,
    config_option,
    fail,
    json_option,
    open_store,
    print_json,
    run,
    set_up,
)
from relayhub.routing.explain import explain as explain_call
from relayhub.routing.provider import label
from relayhub.routing.router import Router
from relayhub.sdk.clock import SystemClock
from relayhub.types.call import Operation, Principal
from relayhub.web.admin.routes_explained import CallExplained, shown

ASK_S = 10.0


@click.command()
@click.option("--key", required=True, help="Name or id of a relay key.")
@click.option("--model", required=True, help="The model, as a client would say it.")
@click.option(
    "--operation", type=click.Choice([operation.value for operation in Operation]), default="chat", show_default=True
)
@click.option("--provider", "platform", help="Only this provider, as in /{provider}/v1/….")
@click.option("--server", help="Address of the running hub, to see how its routes do at this moment.")
@click.option("--admin-key", envvar="RELAYHUB_ADMIN_KEY", help="For --server; default: $RELAYHUB_ADMIN_KEY.")
@config_option
@json_option
def explain(
    key: str,
    model: str,
    operation: str,
    platform: str | None,
    server: str | None,
    admin_key: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show where a call would go, and why.

    By the config alone every route is taken to be well; with --server a running hub says what its calls have shown.
    """
    if server is None:
        found = run(_by_config(set_up(config_path), key, model, Operation(operation), platform))
    else:
        asked = {"key": key, "model": model, "operation": operation, "platform": platform}
        found = _ask(server, admin_key, {name: value for name, value in asked.items() if value is not None})
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show(found, live=server is not None)


async def _by_config(setup: Setup, name: str, model: str, operation: Operation, platform: str | None) -> CallExplained:
    clock = SystemClock()
    providers = build_providers(setup.config, setup.plugins, clock)
    try:
        catalog = build_catalog(setup.config, providers, created=0)
        async with open_store(setup) as store:
            key = await store.keys.named(name)
        principal = Principal(key.id, key.name, key.account_id, key.models)
        router = Router(clock, routing_terms(setup.config.routing))
        return shown(explain_call(catalog, router, principal, model, operation, platform))
    finally:
        for provider in providers.every():
            await provider.transport.close()


def _ask(server: str, admin_key: str | None, asked: Mapping[str, str]) -> CallExplained:
    """The management side of a running hub. Redirects are not followed: the key is for that server."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        fail("--server is the hub's address, such as http://127.0.0.1:8080")
    if admin_key is None:
        fail("--server needs --admin-key; `relayhub admin-keys create NAME --role viewer` makes one")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ASK_S)
    path = f"{parts.path.rstrip('/')}/api/admin/routes/explain?{urlencode(asked)}"
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {admin_key}"})
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        fail(f"{server} could not be asked: {error}")
    finally:
        connection.close()
    try:
        said = json.loads(body)
        return CallExplained.model_validate(said["data"])
    except (ValueError, KeyError, TypeError):
        fail(_message(body) or f"{server} answered with status {status}, and not as a relayhub does")


def _message(body: bytes) -> str | None:
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(said)


def _show(found: CallExplained, *, live: bool) -> None:
    alias = "" if found.asked == found.model else f" (asked for as {found.asked})"
    click.echo(f"{found.operation} with the model {found.model}{alias}, key {found.key}; strategy {found.strategy}")
    for route in found.routes:
        place = "-" if route.position is None else f"{route.position}."
        click.echo(
            f"  {place:3} {label(route.provider, route.credential)} as {route.upstream_model}: {'; '.join(route.reasons)}"
        )
    for rule in found.rules:
        click.echo(f"- {rule}")
    if not live:
        click.echo("- by the config alone: how the routes do now is known to the running hub, see --server")
