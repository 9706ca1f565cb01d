"""A plugin module that imports only what it may."""

from relayhub.sdk import hookimpl

__all__ = ["hookimpl"]
