"""What must never be shown, guessed, imported or changed unseen."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relayhub.testing.faults import FaultUpstream, answers, framing, pace, refusals
from tests.faults.asking import CHAT, Answer, ask, chat_body
from tests.faults.bench import UPSTREAM_KEY, Bench, config, provider
from tests.faults.ledger import command, new_key
from tests.support.openai_wire import DONE, chunk, completion, error
from tests.support.server import cli, environment, running

ROOT = Path(__file__).parents[2]
GOOD = answers.whole(completion("m"))
PROMPT = "canary-prompt-7f3a"
ANSWER = "canary-answer-9c1e"
INSIDE = re.compile(rb"Traceback|File \"|\.py\b|sqlite|SELECT |127\.0\.0\.1|aiohttp|relayhub/|/tmp/|hub\.db", re.I)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def failures(bench: Bench) -> Iterator[Answer]:
    """One of every kind of failure that a client can meet."""
    upstream = bench.upstream
    upstream.program("reset", framing.reset_at(GOOD, 10))
    upstream.program("silent", pace.silence())
    upstream.program("garbage", answers.whole(b"<html>"))
    upstream.program("busy", refusals.busy(error("busy", type_="x"), "1"))
    upstream.program("refusing", refusals.refusal("400 Bad", error("no", type_="invalid_request_error")))
    upstream.program("broken", refusals.refusal("500 Oops", error("at 10.0.0.1", type_="server_error")))
    upstream.program("cut", framing.chunk_cut_short(chunk("cut", content="x")))
    for model in ("reset", "silent", "garbage", "busy", "refusing", "broken"):
        yield bench.chat(model)
        yield bench.chat(model, stream=True)
    yield bench.chat("cut", stream=True)
    url, auth = bench.hub.url, bench.auth
    for body in (b"", b"{", b"[]", chat_body(""), chat_body("m", messages="no")):
        yield ask(url, "POST", CHAT, body, auth)
    yield ask(url, "POST", CHAT, chat_body("m"), {"authorization": "Bearer sk_live_wrong"})
    yield ask(url, "POST", CHAT, chat_body("m"), {**auth, "content-encoding": "gzip"})
    yield ask(url, "GET", CHAT, None, auth)
    for path in ("/", "/v1/nothing", "/api/nothing", "/v1/models/nothing", "/nothing/v1/models"):
        yield ask(url, "GET", path, None, auth)


@pytest.mark.fault("S13", "every kind of error, one after the other")
def test_no_error_shows_the_inside(bench: Bench) -> None:
    """No stack trace, file, address, statement or key in any of them; each has a code."""
    for answer in failures(bench):
        assert not INSIDE.search(answer.body), answer
        assert UPSTREAM_KEY.encode() not in answer.body
        assert bench.key.encode() not in answer.body
        assert answer.status >= 400 or not answer.done


@pytest.mark.fault("L18", "prompts, answers and keys, in good calls and broken ones")
def test_no_prompt_and_no_key_is_logged_or_kept(bench: Bench) -> None:
    """None of them is in the log or in the database."""
    bench.upstream.program("whole", answers.whole(completion("whole", content=ANSWER)))
    bench.upstream.program("stream", answers.streamed(chunk("stream", content=ANSWER), chunk("s", finish="stop"), DONE))
    bench.upstream.program("cut-2", framing.chunk_cut_short(chunk("cut-2", content=ANSWER)))
    said = [{"role": "user", "content": PROMPT}]
    assert ANSWER in bench.chat("whole", messages=said).body.decode()
    assert ANSWER in bench.chat("stream", messages=said, stream=True).body.decode()
    assert ANSWER in bench.chat("cut-2", messages=said, stream=True).body.decode()
    ask(bench.hub.url, "GET", f"/v1/models?key={bench.key}")
    bench.hub.last_usage("cut-2")
    kept = [bench.hub.log().encode(), *(file.read_bytes() for file in bench.hub.home.glob("hub.db*") if file.is_file())]
    for secret in (PROMPT, ANSWER, bench.key, UPSTREAM_KEY):
        assert all(secret.encode() not in text for text in kept), secret


@pytest.mark.fault("S07", "keys that are wrong in one character, in their check digits, or made up")
def test_a_wrong_key_is_refused(bench: Bench) -> None:
    """401 for each, with the same words."""
    wrong = [
        bench.key[:-1] + ("a" if bench.key[-1] != "a" else "b"),
        bench.key[:12] + "A" + bench.key[13:],
        "sk_live_" + "A" * 38,
    ]
    wrong += [bench.key + "x", bench.key.upper(), bench.key[:-1], "demo", "root", "123456"]
    seen = {bench_error(bench, key) for key in wrong if key != bench.key}
    assert len(seen) == 1


def bench_error(bench: Bench, key: str) -> tuple[int, object]:
    answer = ask(bench.hub.url, "GET", "/api/relay/v1/models", None, {"authorization": f"Bearer {key}"})
    return answer.status, answer.error["message"]


@pytest.mark.fault("S01", "a first start with a config, a first start without one")
def test_there_is_no_key_that_anybody_knows(home: Path) -> None:
    """With a config nobody is let in before a key is made; without one the key is fresh and the server on loopback only."""
    with running(home, config({"demo": {"models": {"demo-chat": {"free": True}}}})) as hub:
        tried = ["demo", "admin", "root", "123456", "sk-1234", ""]
        statuses = [ask(hub.url, "POST", CHAT, chat_body("demo-chat"), {"x-api-key": key}).status for key in tried]
        assert statuses == [401] * len(tried)
    (home / "relayhub.yaml").unlink()
    said = cli(home, "serve", "--host", "0.0.0.0", "--port", "0", env=environment(home), check=False)
    assert "loopback" in said


@pytest.mark.fault("S10", "extra fields such as `quota`, `is_admin` and `user_id` in a call")
def test_extra_fields_change_nobodys_rights(bench: Bench) -> None:
    """They are data for the upstream, nothing else: the key's quota and the books are as before."""
    bench.upstream.program("extra", GOOD)
    before = bench.hub.rows("SELECT limit_nano FROM keys")
    answer = bench.chat("extra", quota=10**12, is_admin=True, user_id="other", account="other", key_id="other")
    assert answer.status == 200
    assert bench.hub.rows("SELECT limit_nano FROM keys") == before
    assert len({row["account_id"] for row in bench.hub.rows("SELECT account_id FROM usage")}) == 1


