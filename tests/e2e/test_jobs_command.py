"""``relayhub jobs`` beside a running server."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
providers:
  demo:
    video_queue_s: 0.1
    video_run_s: 0.3
    models:
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
"""


def submit(server: Server, key: str, **fields: object) -> str:
    body = json.dumps({"model": "demo-video", "prompt": "a cat", "seconds": "4", **fields}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/videos", body, headers), timeout=20) as answer:
        return str(json.load(answer)["id"])


def test_jobs_are_listed_and_shown_by_any_of_their_names(home: Path) -> None:
    with running(home, CONFIG) as server:
        key = server.new_key("k")
        job_id = submit(server, key, callback_url="http://127.0.0.1:9/hook")

        def ended() -> bool:
            shown = server.cli_json("jobs", "show", job_id)
            assert isinstance(shown, dict)
            return shown["state"] == "succeeded" and shown["webhook"]["attempts"] > 0

        server.wait_until(ended, within_s=20)
        shown = server.cli_json("jobs", "show", job_id.replace("task_", "job_"))
        assert isinstance(shown, dict)
        assert shown["results"][0]["type"] == "video/mp4"
        assert "not a public one" in shown["webhook"]["last_error"]
        listed = server.cli_json("jobs", "list", "--state", "succeeded", "--provider", "demo")
        assert isinstance(listed, list)
        assert [job["id"] for job in listed] == [job_id]
        assert server.cli_json("jobs", "list", "--open") == []
        assert server.cli("jobs", "webhook-secret", "k").startswith("whsec_")
        assert "There is no job" in server.cli("jobs", "show", "task_none", check=False)
