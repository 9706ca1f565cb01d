"""The short way in: calls in their plainest form are read straight off the connection, without the web framework.

A request qualifies if nothing about it is special: HTTP/1.1, POST to one of a few paths, one Content-Length, one credential
that is good, none of the headers that ask for more. Everything else, and whatever is in doubt, is handed to the framework
with every byte that has come, and its connection stays there. What is served here is served by the same pipeline, and
answered with the same status, headers and bytes: speed is the only difference.

:mod:`.head` reads requests (sans-io), :mod:`.door` owns a client's connection, :mod:`.inflow` takes its long bodies,
:mod:`.visit` serves one call, :mod:`.answer` writes what it is told, and :mod:`.desk` is what all connections share.
"""
