"""What `serve` says once it serves: one screen on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from relayhub.accounts.issuing import replace_key
from relayhub.accounts.sign_in import offer_setup
from relayhub.store.store import Store

DEMO_KEY = "demo"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is made once for each start. ``setup_token``: for the first admin, while there is none; ``demo_key``: in demo
    mode."""

    setup_token: str | None
    demo_key: str | None


async def opening(store: Store, *, demo: bool) -> Opening:
    """Secrets that are shown now and kept nowhere; those of earlier starts are good no longer. Raises ``HubError``."""
    token = await offer_setup(store)
    if not demo:
        return Opening(token, None)
    account = await store.accounts.default()
    return Opening(token, (await replace_key(store.keys, DEMO_KEY, account.id)).secret)


def greet(address: str, shown: str, config: Path | None, models: Sequence[str], opened: Opening) -> None:
    """``shown``: the address as clients know it. ``config``: ``None`` in demo mode. ``models``: that everybody may see."""
    click.echo(f"relayhub listens on {address}")
    if opened.setup_token is not None:
        click.echo(
            f"No admin yet. Make the first: POST {shown}/api/admin/setup with name, password and token {opened.setup_token}"
        )
    if opened.demo_key is None:
        click.echo(f"Config: {config}   Models: {len(models)} public   Base URL: {shown}/v1")
    else:
        click.echo(_demo(shown, opened.demo_key, models[0]))


def _demo(shown: str, key: str, model: str) -> str:
    """With a line that works as it stands."""
    return (
        "Demo mode: no config was found, so a provider without network answers, and the key below works until the next "
        "start.\n\n"
        f"  API key:  {key}\n"
        f"  Base URL: {shown}/v1\n\n"
        "Try it:\n\n"
        f"  curl {shown}/v1/chat/completions \\\n"
        f'    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\\n'
        f"""    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}'\n\n"""
        "Your own providers: relayhub init writes a relayhub.yaml to start from."
    )
