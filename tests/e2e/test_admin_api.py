"""``/api/admin`` of the real server: who may do what, what is refused, and what is written down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from relayhub.types.role import Role
from relayhub.web.admin.endpoint import PATH
from relayhub.web.admin.routes import ENDPOINTS
from tests.support.admin import Answer, Api, admin_key, setup_token
from tests.support.server import Server, running

CONFIG = """
store: {path: hub.db}
logging: {level: info, format: json}
server: {cors_origins: ["*"]}
accounts: {registration: open}
providers:
  demo:
    models: {demo-chat: {price: {call: "0.01"}}}
"""
PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "an even longer one, with a comma"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("admin"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def root(server: Server) -> Api:
    """The first admin, made as the greeting says."""
    api = Api(server.url)
    made = api.post("/api/admin/setup", {"token": setup_token(server), "name": "Root", "password": PASSWORD})
    assert made.status == 201
    assert made.data["role"] == "admin"
    return api


@pytest.fixture(scope="module")
def program(server: Server) -> Api:
    return admin_key(server)


def signed_in(server: Server, name: str, password: str = PASSWORD) -> Api:
    api = Api(server.url)
    assert api.post("/api/admin/session", {"name": name, "password": password}).status == 201
    return api


def person(server: Server, program: Api, name: str, role: str) -> Api:
    program.post("/api/admin/people", {"name": name, "password": PASSWORD, "role": role})
    return signed_in(server, name)


def test_the_setup_token_works_once(server: Server, root: Api) -> None:
    again = {"token": setup_token(server), "name": "second", "password": PASSWORD}
    assert Api(server.url).post("/api/admin/setup", again).refused == (403, "invalid_invite")
    assert Api(server.url).get("/api/admin/status").data == {"registration": "open", "needs_setup": False}


def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(server: Server, root: Api) -> None:
    answer = Api(server.url).post("/api/admin/session", {"name": "root", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/api/admin"} <= set(re.split("; ", cookie))
    assert "Domain" not in cookie


def test_a_change_by_cookie_needs_the_csrf_token_and_our_own_page(server: Server, root: Api) -> None:
    grown = signed_in(server, "root")
    wrong = Api(server.url, cookie=grown.cookie)
    assert wrong.post("/api/admin/accounts", {"name": "x"}).refused == (403, "csrf")
    wrong.csrf = "0" * 64
    assert wrong.post("/api/admin/accounts", {"name": "x"}).refused == (403, "csrf")
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        refused = grown.call("POST", "/api/admin/accounts", {"name": "x"}, headers)
        assert refused.refused == (403, "wrong_origin")
    own = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert grown.call("POST", "/api/admin/accounts", {"name": "by-cookie"}, own).status == 201


def test_another_site_cannot_sign_anybody_in(server: Server, root: Api) -> None:
    body = {"name": "root", "password": PASSWORD}
    headers = {"origin": "https://evil.example"}
    assert Api(server.url).call("POST", "/api/admin/session", body, headers).refused == (403, "wrong_origin")
    form = {"content-type": "text/plain"}
    sent = Api(server.url).call("POST", "/api/admin/session", json.dumps(body).encode(), form)
    assert sent.refused == (415, "json_needed")


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_page_of_another_origin_gets_cors_headers(server: Server, program: Api, method: str) -> None:
    headers = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    for path in ("/api/admin/accounts", "/api/admin/session", "/api/admin/openapi.json", "/api/admin/no-such"):
        answer = program.call(method, path, {} if method == "POST" else None, headers)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["cache-control"] == "no-store"
    assert program.call("OPTIONS", "/api/admin/accounts", None, headers).status == 405


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.roles], ids=lambda e: f"{e.method} {e.path}")
def test_nothing_opens_without_sign_in_or_with_a_relay_key(server: Server, relay_key: str, endpoint: object) -> None:
    method, path = getattr(endpoint, "method", ""), PATH + getattr(endpoint, "path", "").replace("{id}", "x")
    assert Api(server.url).call(method, path).refused == (401, "signed_out")
    assert Api(server.url, relay_key).call(method, path).refused == (401, "invalid_admin_key")
    assert Api(server.url, cookie="ss_nonsense").call(method, path).refused == (401, "signed_out")
    by_other_header = Api(server.url, headers={"x-api-key": relay_key}).call(method, path)
    assert by_other_header.refused == (401, "signed_out")


@pytest.fixture(scope="module")
def relay_key(server: Server) -> str:
    return server.new_key("relay")


def test_an_admin_key_calls_no_model(server: Server, program: Api) -> None:
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "hi"}]}
    assert program.post("/v1/chat/completions", body).status == 401


@pytest.mark.parametrize("role", ["operator", "viewer", "user"])
def test_each_role_is_held_to_its_operations(server: Server, root: Api, program: Api, role: str) -> None:
    api = person(server, program, f"role-{role}", role)
    for endpoint in ENDPOINTS:
        if not endpoint.roles or endpoint.path in ("/session", "/sessions"):
            continue
        answer = api.call(endpoint.method, PATH + endpoint.path.replace("{id}", "x"), None)
        allowed = Role(role) in endpoint.roles
        assert (answer.refused == (403, "role_not_sufficient")) is not allowed, (endpoint.method, endpoint.path)


def test_a_revoked_or_expired_admin_key_opens_nothing(server: Server, root: Api) -> None:
    program = admin_key(server, "viewer", "short")
    assert program.get("/api/admin/accounts").status == 200
    assert program.post("/api/admin/accounts", {"name": "x"}).refused == (403, "role_not_sufficient")
    server.cli("admin-keys", "revoke", "short")
    assert program.get("/api/admin/accounts").refused == (401, "invalid_admin_key")
    late = root.post(
        "/api/admin/admin-keys", {"name": "late", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"}
    ).data["secret"]
    assert Api(server.url, late).get("/api/admin/accounts").refused == (401, "invalid_admin_key")


def test_a_user_sees_their_own_account_and_to_them_there_is_no_other(server: Server, program: Api) -> None:
    alice, bob = person(server, program, "alice", "user"), person(server, program, "bob", "user")
    own = alice.get("/api/admin/session").data["account_id"]
    foreign = bob.get("/api/admin/session").data["account_id"]
    foreign_key = bob.post("/api/admin/keys", {"name": "bobs"}).data["id"]
    mine = alice.post("/api/admin/keys", {"name": "alices", "quota": 100}).data
    assert mine["account_id"] == own

    assert [a["id"] for a in alice.get("/api/admin/accounts").data["items"]] == [own]
    assert [k["name"] for k in alice.get("/api/admin/keys").data["items"]] == ["alices"]
    pairs = [
        ("GET", "/accounts/{}", None),
        ("GET", "/keys/{}", None),
        ("PATCH", "/keys/{}", {"name": "n"}),
        ("DELETE", "/keys/{}", None),
    ]
    for method, path, body in pairs:
        known = foreign if "accounts" in path else foreign_key
        there = alice.call(method, f"/api/admin{path.format(known)}", body)
        nowhere = alice.call(method, f"/api/admin{path.format('nowhere')}", body)
        assert told(there, known) == told(nowhere, "nowhere")
        assert there.status == 404
    assert alice.post("/api/admin/keys", {"name": "k", "account_id": foreign}).status == 404
    assert alice.get(f"/api/admin/ledger?account_id={foreign}").data["items"] == []
    assert bob.get(f"/api/admin/keys/{foreign_key}").data["revoked_at"] is None
    for path in (f"/api/admin/accounts/{own}/grants", f"/api/admin/accounts/{own}/adjustments"):
        assert alice.post(path, {"units": 1, "reason": "mine"}).refused == (403, "role_not_sufficient")


def told(answer: Answer, name: str) -> tuple[int, str, str]:
    return answer.status, answer.body["code"], answer.body["message"].replace(name, "…")


def test_a_user_redeems_a_code_for_their_account(server: Server, program: Api) -> None:
    carol = person(server, program, "carol", "user")
    made = program.post("/api/admin/code-batches", {"name": "gift", "units": 250, "codes": 1, "prefix": "GIFT"}).data
    assert carol.post("/api/admin/redemptions", {"code": made["secrets"][0]}).data == {"added": 250, "total": 250}
    assert carol.post("/api/admin/redemptions", {"code": made["secrets"][0]}).refused == (400, "invalid_code")
    assert carol.get("/api/admin/accounts").data["items"][0]["remaining"] == 250


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/accounts", {"name": "a", "total_nano": 5}, "total_nano"),
        ("/accounts", {"name": 7}, "name"),
        ("/accounts", {"name": "a", "unlimited": "yes"}, "unlimited"),
        ("/accounts", {"name": "  "}, "name"),
        ("/keys", {"name": "k", "quota": -1}, "quota"),
        ("/keys", {"name": "k", "quota": 1.5}, "quota"),
        ("/keys", {"name": "k", "quota": 10**400}, "quota"),
        ("/keys", {"name": "k", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ("/keys", {"name": "k", "hash": "0" * 64}, "hash"),
        ("/people", {"name": "p", "password": PASSWORD, "role": "root"}, "role"),
        ("/code-batches", {"name": "c", "units": 1, "codes": 10**9}, "codes"),
        ("/code-batches", {"name": "c", "units": 1, "codes": 1, "prefix": "no-good"}, "prefix"),
        ("/admin-keys", {"name": "a", "role": "user"}, "role"),
    ],
)
def test_what_is_not_meant_is_refused(program: Api, path: str, body: dict[str, object], param: str) -> None:
    answer = program.post(f"/api/admin{path}", body)
    assert answer.status == 400
    assert answer.body["param"] == param


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1&limit=2", "?no=1", "?limit=x", "?after=" + "x" * 99])
def test_queries_are_checked_too(program: Api, query: str) -> None:
    assert program.get(f"/api/admin/keys{query}").status == 400


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"name": NaN}', b"[" * 5000, b"\xff\xfe"])
def test_a_body_that_is_no_object_is_a_400(program: Api, body: bytes) -> None:
    assert program.call("POST", "/api/admin/accounts", body).status == 400


def test_lists_come_in_pages(program: Api) -> None:
    for n in range(3):
        program.post("/api/admin/accounts", {"name": f"page-{n}"})
    seen: list[str] = []
    after = ""
    while True:
        data = program.get(f"/api/admin/accounts?limit=2{after}").data
        seen += [account["name"] for account in data["items"]]
        if data["next"] is None:
            break
        after = f"&after={data['next']}"
    assert len(seen) == len(set(seen)) >= 3
    assert {"page-0", "page-1", "page-2"} <= set(seen)


def test_money_is_granted_adjusted_and_never_below_zero(program: Api) -> None:
    account = program.post("/api/admin/accounts", {"name": "money"}).data["id"]
    base = f"/api/admin/accounts/{account}"
    assert program.post(f"{base}/grants", {"units": 100, "reason": "r"}).data["total"] == 100
    assert program.post(f"{base}/adjustments", {"units": -40, "reason": "r"}).data["total"] == 60
    assert program.post(f"{base}/adjustments", {"units": -61, "reason": "r"}).refused == (400, "adjustment_below_zero")
    assert program.post("/api/admin/accounts/acct_none/grants", {"units": 1, "reason": "r"}).status == 404
    rows = program.get(f"/api/admin/ledger?account_id={account}").data["items"]
    assert [(row["kind"], row["amount_nano"], row["actor"], row["reason"]) for row in rows] == [
        ("adjustment", -80_000, "admin-key:test-admin", "r"),
        ("grant", 200_000, "admin-key:test-admin", "r"),
    ]


def test_a_key_is_changed_field_by_field(program: Api) -> None:
    account = program.post("/api/admin/accounts", {"name": "terms"}).data["id"]
    new = {"name": "terms", "account_id": account, "quota": 10, "models": ["demo-chat"]}
    made = program.post("/api/admin/keys", new).data
    path = f"/api/admin/keys/{made['id']}"
    assert program.patch(path, {"quota": 20}).data["models"] == ["demo-chat"]
    lifted = program.patch(path, {"models": None, "expires_at": "2030-01-01T00:00:00Z"}).data
    assert (lifted["quota"], lifted["models"], lifted["expires_at"]) == (20, None, "2030-01-01T00:00:00Z")
    assert program.delete(path).data["revoked_at"]
    assert program.patch(path, {"quota": 30}).refused == (409, "key_revoked")


def test_sessions_are_listed_and_revoked(server: Server, program: Api) -> None:
    first, second = person(server, program, "dora", "viewer"), signed_in(server, "dora")
    listed = first.get("/api/admin/sessions").data["items"]
    assert sorted(session["current"] for session in listed) == [False, True]
    assert all(session["client"] == "127.0.0.1" for session in listed)
    other = next(session["id"] for session in listed if not session["current"])
    assert first.delete(f"/api/admin/sessions/{other}").status == 200
    assert second.get("/api/admin/session").refused == (401, "signed_out")
    stranger = person(server, program, "dan", "viewer")
    own = first.get("/api/admin/sessions").data["items"][0]["id"]
    assert stranger.delete(f"/api/admin/sessions/{own}").refused == (404, "session_not_found")
    third, token = signed_in(server, "dora"), first.cookie
    assert third.delete("/api/admin/sessions").data == {"ended": 2}
    assert Api(server.url, cookie=token).get("/api/admin/session").refused == (401, "signed_out")


def test_signing_out_ends_the_session_on_the_server_too(server: Server, program: Api) -> None:
    api = person(server, program, "emil", "viewer")
    token = api.cookie
    assert api.delete("/api/admin/session").status == 200
    assert api.cookie is None
    assert Api(server.url, cookie=token).get("/api/admin/session").refused == (401, "signed_out")


def test_a_new_password_ends_the_other_sessions(server: Server, program: Api) -> None:
    here, there = person(server, program, "fritz", "user"), signed_in(server, "fritz")
    change = {"current": "wrong wrong wrong", "password": OTHER_PASSWORD}
    assert here.post("/api/admin/password", change).refused == (403, "wrong_password")
    assert here.post("/api/admin/password", {**change, "current": PASSWORD}).status == 200
    assert here.get("/api/admin/session").status == 200
    assert there.get("/api/admin/session").refused == (401, "signed_out")
    old = Api(server.url).post("/api/admin/session", {"name": "fritz", "password": PASSWORD})
    assert old.refused == (401, "wrong_password")
    assert signed_in(server, "FRITZ ", OTHER_PASSWORD)


def test_a_person_who_is_disabled_is_out_at_once(server: Server, program: Api) -> None:
    api = person(server, program, "gus", "operator")
    gus = api.get("/api/admin/session").data["id"]
    assert program.patch(f"/api/admin/people/{gus}", {"disabled": True}).data["disabled_at"]
    assert api.get("/api/admin/session").refused == (401, "signed_out")
    answer = Api(server.url).post("/api/admin/session", {"name": "gus", "password": PASSWORD})
    unknown = Api(server.url).post("/api/admin/session", {"name": "nobody", "password": PASSWORD})
    assert told(answer, "gus") == told(unknown, "nobody") == (401, "wrong_password", answer.body["message"])


def test_the_last_admin_stays(server: Server, root: Api, program: Api) -> None:
    me = root.get("/api/admin/session").data["id"]
    for change in ({"role": "viewer"}, {"disabled": True}):
        assert program.patch(f"/api/admin/people/{me}", change).refused == (409, "last_admin")
    assert root.get("/api/admin/people").status == 200
    assert "last admin" in server.cli("people", "update", "root", "--disable", check=False)


def test_anybody_registers_as_a_user_with_nothing(server: Server) -> None:
    api = Api(server.url)
    made = api.post("/api/admin/registration", {"name": "hugo", "password": PASSWORD})
    assert (made.status, made.data["role"]) == (201, "user")
    assert api.get("/api/admin/accounts").data["items"][0]["total"] == 0
    again = Api(server.url).post("/api/admin/registration", {"name": "Hugo", "password": PASSWORD})
    assert again.refused == (409, "person_exists")
    with_role = {"name": "ida", "password": PASSWORD, "role": "admin"}
    assert Api(server.url).post("/api/admin/registration", with_role).status == 400


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "juliajuliajulia", "x" * 300])
def test_a_weak_password_is_refused(server: Server, password: str) -> None:
    made = Api(server.url).post("/api/admin/registration", {"name": "julia", "password": password})
    assert made.status == 400
    assert made.body["param"] == "password"


def test_every_change_is_in_the_audit_log_without_its_secrets(server: Server, root: Api, program: Api) -> None:
    account = program.post("/api/admin/accounts", {"name": "audited"}).data["id"]
    program.post(f"/api/admin/accounts/{account}/grants", {"units": 1, "reason": "r"})
    key = program.post("/api/admin/keys", {"name": "audited", "account_id": account}).data
    program.delete(f"/api/admin/keys/{key['id']}")
    codes = program.post("/api/admin/code-batches", {"name": "audited", "units": 1, "codes": 1}).data["secrets"]
    api = person(server, program, "audited", "viewer")
    api.post("/api/admin/password", {"current": PASSWORD, "password": OTHER_PASSWORD})
    program.patch(f"/api/admin/people/{api.get('/api/admin/session').data['id']}", {"role": "operator"})
    signed_in(server, "audited", OTHER_PASSWORD).delete("/api/admin/session")
    rows = program.get("/api/admin/audit?limit=1000").data["items"]
    actions = {row["action"] for row in rows}
    assert {
        "account.create",
        "account.grant",
        "key.create",
        "key.revoke",
        "admin_key.create",
        "person.create",
    } <= actions
    assert {"person.update", "person.password", "session.begin", "session.end", "code_batch.create"} <= actions
    created = next(row for row in rows if row["action"] == "key.create" and row["actor"] == "admin-key:test-admin")
    assert created["before"] is None
    assert re.fullmatch("[0-9a-f]{64}", created["after"]["hash"])
    assert created["request_id"].startswith("req_")
    assert created["client"] == "127.0.0.1"
    assert program.get("/api/admin/audit/check").data == {"whole": True, "first_broken": None}
    told_everything = json.dumps(rows)
    secrets = (PASSWORD, OTHER_PASSWORD, program.credential, root.cookie, key["secret"], codes[0], setup_token(server))
    for secret in (*secrets, "argon2"):
        assert secret is not None
        assert secret not in told_everything


def test_no_secret_is_in_the_database_or_the_log(server: Server, root: Api, program: Api, relay_key: str) -> None:
    made = program.post("/api/admin/code-batches", {"name": "canary", "units": 1, "codes": 1}).data["secrets"][0]
    files = [file for file in server.home.glob("hub.db*") if file.is_file()]
    kept = b"".join(file.read_bytes() for file in files) + server.log().encode()
    for secret in (
        PASSWORD,
        OTHER_PASSWORD,
        program.credential,
        root.cookie,
        root.csrf,
        relay_key,
        made,
        setup_token(server),
    ):
        assert secret is not None
        assert secret.encode() not in kept


def test_the_document_describes_every_operation(program: Api) -> None:
    document = program.get("/api/admin/openapi.json").body
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(endpoint.method, PATH + endpoint.path) for endpoint in ENDPOINTS}
    text = json.dumps(document)
    for reference in re.findall(r'"\$ref": "#/components/(\w+)/([^"]+)"', text):
        assert reference[1] in document["components"][reference[0]]


def test_accounts_and_keys_are_run_from_the_command_line_too(server: Server, program: Api) -> None:
    account = program.post("/api/admin/accounts", {"name": "cli"}).data["id"]
    program.post(f"/api/admin/accounts/{account}/grants", {"units": 300, "reason": "r"})
    server.cli("accounts", "adjust", "cli", "-100", "--reason", "oops")
    server.cli("accounts", "update", "cli", "--name", "renamed")
    listed = program.get(f"/api/admin/accounts/{account}").data
    assert (listed["name"], listed["total"]) == ("renamed", 200)
    program.post("/api/admin/keys", {"name": "cli", "account_id": account, "quota": 50})
    changed = server.cli_json("keys", "update", "cli", "--unlimited", "--expires", "2031-01-01")
    assert isinstance(changed, dict)
    assert (changed["quota"], changed["expires"]) == ("unlimited", "2031-01-01T00:00:00+00:00")
    rows = json.loads(server.cli("ledger", "list", "--account", "renamed", "--json"))
    assert [row["kind"] for row in rows] == ["adjustment", "grant"]
    rows = json.loads(server.cli("audit", "list", "--action", "key.update", "--json"))
    assert rows[0]["actor"].startswith("cli:")
    assert rows[0]["before"]["limit_nano"] == 50 * 2000


def test_codes_are_made_redeemed_and_voided_on_the_command_line(server: Server, program: Api) -> None:
    program.post("/api/admin/accounts", {"name": "cli-codes"})
    made = server.cli_json("codes", "create", "cli", "70", "--count", "2", "--prefix", "CLI")
    assert isinstance(made, dict)
    code = made["secrets"][0]
    assert server.cli_json("codes", "redeem", code, "--account", "cli-codes") == {"added": 70, "total": 70}
    assert "cannot be redeemed" in server.cli("codes", "redeem", code, "--account", "cli-codes", check=False)
    assert [row["uses_left"] for row in json.loads(server.cli("codes", "show", made["id"], "--json"))] == [0, 1]
    server.cli("codes", "void", made["id"])
    assert program.get(f"/api/admin/code-batches/{made['id']}").data["voided_at"]


def test_invites_sessions_and_providers_are_on_the_command_line_too(server: Server) -> None:
    invited = server.cli_json("invites", "create", "--role", "viewer")
    assert isinstance(invited, dict)
    new = {"name": "invited", "password": PASSWORD, "invite": invited["token"]}
    joined = Api(server.url).post("/api/admin/registration", new)
    assert joined.data["role"] == "viewer"
    assert len(json.loads(server.cli("people", "sessions", "invited", "--json"))) == 1
    assert server.cli_json("people", "sign-out", "invited") == {"ended": 1}
    assert server.cli_json("providers", "list")
    assert server.cli_json("audit", "check") == {"whole": True, "first_broken": None}


def test_a_person_is_made_on_the_command_line(server: Server) -> None:
    command = [sys.executable, "-m", "relayhub", "people", "create", "Zoe", "--role", "operator", "--password-stdin"]
    done = subprocess.run(
        command, cwd=server.home, env=server.env, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "Created zoe (operator).\n"), done.stderr
    assert signed_in(server, "zoe").get("/api/admin/session").data["role"] == "operator"
    assert "zoe" in server.cli("people", "list")


def test_guessing_passwords_is_slowed_down(server: Server, program: Api) -> None:
    person(server, program, "victim", "user")
    tries = [
        Api(server.url).post("/api/admin/session", {"name": "victim", "password": f"guess {n}"}) for n in range(12)
    ]
    statuses = [answer.status for answer in tries]
    assert statuses == sorted(statuses)
    assert (statuses[0], statuses[-1]) == (401, 429)
    assert int(tries[-1].headers["retry-after"]) > 0
    right = Api(server.url).post("/api/admin/session", {"name": "victim", "password": PASSWORD})
    assert right.status == 429, "not even the right one, or guessing would still pay"
