"""The messages of a request: checked as the real server would, and what the demo takes from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from relayhub_demo.wire import invalid, missing, wrong_type, wrong_value

Message: TypeAlias = Mapping[str, object]

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
PARTS = ("text", "image_url", "input_audio", "file", "refusal")


def messages_of(body: Mapping[str, object]) -> Sequence[Message]:
    """Raises ``Refusal``."""
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects")
    if not messages:
        raise invalid("messages", "Invalid 'messages': empty array. Expected at least one message.", "empty_array")
    for index, message in enumerate(messages):
        _check(message, f"messages[{index}]")
    _check_tool_turns(messages)
    return messages


def text_of(message: Message) -> str:
    """What is said in it; parts that are no text are named."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text") or f"[{part.get('type')}]") for part in content)
    return content if isinstance(content, str) else ""


def last_said(messages: Sequence[Message]) -> str:
    return next((text_of(message) for message in reversed(messages) if message.get("role") == "user"), "")


def tool_results(messages: Sequence[Message]) -> list[str]:
    """What tools returned after the last assistant turn."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        found.insert(0, text_of(message))
    return found


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(message: object, path: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(path, "an object")
    role = message.get("role")
    if role not in ROLES:
        raise wrong_value(f"{path}.role", role, ROLES)
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{path}.tool_call_id")
    _check_calls(message.get("tool_calls"), f"{path}.tool_calls")
    spoke = any(message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio"))
    if message.get("content") is None and role in ("assistant", "function") and (spoke or role == "function"):
        return
    _check_content(message.get("content"), f"{path}.content")


def _check_content(content: object, path: str) -> None:
    if content is None:
        raise invalid(path, f"Invalid value for '{path}': expected a string, got null.", "invalid_type")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(path, "a string or an array of content parts")
    if not content:
        raise invalid(path, f"Invalid '{path}': empty array.", "empty_array")
    for index, part in enumerate(content):
        _check_part(part, f"{path}[{index}]")


def _check_part(part: object, path: str) -> None:
    if not isinstance(part, dict):
        raise wrong_type(path, "an object")
    kind = part.get("type")
    if kind not in PARTS:
        raise wrong_value(f"{path}.type", kind, PARTS)
    if kind == "text" and not isinstance(part.get("text"), str):
        raise missing(f"{path}.text")
    image = part.get("image_url")
    if kind == "image_url" and not (isinstance(image, dict) and isinstance(image.get("url"), str)):
        raise missing(f"{path}.image_url.url")


def _check_calls(calls: object, path: str) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise wrong_type(path, "an array of objects")
    for index, call in enumerate(calls):
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise missing(f"{path}[{index}].id")
        function = call.get("function") if call.get("type") == "function" else {"name": "", "arguments": ""}
        for name in ("name", "arguments"):
            if not isinstance(function, dict) or not isinstance(function.get(name), str):
                raise missing(f"{path}[{index}].function.{name}")


def _check_tool_turns(messages: Sequence[Message]) -> None:
    """Each call is answered right after the turn that made it, and nothing else is."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                raise invalid(f"messages[{index}].role", f"Invalid parameter: {text}")
            open_calls.discard(str(message["tool_call_id"]))
            continue
        _check_answered(open_calls, index)
        calls = message.get("tool_calls")
        open_calls = {call["id"] for call in calls} if isinstance(calls, list) else set()
    _check_answered(open_calls, len(messages))


def _check_answered(open_calls: set[str], index: int) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
        raise invalid(f"messages[{index - 1}]", f"{text} Missing: {', '.join(sorted(open_calls))}.")
