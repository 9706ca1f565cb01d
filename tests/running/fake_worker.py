"""What a supervisor begins in place of a worker: ``python fake_worker.py FOLDER --as-worker POST``. ``FOLDER/plan.N`` says
how worker N goes: ``serves``, ``refuses`` (a reload), ``is deaf`` (to everything but the first question) or ``dies``; each
beginning is noted in ``FOLDER/begun``."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path


def main(folder: Path, post: dict[str, int]) -> None:
    number = post["number"]
    with (folder / "begun").open("a") as begun:
        begun.write(f"{number}\n")
    plan = (folder / f"plan.{number}").read_text()
    if plan == "dies":
        sys.exit(7)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with socket.socket(fileno=post["channel"]) as channel, channel.makefile("rwb") as talk:
        for asked, line in enumerate(talk):
            verb = json.loads(line)["verb"]
            if plan == "is deaf" and asked:
                continue
            refused = verb == "reload" and plan == "refuses"
            talk.write(json.dumps({"ok": not refused, "problems": "no, thank you" if refused else ""}).encode() + b"\n")
            talk.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[3]))
