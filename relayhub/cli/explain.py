"""``relayhub explain``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from relayhub.build.catalog import build_catalog
from relayhub.build.providers import build_providers
from relayhub.build.routing import routing_terms
from relayhub.cli.remote import ask, not_a_relayhub, server_options
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


@click.command()
@click.option("--key", required=True, help="Name or id of a relay key.")
@click.option("--model", required=True, help="The model, as a client would say it.")
@click.option(
    "--operation", type=click.Choice([operation.value for operation in Operation]), default="chat", show_default=True
)
@click.option("--provider", "platform", help="Only this provider, as in /{provider}/v1/….")
@server_options
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
    try:
        return CallExplained.model_validate(ask(server, admin_key, "/routes/explain", asked))
    except ValueError:
        fail(not_a_relayhub(server))


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
