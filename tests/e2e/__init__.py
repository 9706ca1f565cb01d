"""The real server as a process, real clients, upstreams on loopback."""
