"""HTTP/1.1 to upstreams without a layer to spare: strict about framing, pooled, pushed rather than pulled.

From the bottom up: :mod:`.head` and :mod:`.framing` read answers (sans-io), :mod:`.outgoing` writes requests,
:mod:`.connection` owns a socket, :mod:`.reply` one exchange on it, :mod:`.dial` and :mod:`.pool` the sockets of one
provider, and :mod:`.transport` is the seam.
"""