@pytest.mark.fault("S14", "the lock files, and files that run code at each start of Python")
@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_dependency_is_pinned_with_its_hash(name: str) -> None:
    """Each line pins one version, each with a hash; nothing comes from anywhere else."""
    entries = re.split(r"\n(?=[a-zA-Z0-9])", re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / name).read_text()).strip())
    assert len(entries) > 20
    assert [entry.split()[0] for entry in entries if not re.match(r"[\w.\[\]-]+==\S+", entry)] == []
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.fault("S15", "`plugins.allow` is set and another plugin is there")
def test_a_plugin_that_is_not_allowed_is_not_even_imported(home: Path) -> None:
    """Its file is not run."""
    (home / "plugins").mkdir()
    (home / "plugins" / "other.py").write_text("import pathlib\npathlib.Path('imported').write_text('yes')\n")
    providers = {"demo": {"models": {"demo-chat": {"free": True}}}}
    (home / "relayhub.yaml").write_text(config(providers, plugins={"dirs": ["plugins"], "allow": ["demo"]}))
    cli(home, "validate", env=environment(home))
    assert not (home / "imported").exists()
    (home / "relayhub.yaml").write_text(config(providers, plugins={"dirs": ["plugins"]}))
    cli(home, "validate", env=environment(home), check=False)
    assert (home / "imported").exists(), "otherwise this test shows nothing"


ALTERATIONS = {
    "a charge is lowered": "UPDATE usage SET cost_nano = cost_nano - 1",
    "a balance is raised": "UPDATE accounts SET total_nano = total_nano + 1",
    "use is forgiven": "UPDATE keys SET used_nano = used_nano - 1",
    "a row is deleted": "DELETE FROM ledger WHERE rowid = (SELECT max(rowid) FROM ledger)",
    "a row is altered": "UPDATE ledger SET amount_nano = amount_nano - 1 WHERE amount_nano <> 0",
}


@pytest.fixture(scope="module")
def altered_home(upstream: FaultUpstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with some calls in it, closed."""
    folder = tmp_path_factory.mktemp("altered")
    upstream.program("booked", GOOD)
    with running(folder, config({"up": provider(upstream.url)})) as hub:
        headers = {"authorization": f"Bearer {new_key(hub, 'k')}"}
        for _ in range(3):
            assert ask(hub.url, "POST", CHAT, chat_body("booked"), headers).status == 200
    return folder


@pytest.mark.fault("S17", "a charge, a balance or a row of the ledger is altered or deleted by hand")
@pytest.mark.parametrize("name", ALTERATIONS)
def test_the_ledger_check_finds_what_was_altered(altered_home: Path, tmp_path: Path, name: str) -> None:
    """`relayhub ledger check` says what does not add up; exit code 1."""
    with (
        closing(sqlite3.connect(altered_home / "hub.db")) as source,
        closing(sqlite3.connect(tmp_path / "hub.db")) as copy,
    ):
        source.backup(copy)
        with copy:
            for (guard,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                copy.execute(f"DROP TRIGGER {guard}")  # whoever has the file can do that too
            copy.execute(ALTERATIONS[name])
    (tmp_path / "relayhub.yaml").write_text(config({}))
    assert command(tmp_path, "ledger", "check", exit_code=1)["violations"]
