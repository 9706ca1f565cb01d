"""What a plugin's hooks must look like. Anything else would never be called, and nobody would notice."""

from __future__ import annotations

import difflib
import inspect

import pluggy

from relayhub.sdk import hookspecs

KNOWN = tuple(name for name in vars(hookspecs) if name.startswith("relayhub_"))


def check_hooks(manager: pluggy.PluginManager, module: object) -> None:
    """Call after ``module`` was registered. Raises ``ValueError`` saying what is wrong and what to do."""
    implemented = {caller.name for caller in manager.get_hookcallers(module) or []}
    for name in sorted(implemented - set(KNOWN)):
        near = difflib.get_close_matches(name, KNOWN, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known hooks: {', '.join(KNOWN)}"
        raise ValueError(f"it implements the unknown hook {name}; {hint}")
    written = {name for name in KNOWN if callable(getattr(module, name, None))}
    for name in sorted(written - implemented):
        raise ValueError(f"its function {name} is not marked as a hook; put @hookimpl above it")
    for name in sorted(implemented):
        _check_synchronous(name, getattr(module, name))
    manager.check_pending()


def _check_synchronous(name: str, function: object) -> None:
    if inspect.isasyncgenfunction(function):
        raise ValueError(f"its hook {name} is an async generator; put @asynccontextmanager between it and @hookimpl")
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"its hook {name} is async, but hooks are called, not awaited; write def instead of async def")
