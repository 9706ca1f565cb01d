"""The server side of HTTP (aiohttp): ingress, errors, streams, health."""
