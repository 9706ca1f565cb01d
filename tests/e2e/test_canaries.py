"""Secrets and what people say go through everything that the hub has, and are then looked for where they must not be: in the
log at its most talkative, in the files and columns of the database, in what commands print, and in other people's answers.

What may be kept or shown all the same: sealed values; a secret in the one answer that makes it; a client's own text in the
answer to that client; ``user_identifier`` and the names of things, which are for finding them again; results, in a folder of
their own.
"""

from __future__ import annotations

import contextlib
import http.client
import inspect
import json
import pkgutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from click.testing import CliRunner

from relayhub.cli import SUBCOMMANDS, main
from relayhub.store.key_file import KeyFile
from relayhub.testing import Fate
from relayhub.testing.faults import FaultUpstream, answers, framing, pace, refusals
from relayhub.web import ingress
from relayhub.web.admin.endpoint import PATH
from relayhub.web.admin.routes import ENDPOINTS
from relayhub.web.client_api import OPERATIONS
from tests.support.admin import Api, setup_token
from tests.support.canaries import Canaries, places_of
from tests.support.media_hub import CONFIG, KEY, KLING_ACCESS, KLING_SECRET, Upstreams, upstreams
from tests.support.media_shapes import MAKERS, SHAPES
from tests.support.openai_wire import DONE, chunk, completion, error
from tests.support.server import Server, running

UPSTREAM_KEY = "sk-upstream-of-the-text-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
JOB_S = 20.0
ENDED = ("succeeded", "failed", "cancelled")

TEXT_PROVIDERS = """
  faulty:
    type: openai
    base_url: FAULTY_URL/v1
    api_key: UPSTREAM_KEY
    timeouts: {connect_s: 1, first_byte_s: 1, idle_s: 1, total_s: 5}
    models: {"faulty-*": {price: {call: "0.001"}}}
"""

BODIES: Mapping[str, Any] = {
    "/v1/chat/completions": lambda text: {
        "messages": [{"role": "system", "content": text}, _user(text)],
        "stop": [text],
    },
    "/api/relay/v1/chat/completions": lambda text: {"messages": [_user(text)], "tools": [_tool(text)]},
    "/v1/responses": lambda text: {"input": text, "instructions": text},
    "/v1/messages": lambda text: {"messages": [_user(text)], "system": text, "max_tokens": 50},
    "/v1beta/models/{model}:generateContent": lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    "/v1/embeddings": lambda text: {"input": [text]},
    "/v1/completions": lambda text: {"prompt": text},
    "/v1/moderations": lambda text: {"input": text},
    "/v1/rerank": lambda text: {"query": text, "documents": [text, text]},
    "/v1/messages/count_tokens": lambda text: {"messages": [_user(text)]},
    "/api/user/estimate": lambda text: {"messages": [_user(text)]},
}
"""Every way to say something to a model, in every dialect."""


