"""Every bound on memory and work, each with its reason. What an operator may want to move is in the config instead."""

MAX_JSON_DEPTH = 128
"""Nesting of a request body. Real tool schemas stay under 30; JSON writers downstream stop at 254."""

MAX_SSE_LINE = 1 << 20
"""Bytes of one upstream SSE line. A whole tool call or a base64 image chunk fits; an endless line does not (U27)."""

MAX_MEDIA_EVENT = 32 << 20
"""Bytes of one chunk of a stream whose images come whole: the largest ones that models make fit in base64."""

MAX_UPSTREAM_BODY = 64 << 20
"""Bytes of a non-streamed upstream answer: a large batch of embeddings fits, a bomb does not (U26)."""

MAX_UPSTREAM_ERROR_BODY = 64 << 10
"""Bytes read of an upstream's error answer."""

MAX_UPSTREAM_HEAD = 64 << 10
"""Bytes of an upstream's status line and headers, or of its trailers: the largest policies and cookies fit (U37)."""

MAX_UPSTREAM_HEADERS = 256
"""Header lines of an upstream's answer. Real ones have up to 60; each costs more than its bytes."""

MAX_CHUNK_LINE = 4 << 10
"""Bytes of a chunk's size with its extensions, which nobody uses."""

MAX_INTERIM_ANSWERS = 16
"""Answers of status 100 to 199 before the real one; real upstreams send at most one of each kind."""

MAX_ERROR_TEXT = 2000
"""Characters of an upstream's own message that a client is shown."""

MAX_USER_IDENTIFIER = 256
"""Characters kept of ``user``, ``safety_identifier`` or ``user_identifier`` on a usage row."""

MAX_FORM_PARTS = 128
"""Parts of a multipart form. Forms of speech APIs have about ten; many empty parts would only cost time."""

MAX_FORM_HEADERS = 8 << 10
"""Bytes of one part's headers: long file names in any alphabet fit."""

MAX_FORM_VALUE = 4 << 10
"""Bytes of a form field that the hub itself reads: names of models and users."""

MAX_FORM_PADDING = 256
"""Bytes of white space beside a boundary: nobody sends any, the grammar allows some."""

MAX_PENDING_LEDGER_ITEMS = 20_000
"""Holds and settlements waiting for the writer. Beyond it new holds are refused (503), settlements never are."""

MAX_LEDGER_BATCH = 512
"""Items in one transaction: keeps a batch under ~20 ms, so that other processes get their turn at the file."""

MAX_TOKENS_REPORTED = 1 << 31
"""An upstream's usage count above this is not believed; the call is charged by estimate."""

SETTLEMENT_WAIT_S = 5.0
"""How long a finished answer waits for its settlement to be durable before it ends anyway (it stays queued)."""

WRITE_STALL_S = 60.0
"""A client that has not read for this long, with its buffers full, counts as gone (L7)."""
