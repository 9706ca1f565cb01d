"""``relayhub providers``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from relayhub.cli.remote import ask, not_a_relayhub, server_options
from relayhub.cli.support import config_option, fail, json_option, print_json, print_table, set_up
from relayhub.config import Config, ProviderConfig
from relayhub.routing.provider import label
from relayhub.sdk.clock import SystemClock
from relayhub.web.admin.providers import CircuitShown, ProviderShown


@click.group()
def providers() -> None:
    """The upstreams of the config."""


@providers.command("list")
@config_option
@json_option
def list_providers(config_path: Path | None, as_json: bool) -> None:
    """List the providers with their models and prices; nothing secret."""
    config, now = set_up(config_path).config, SystemClock().now()
    rows = [_shown(entry, now) for entry in config.providers.values()]
    rows += [_disabled(name) for name in config.disabled]
    if as_json:
        print_json(rows)
        return
    table = [[row["name"], row["type"], "yes" if row["enabled"] else "no", ", ".join(_names(row))] for row in rows]
    print_table(["Provider", "Type", "Enabled", "Models"], table, empty="The config has no provider.")


@providers.command()
@click.argument("name")
@server_options
@config_option
@json_option
def show(name: str, server: str | None, admin_key: str | None, config_path: Path | None, as_json: bool) -> None:
    """Show the provider NAME: its models, prices and credentials, nothing secret; with --server also how it does."""
    if server is None:
        shown = _of_config(set_up(config_path).config, name)
        if as_json:
            print_json(shown)
        else:
            print_table(["", ""], [[field, _text(value)] for field, value in shown.items()], empty="")
        return
    found = _ask(server, admin_key, name)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show_live(found)


def _of_config(config: Config, name: str) -> dict[str, object]:
    if name in config.disabled:
        return _disabled(name)
    if name not in config.providers:
        fail(f"there is no provider {name!r} in the config; it has: {', '.join(config.providers)}")
    entry = config.providers[name]
    credentials = {one.name: one.weight for one in entry.credentials}
    shown = _shown(entry, SystemClock().now())
    return {**shown, "max_in_flight": entry.max_in_flight, "credentials": credentials}


def _text(value: object) -> object:
    match value:
        case dict():
            return "\n".join(f"{name}: {_price(said)}" for name, said in value.items())
        case bool():
            return "yes" if value else "no"
        case _:
            return value


def _price(said: object) -> object:
    """A price by its parts, or a credential's weight."""
    if isinstance(said, dict):
        return ", ".join(f"{name} {amount}" for name, amount in said.items())
    return "free" if said is None else said


def _ask(server: str, admin_key: str | None, name: str) -> ProviderShown:
    try:
        return ProviderShown.model_validate(ask(server, admin_key, f"/providers/{quote(name, safe='')}", {}))
    except ValueError:
        fail(not_a_relayhub(server))


def _show_live(found: ProviderShown) -> None:
    most = "" if found.max_in_flight is None else f" of at most {found.max_in_flight}"
    click.echo(f"{found.name} ({found.type or 'disabled'}): {found.in_flight} calls under way{most}")
    rows = [
        (label(found.name, credential.name), circuit.model or "every model", *_circuit(circuit))
        for credential in found.credentials
        for circuit in credential.circuits
    ]
    columns = ("Credential", "Upstream model", "State", "Because of", "Under way", "First byte")
    print_table(columns, rows, empty="No call has shown anything of it yet.")


def _circuit(circuit: CircuitShown) -> tuple[object, ...]:
    rests = f" for {circuit.wait_s:.0f} s" if circuit.wait_s else ""
    first_byte = None if circuit.first_byte_ms is None else f"{circuit.first_byte_ms} ms"
    return f"{circuit.state.value}{rests}", circuit.cause, circuit.busy, first_byte


def _disabled(name: str) -> dict[str, object]:
    return {"name": name, "type": None, "enabled": False, "models": {}}


def _names(row: dict[str, object]) -> list[str]:
    models = row["models"]
    return list(models) if isinstance(models, dict) else []


def _shown(entry: ProviderConfig, now: float) -> dict[str, object]:
    prices = {model.name: model.price_at(now) or model.price for model in entry.models}
    models = {name: None if price is None else price.in_usd() for name, price in prices.items()}
    return {"name": entry.name, "type": entry.type, "enabled": True, "models": models}