def _user(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


def _tool(text: str) -> dict[str, object]:
    parameters = {"type": "object", "properties": {"x": {"type": "string", "description": text}}}
    return {"type": "function", "function": {"name": "look", "description": text, "parameters": parameters}}


@dataclass
class Answered:
    what: str
    status: int
    body: bytes


@dataclass
class Tour:
    """One server, what was sent to it, and what came back: ``answered`` has the headers too."""

    server: Server
    faulty: FaultUpstream
    media: Upstreams
    canaries: Canaries = field(default_factory=Canaries)
    answered: list[Answered] = field(default_factory=list)
    printed: list[tuple[str, bytes]] = field(default_factory=list)
    key: str = ""
    jobs: list[str] = field(default_factory=list)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Answered:
        """Also what breaks off is an answer."""
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        said = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=30)
        try:
            connection.request(method, path, raw, said)
            response = connection.getresponse()
            try:
                data = response.read()
            except http.client.IncompleteRead as cut:
                data = cut.partial
            heads = "\n".join(f"{name}: {value}" for name, value in response.getheaders())
            answer = Answered(f"{method} {path}", response.status, data)
            self.answered.append(Answered(answer.what, answer.status, heads.encode() + data))
            return answer
        finally:
            connection.close()

    def job(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A job that the hub takes."""
        answer = self.send("POST", path, body, headers)
        assert answer.status in (200, 202), answer
        said = json.loads(answer.body)
        self.jobs.append("task_" + str((said.get("data") or said).get("jobId") or said["id"]).partition("_")[2])

    def command(self, *arguments: str, given: str | None = None) -> bytes:
        done = CliRunner().invoke(main, [*arguments, "--config", str(self.server.home / "relayhub.yaml")], input=given)
        assert not isinstance(done.exception, Exception), (arguments, done.exception)
        self.printed.append((f"relayhub {' '.join(arguments)}", done.output.encode()))
        return done.output.encode()


@contextmanager
def ear(canary: str) -> Iterator[str]:
    """Where a client hears of its jobs: an address that is a secret itself."""

    class Ear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(204 if "good" in self.path else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{canary}/good?token={canary}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    home, faulty = tmp_path_factory.mktemp("canaries"), FaultUpstream()
    with ExitStack() as stack:
        media = stack.enter_context(upstreams())
        stack.enter_context(faulty.in_thread())
        config = CONFIG.replace("logging: {format: json}", "logging: {format: json, level: debug}")
        config = config.replace("providers:\n", "accounts: {registration: open}\nproviders:\n", 1) + TEXT_PROVIDERS
        config = config.replace("jobs: {", 'media: {private_hosts: ["127.0.0.1"]}\njobs: {', 1)
        config = config.replace(
            "demo-chat: {free: true}",
            "demo-chat: {free: true}\n      demo-embedding: {free: true, operations: [embeddings]}",
        )
        for name, value in {
            "UPSTREAM_KEY": UPSTREAM_KEY,
            "FAULTY_URL": faulty.url,
            "PUBLIC_URL": "https://hub.example.com",
            "KLING_URL": media.kling.url,
            "KLING_ACCESS": KLING_ACCESS,
            "KLING_SECRET": KLING_SECRET,
            "ARK_URL": media.ark.url,
            "DASHSCOPE_URL": media.dashscope.url,
            "QWEN_URL": media.qwen.url,
            "MINIMAX_URL": media.minimax.url,
            "UP_URL": media.openai.url,
            "UP_KEY": KEY,
        }.items():
            config = config.replace(name, value)
        tour = Tour(stack.enter_context(running(home, config)), faulty, media)
        for what, secret in {"text": UPSTREAM_KEY, "media": KEY, "kling": KLING_SECRET}.items():
            tour.canaries.add(f"the {what} upstream's key", secret)
        tour.key = tour.canaries.add("a relay key", tour.server.new_key("tourist"))
        for part in (everything_is_said, every_failure, jobs_and_media, management, every_route_there_is, commands):
            part(tour)
        yield tour


def everything_is_said(tour: Tour) -> None:
    """Text in each dialect, whole and streamed, passed through and translated, named, and by ticket."""
    said, answer = tour.canaries.new("a prompt"), tour.canaries.new("an answer")
    tour.faulty.program("faulty-whole", answers.whole(completion("m", content=answer)))
    tour.faulty.program("faulty-stream", answers.streamed(chunk("m", content=answer), chunk("m", finish="stop"), DONE))
    models = {
        "demo-chat": (False, True),
        "demo-embedding": (False,),
        "faulty-whole": (False,),
        "faulty-stream": (True,),
    }
    name = tour.canaries.new("an Idempotency-Key")
    for path, body_of in BODIES.items():
        for model, ways in models.items():
            for stream in ways:
                where = path.format(model=model)
                if stream:
                    where = where.replace(":generateContent", ":streamGenerateContent?alt=sse")
                body = {"model": model, **({"stream": True} if stream else {}), **body_of(said)}
                tour.send("POST", where, body, {"idempotency-key": f"{name}{path}{model}{stream}"})
    ticket = tour.send("POST", "/api/relay/v1/stream-tickets", {"model": "faulty-stream", "messages": [_user(said)]})
    token = tour.canaries.add("a stream ticket", json.loads(ticket.body)["ticket"])
    followed = tour.send("GET", f"/api/relay/v1/stream-tickets/{token}")
    assert answer in followed.body.decode()
    tour.send("GET", f"/api/relay/v1/stream-tickets/{tour.canaries.new('a made up ticket')}")


def every_failure(tour: Tour) -> None:
    """Upstreams that repeat what they were told, our key included, in each way in which an upstream can fail."""
    said, upstream = tour.canaries.new("a prompt of a failure"), tour.faulty
    told = f"Incorrect API key provided: {UPSTREAM_KEY}. You said: {said}"
    good = answers.whole(completion("m"))
    failures = {
        "refused": refusals.refusal("400 Bad", error(told, type_="invalid_request_error", param=said)),
        "unauthorized": refusals.refusal("401 Unauthorized", error(told, type_="authentication_error")),
        "forbidden": refusals.refusal("403 Forbidden", told.encode()),
        "unknown": refusals.refusal("404 Not Found", f"<html>{told}".encode()),
        "busy": refusals.busy(error(told, type_="x"), "1"),
        "broken": refusals.refusal("500 Oops", error(told, type_="server_error", code=said)),
        "garbage": answers.whole(told.encode()),
        "half": answers.whole(b'{"choices": [{"message": {"content": "' + told.encode()),
        "reset": framing.reset_at(good, 10),
        "silent": pace.silence(),
        "cut": framing.chunk_cut_short(chunk("m", content=said)),
        "event": answers.streamed(chunk("m", content=said), b"data: " + error(told, type_="server_error") + b"\n\n"),
        "nonsense": answers.streamed(b"data: " + told.encode() + b"\n\n"),
    }
    for name, what in failures.items():
        upstream.program(f"faulty-{name}", what)
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
            body = {"model": f"faulty-{name}", "stream": name in ("cut", "event", "nonsense"), **BODIES[path](said)}
            tour.send("POST", path, body)
    for raw in (b"", b"{", said.encode(), json.dumps({"model": "demo-chat", "messages": said}).encode()):
        for path in BODIES:
            tour.send("POST", path.format(model="demo-chat"), raw)
    wrong = tour.canaries.new("a wrong key")
    for path in BODIES:
        tour.send("POST", path.format(model="demo-chat") + f"?key={wrong}", b"{}", {"x-api-key": wrong}, key=wrong)
    with contextlib.suppress(OSError):
        tour.send("POST", "/v1/chat/completions", said.encode(), {"content-encoding": "gzip"})


def jobs_and_media(tour: Tour) -> None:
    """Videos in each shape from each upstream, images and speech; media by address; results told to a secret address."""
    said, picture = tour.canaries.new("a film's prompt"), tour.canaries.new("a media address")
    blamed = tour.canaries.new("a prompt that an upstream repeats")
    with ear(tour.canaries.new("a callback address")) as good:
        addresses = [good, good.replace("/good", "/bad"), good.replace("127.0.0.1", "localhost")]
        for number, (maker, shape) in enumerate(
            (maker, shape) for maker in MAKERS.values() for shape in SHAPES.values()
        ):
            body: dict[str, object] = {"model": maker.model, "prompt": said, shape.length: maker.seconds}
            if shape.submit == "/api/video/submit":
                body["provider"] = maker.provider
            if not shape.form:
                where = {"callback_url": addresses[number % 3]}
                tour.job(
                    shape.submit.format(platform=maker.provider),
                    {**body, **where},
                    {"idempotency-key": f"{said}{number}"},
                )
        for maker in MAKERS.values():
            if maker.provider != "demo":
                tour.media.of(maker.provider).foretell(
                    Fate(queue_s=0.1, run_s=0.1, failure=("blocked", f"no: {blamed}"))
                )
            tour.job("/api/video/submit", {"model": maker.model, "prompt": blamed, "provider": maker.provider})
            image = f"https://media.example/{picture}.png?sign={picture}"
            for field_name in ("image", "image_url", "input_reference", "images"):
                value = [image] if field_name == "images" else image
                tour.send("POST", "/v1/videos", {"model": maker.model, "prompt": said, field_name: value})
        for model in ("demo-image", "gpt-image-2", "doubao-seedream-4-5-251128", "qwen-image-2.0", "kling-v2-1"):
            tour.send("POST", "/v1/images/generations", {"model": model, "prompt": said})
            tour.send(
                "POST", "/v1/images/generations", {"model": model, "prompt": said, "image": [f"https://x/{picture}"]}
            )
        for model in (
            "demo-speech",
            "gpt-4o-mini-tts",
            "tts-1",
            "qwen3-tts-flash",
            "MiniMax/speech-2.8-turbo",
            "demo-chat",
        ):
            tour.send(
                "POST", "/v1/audio/speech", {"model": model, "input": said, "voice": "alloy", "instructions": said}
            )
        tour.server.wait_until(lambda: set(states(tour)) <= set(ENDED), within_s=JOB_S)
        told = "SELECT count(*) AS n FROM webhooks WHERE attempts = 0"
        tour.server.wait_until(lambda: tour.server.rows(told) == [{"n": 0}], within_s=JOB_S)
    assert set(states(tour)) == {"succeeded", "failed"}
    for job in tour.jobs:
        shown = tour.send("GET", f"/v1/videos/{job}")
        link = json.loads(tour.send("GET", f"/api/video/status?jobId={job}").body)["data"].get("resultUrl")
        assert shown.status == 200
        if link:
            tour.canaries.add("a link's signature", link.partition("sign=")[2])
            tour.send("GET", link.partition("hub.example.com")[2])
            tour.send("GET", link.partition("hub.example.com")[2] + "0")
    tour.send("POST", f"/files/callbacks/{tour.jobs[0]}/{tour.canaries.new('a callback token')}", {"said": said})


def states(tour: Tour) -> list[str]:
    return [str(row["state"]) for row in tour.server.rows("SELECT state FROM jobs")]


def management(tour: Tour) -> None:
    """Passwords, tokens, cookies, keys and codes, right and wrong."""
    new, keep = tour.canaries.new, tour.canaries.add
    api, password = Api(tour.server.url), new("a password")
    token = keep("the token of the first admin", setup_token(tour.server))
    api.post(
        f"{PATH}/setup", {"token": new("a wrong setup token"), "name": "root", "password": new("another password")}
    )
    assert api.post(f"{PATH}/setup", {"token": token, "name": "root", "password": password}).status in (200, 201)
    assert api.post(f"{PATH}/session", {"name": "root", "password": password}).status in (200, 201)
    api.call("POST", f"{PATH}/session", {"name": "root", "password": new("a wrong password")})
    assert api.cookie is not None
    assert api.csrf is not None
    keep("a session", api.cookie)
    keep("a CSRF token", api.csrf)
    changed = new("a changed password")
    assert api.post(f"{PATH}/password", {"current": password, "password": changed}).status == 200
    assert api.post(f"{PATH}/session", {"name": "root", "password": changed}).status in (200, 201)
    keep("a second session", str(api.cookie))
    made = api.post(f"{PATH}/admin-keys", {"name": "ci", "role": "admin"}).data
    program = Api(tour.server.url, keep("an admin key", made["secret"]))
    assert (
        program.post(f"{PATH}/people", {"name": "bob", "password": new("bob's password"), "role": "user"}).status < 300
    )
    invite = program.post(f"{PATH}/invites", {"role": "user"}).data
    keep("an invite", next(value for name, value in invite.items() if name in ("token", "secret", "invite")))
    signed_up = {"name": "eve", "password": new("eve's password")}
    api.post(f"{PATH}/registration", {**signed_up, "invite": new("a made up invite")})
    key = program.post(f"{PATH}/keys", {"name": "second"}).data
    keep("a second relay key", key["secret"])
    rotated = program.post(f"{PATH}/keys/{key['id']}/rotation", {"overlap_s": 60}).data
    keep("a rotated relay key", rotated["secret"])
    keep("a webhook secret", program.get(f"{PATH}/keys/{key['id']}/webhook-secret").data["secret"])
    batch = program.post(f"{PATH}/code-batches", {"name": "spring", "units": 5, "codes": 3}).data
    codes = [keep("a redemption code", code) for code in batch["secrets" if "secrets" in batch else "codes"]]
    for code in (codes[0], codes[0], new("a made up code")):
        tour.send("POST", "/api/user/redemption", {"code": code})
    api.post(f"{PATH}/redemptions", {"code": codes[1]})
    keep("the vault's key", (KeyFile.of(tour.server.home / "hub.db").read() or ())[0].secret.hex())


def every_route_there_is(tour: Tour) -> None:
    """Each route gets secrets where it expects none: in its path, its query, unknown fields, fields of other types, and
    headers."""
    stray = tour.canaries.new("a stray secret")
    headers = {
        "cookie": f"relayhub_session={stray}",
        "x-csrf-token": stray,
        "user-agent": stray,
        "origin": f"https://{stray}",
    }
    for method, path, fields in routes():
        where = path.replace("{", "").replace("}", "") if "{" not in path else _filled(path, stray)
        body = {**{name: [stray] for name in fields}, stray: stray}
        for key in (tour.key, stray):
            tour.send(method, f"{where}?token={stray}&{stray}=1", None if method == "GET" else body, headers, key=key)
            tour.send(method, where, None if method == "GET" else f'{{"{stray}": '.encode(), key=key)


def _filled(path: str, text: str) -> str:
    """An action behind a name stays what it is."""
    head, _, rest = path.partition("{")
    _, _, tail = rest.partition("}")
    return head + text + (_filled(tail, text) if "{" in tail else tail)


def routes() -> list[tuple[str, str, list[str]]]:
    """Method, path, known fields: of the whole server."""
    app = web.Application()
    for module in pkgutil.iter_modules(ingress.__path__):
        add = getattr(import_module(f"{ingress.__name__}.{module.name}"), "add_routes", None)
        if add is not None and len(inspect.signature(add).parameters) == 2:
            add(app, "")
    found = [
        (route.method.replace("*", "POST"), route.resource.canonical, [])
        for route in app.router.routes()
        if route.resource is not None
    ]
    found += [(one.method, one.path, [*(one.takes.model_fields if one.takes else ())]) for one in OPERATIONS]
    found += [(one.method, PATH + one.path, [*one.takes.model_fields]) for one in ENDPOINTS]
    return [*found, ("GET", "/metrics", []), ("GET", "/nothing/{here}", [])]


COMMANDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "serve": (),
    "reload": (),
    "init": (),
    "validate": (("validate",),),
    "config": (("config", "show"),),
    "models": (("models", "list"),),
    "accounts": (("accounts", "list", "--json"), ("accounts", "show", "default")),
    "keys": (("keys", "list", "--json"), ("keys", "show", "tourist")),
    "codes": (("codes", "list", "--json"),),
    "admin-keys": (("admin-keys", "list", "--json"),),
    "people": (("people", "list", "--json"), ("people", "sessions", "root", "--json")),
    "invites": (("invites", "list", "--json"),),
    "jobs": (("jobs", "list", "--json", "--limit", "1000"),),
    "usage": (("usage", "--json"), ("usage", "--rows", "--csv")),
    "ledger": (("ledger", "list", "--json", "--limit", "10000"), ("ledger", "check")),
    "prices": (),
    "audit": (("audit", "list", "--json", "--limit", "1000"), ("audit", "check")),
    "explain": (("explain", "--key", "tourist", "--model", "faulty-x"),),
    "providers": (("providers", "list", "--json"), ("providers", "show", "faulty")),
    "plugins": (("plugins", "list"),),
    "backup": (("backup", "copy.db", "--force"),),
    "restore": (("restore", "copy.db", "--check"),),
    "vault": (("vault", "status"), ("vault", "rotate")),
    "x": (),
}
"""What of each command only shows, or is proved to show nothing it should not."""


def commands(tour: Tour) -> None:
    for calls in COMMANDS.values():
        for call in calls:
            tour.command(*(str(tour.server.home / "copy.db") if word == "copy.db" else word for word in call))
    for job in tour.jobs[:3]:
        tour.command("jobs", "show", job)
    tour.command("people", "password", "bob", "--password-stdin", given=tour.canaries.new("a typed password") + "\n")
    wrong = tour.canaries.new("a mistyped argument")
    tour.command("codes", "create", "x", wrong)
    for key in KeyFile.of(tour.server.home / "hub.db").read() or ():
        tour.canaries.add("the vault's key", key.secret.hex())


def test_every_command_is_part_of_the_tour() -> None:
    assert set(COMMANDS) >= set(SUBCOMMANDS)


def test_nothing_of_it_is_in_the_log(tour: Tour) -> None:
    log = tour.server.log()
    assert "call.finished" in log
    assert "webhook.failed" in log
    assert [line for line in log.splitlines() if tour.canaries.found_in(line.encode())] == []


def test_nothing_of_it_is_kept_readable(tour: Tour) -> None:
    found = {
        (place, what)
        for place, content in places_of(tour.server.home)
        if place != "hub.db.key"
        for what in tour.canaries.found_in(content)
    }
    assert found == set()


def test_the_search_would_find_it(tour: Tour) -> None:
    """The names of things are kept: in a column, in the file, and in the log."""
    names = Canaries({"tourist_is_a_name": "a key's name"})
    tour.server.cli("keys", "create", "tourist_is_a_name")
    places = {place for place, content in places_of(tour.server.home) if names.found_in(content)}
    assert {"keys.name", "audit.after"} <= places
    assert places & {"hub.db", "hub.db-wal"}
    assert names.found_in(b"AAAA" + b"dG91cmlzdF9pc19hX25hbWU" + b"AAAA") == {"a key's name"}
    sealed = "SELECT (SELECT count(*) FROM named_calls WHERE sealed IS NOT NULL) + (SELECT count(*) FROM webhooks) AS n"
    assert int(str(tour.server.rows(sealed)[0]["n"])) > 10, "there is something to be found"


def test_no_answer_shows_what_is_the_hubs_own(tour: Tour) -> None:
    """Clients hear their own words again, but no key of an upstream and nothing of the vault."""
    hidden = [text for text, what in tour.canaries.of.items() if "upstream's key" in what or "vault" in what]
    assert len(hidden) >= 4
    assert len(tour.answered) > 300
    assert [one for one in tour.answered if tour.canaries.found_in(one.body, hidden)] == []


def test_no_error_repeats_a_credential(tour: Tour) -> None:
    """Not even the one that was sent with it."""
    credentials = [
        text
        for text, what in tour.canaries.of.items()
        if any(word in what for word in ("relay key", "admin key", "password", "session", "wrong key", "setup", "code"))
    ]
    shown = [one for one in tour.answered if one.status >= 400 and tour.canaries.found_in(one.body, credentials)]
    assert shown == []


def test_no_command_prints_any_of_it(tour: Tour) -> None:
    arguments = tour.canaries.of.keys() - {t for t, what in tour.canaries.of.items() if what == "a mistyped argument"}
    assert [(name, found) for name, text in tour.printed if (found := tour.canaries.found_in(text, arguments))] == []


def test_everything_was_really_done(tour: Tour) -> None:
    """A tour that was refused at the door would find nothing."""
    rows = tour.server.rows("SELECT operation, outcome, count(*) AS n FROM usage GROUP BY 1, 2")
    done = {(row["operation"], row["outcome"]) for row in rows}
    assert {("chat", "completed"), ("chat", "upstream_error"), ("video", "completed")} <= done
    assert {("image", "completed"), ("speech", "completed"), ("embeddings", "completed")} <= done
    assert tour.server.cli_json("ledger", "check") == {"exact": True, "violations": []}


def test_the_config_is_where_it_was(tour: Tour) -> None:
    """The one file that holds upstreams' keys; nothing copied it."""
    assert UPSTREAM_KEY in (tour.server.home / "relayhub.yaml").read_text()
    assert [path.name for path in Path(tour.server.home).rglob("*.yaml")] == ["relayhub.yaml"]
