"""relayhub: a self-hosted AI gateway. One key in front of many upstreams, with exact accounting."""

__version__ = "0.1.0"
