"""``/openapi.json`` and the real server agree: whatever schemathesis makes of the document is answered as it says.

The requests are the same in each run. ``CONFORMANCE_EXAMPLES=200`` is the long form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from relayhub.web.admin.endpoint import PATH
from relayhub.web.admin.routes import ENDPOINTS
from relayhub.web.client_api import OPERATIONS
from relayhub.web.openapi import document
from tests.support.admin import Api, admin_key
from tests.support.server import Server, running

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "6"))
CALL_S = 30.0

CONFIG = """
store: {path: hub.db, durability: process}
logging: {format: json}
accounts: {registration: open}
jobs: {default_video_model: demo-video}
providers:
  demo:
    video_queue_s: 0.1
    video_run_s: 0.3
    models:
      demo-chat: {price: {call: "0.01"}}
      demo-video: {operations: [video], price: {video: {"*": "0.01"}}}
  slow:
    type: demo
    video_run_s: 3600
    models:
      slow-video: {upstream: demo-video, operations: [video], price: {video: {"*": "0.01"}}}
  off: {type: demo, enabled: false}
"""
PASSWORD = "correct horse battery staple"

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

Operation = APIOperation[Any, Any, Any, Any]


def operations() -> list[Operation]:
    described = schemathesis.openapi.from_dict(document(ENDPOINTS, OPERATIONS, ""))
    found = []
    for result in described.get_all_operations():
        assert isinstance(result, Ok), result
        found.append(result.ok())
    return found


EVERY = operations()


CREDENTIALS = {"authorization", "x-api-key", "x-csrf-token", "cookie"}


class Hub:
    """The server with somebody on each of its sides."""

    def __init__(self, server: Server, session: requests.Session) -> None:
        self.server = server
        self._session = session
        self.program = admin_key(server)
        self._relay_key = server.new_key("client")
        self._made = 0

    def send(self, case: Case) -> Any:
        """The credential is ours, whatever was made up for it."""
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() not in CREDENTIALS}
        case.cookies = {}
        return case.call(
            base_url=self.server.url, session=self._session, headers=self._credential(case.operation), timeout=CALL_S
        )

    def _credential(self, operation: Operation) -> dict[str, str]:
        if not operation.definition.raw["security"]:
            return {}
        key = self.program.credential if operation.path.startswith(PATH) else self._relay_key
        return {"authorization": f"Bearer {key}"}

    def new(self, group: str) -> str:
        """The id of something that is really there."""
        match group:
            case "accounts":
                return self._post(group, name=self._name())
            case "keys":
                return self._post(group, name=self._name())
            case "code-batches":
                return self._post(group, name=self._name(), units=5, codes=2)
            case "invites":
                return self._post(group, role="user")
            case "people":
                return self._post(group, name=self._name(), password=PASSWORD, role="user")
            case "admin-keys":
                return self._post(group, name=self._name(), role="viewer")
            case "jobs":
                submit = {"prompt": "a cat", "provider": "slow", "model": "slow-video", "seconds": 4}
                return str(Api(self.server.url, self._relay_key).post("/api/video/submit", submit).data["jobId"])
            case "providers":
                return "demo"
            case _:
                assert group == "sessions", f"tell this test how to make one of the {group}"
                return "sess_none"  # programs have none

    def _name(self) -> str:
        self._made += 1
        return f"thing-{self._made}"

    def _post(self, group: str, **body: object) -> str:
        return str(self.program.post(f"{PATH}/{group}", body).data["id"])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running(tmp_path_factory.mktemp("openapi"), CONFIG) as server, requests.Session() as session:
        yield Hub(server, session)


def not_what_the_document_allows(ctx: CheckContext, response: Response, case: Case) -> None:
    """The schema of a request and the check of it are one: what the first allows, the second does not refuse."""
    said = response.json().get("message", "") if response.status_code == 400 else ""
    assert not said.startswith("The request is not valid"), said


def cases(operation: Operation, mode: GenerationMode) -> Any:
    return given(case=operation.as_strategy(generation_mode=mode))


bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.label)
def test_what_the_document_allows_is_answered_as_it_says(hub: Hub, operation: Operation) -> None:
    @bounded
    @cases(operation, GenerationMode.POSITIVE)
    def check(case: Case) -> None:
        case.validate_response(hub.send(case), checks=[*CHECKS, not_what_the_document_allows])

    check()


@pytest.mark.parametrize("operation", EVERY, ids=lambda operation: operation.label)
def test_what_the_document_forbids_is_refused_as_it_says(hub: Hub, operation: Operation) -> None:
    if not (operation.query or operation.body or operation.path_parameters):
        return  # there is nothing to get wrong

    @bounded
    @cases(operation, GenerationMode.NEGATIVE)
    def check(case: Case) -> None:
        case.validate_response(hub.send(case), checks=[*CHECKS, negative_data_rejection])

    check()


@pytest.mark.parametrize(
    "operation", [one for one in EVERY if "{id}" in one.path], ids=lambda operation: operation.label
)
def test_requests_about_what_is_there_are_answered_as_described(hub: Hub, operation: Operation) -> None:
    real = hub.new(operation.path.removeprefix(PATH).split("/")[1])

    @bounded
    @cases(operation, GenerationMode.POSITIVE)
    def check(case: Case) -> None:
        case.path_parameters = {"id": real}
        case.validate_response(hub.send(case), checks=[*CHECKS, not_what_the_document_allows])

    check()


@pytest.mark.parametrize("path", sorted({one.path for one in EVERY}))
def test_a_method_that_is_not_described_is_a_405_that_names_the_others(hub: Hub, path: str) -> None:
    described = {one.method.upper() for one in EVERY if one.path == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - described:
        answer = hub.program.call(method, path.replace("{id}", "x"))
        assert answer.refused == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == described


def test_the_server_tells_the_document_that_was_checked(hub: Hub) -> None:
    assert Api(hub.server.url).get("/openapi.json").body == document(ENDPOINTS, OPERATIONS, "")
    assert Api(hub.server.url).get("/api/admin/openapi.json").body == document(ENDPOINTS, (), "")


def test_the_books_and_the_audit_log_are_whole_after_all_of_it(hub: Hub) -> None:
    """Runs last: tests of a file run in their order."""
    assert hub.program.get("/api/admin/ledger/check").data == {"exact": True, "violations": []}
    assert hub.program.get("/api/admin/audit/check").data["whole"]
    assert "request.failed" not in hub.server.log()
