"""What a request may hold, and how the refusal of anything else is worded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages_dbapi.embedded.bodies import read_body
from messages_dbapi.embedded.refusals import Refusal

from .conftest import Service
from .contract import DOCUMENT, validator

MESSAGE = {"role": "user", "content": "x"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
FILE = {"type": "image_file", "image_file": {"file_id": "file_1"}}
TEXT = {"type": "text", "text": "x"}
PAIRS = {f"key {number}": "value" for number in range(16)}

# The body of create_message without what is right in it, then the param and code of the refusal.
BAD_MESSAGES: list[tuple[dict[str, Any], str, str]] = [
    ({"role": "system"}, "role", "invalid_value"),
    ({"role": 1}, "role", "invalid_type"),
    ({"role": None}, "role", "invalid_type"),
    ({"content": None}, "content", "invalid_type"),
    ({"content": 5}, "content", "invalid_type"),
    ({"content": TEXT}, "content", "invalid_type"),
    ({"content": []}, "content", "array_below_min_length"),
    ({"content": ["x"]}, "content[0]", "invalid_type"),
    ({"content": [TEXT, {"text": "x"}]}, "content[1].type", "missing_required_parameter"),
    ({"content": [{"type": "refusal", "refusal": "no"}]}, "content[0].type", "invalid_value"),
    ({"content": [{"type": ["text"]}]}, "content[0].type", "invalid_type"),
    ({"content": [{"type": "text"}]}, "content[0].text", "missing_required_parameter"),
    ({"content": [{"type": "text", "text": {"value": "x", "annotations": []}}]}, "content[0].text", "invalid_type"),
    ({"content": [{**TEXT, "more": 1}]}, "content[0].more", "unknown_parameter"),
    ({"content": [{"type": "text", "text": "x" * 256_001}]}, "content[0].text", "string_above_max_length"),
    (
        {"content": [{"type": "image_file", "image_file": {}}]},
        "content[0].image_file.file_id",
        "missing_required_parameter",
    ),
    ({"content": [{"type": "image_url", "image_url": "https://x"}]}, "content[0].image_url", "invalid_type"),
    ({"content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}, "content[0].image_url.url", "invalid_value"),
    (
        {"content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": "huge"}}]},
        "content[0].image_url.detail",
        "invalid_value",
    ),
    ({"content": "x" * 256_001}, "content", "string_above_max_length"),
    ({"content": "😀" * 256_001}, "content", "string_above_max_length"),
    ({"metadata": []}, "metadata", "invalid_type"),
    ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ({"metadata": {"a": None}}, "metadata.a", "invalid_type"),
    ({"metadata": {**PAIRS, "one": "more"}}, "metadata", "object_above_max_properties"),
    ({"metadata": {"k" * 65: "v"}}, "metadata", "object_property_name_above_max_length"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
    ({"attachments": {}}, "attachments", "invalid_type"),
    ({"attachments": [{"file_id": 1}]}, "attachments[0].file_id", "invalid_type"),
    ({"attachments": [{"tools": [{"type": "web"}]}]}, "attachments[0].tools[0].type", "invalid_value"),
    ({"attachments": [{"name": "x"}]}, "attachments[0].name", "unknown_parameter"),
    ({"run_id": "run_1"}, "run_id", "unknown_parameter"),
    ({"created_at": 1}, "created_at", "unknown_parameter"),
]


@pytest.mark.parametrize(("change", "param", "code"), BAD_MESSAGES)
def test_a_bad_message_is_refused(service: Service, change: dict[str, Any], param: str, code: str) -> None:
    thread = service.thread()
    status, error = service.refused("POST", f"/threads/{thread}/messages", {**MESSAGE, **change})
    assert (status, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 400
    # The same message in a new thread: nothing of that thread is left behind.
    before = service.ok("GET", "/threads")
    status, error = service.refused("POST", "/threads", {"messages": [MESSAGE, {**MESSAGE, **change}]})
    assert (status, error["param"], error["code"]) == (400, f"messages[1].{param}", code)
    assert service.ok("GET", "/threads") == before
    assert service.ok("GET", f"/threads/{thread}/messages")["data"] == []


@pytest.mark.parametrize("missing", ["role", "content"])
def test_a_required_field_is_named(service: Service, missing: str) -> None:
    body = {name: value for name, value in MESSAGE.items() if name != missing}
    status, error = service.refused("POST", f"/threads/{service.thread()}/messages", body)
    assert (status, error["param"], error["message"]) == (400, missing, f"Missing required parameter: '{missing}'.")


@pytest.mark.parametrize(
    "change",
    [
        {"content": ""},
        {"content": "x" * 256_000},
        {"content": "😀" * 256_000},
        {"content": [TEXT, IMAGE, FILE]},
        {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}]},
        {"role": "assistant"},
        {"metadata": PAIRS},
        {"metadata": {"😀" * 64: "é" * 512}},
        {"metadata": None, "attachments": None},
        {"attachments": []},
        {"attachments": [{"file_id": "f", "tools": [{"type": "code_interpreter"}, {"type": "file_search"}]}, {}]},
    ],
)
def test_a_good_message_is_kept(service: Service, change: dict[str, Any]) -> None:
    sent = {**MESSAGE, **change}
    kept = service.ok("POST", f"/threads/{service.thread()}/messages", sent)
    assert kept["role"] == sent["role"]
    assert kept["metadata"] == (sent.get("metadata") or {})
    assert kept["attachments"] == (sent.get("attachments") or [])
    parts = [{**TEXT, "text": sent["content"]}] if isinstance(sent["content"], str) else sent["content"]
    texts = [{"type": "text", "text": {"value": part["text"], "annotations": []}} for part in parts if "text" in part]
    assert kept["content"] == texts + [part for part in parts if "text" not in part]


BAD_TOOLS: list[tuple[Any, str]] = [
    ([], "tool_resources"),
    ({"web": {}}, "tool_resources.web"),
    ({"code_interpreter": {"file_ids": ["f"] * 21}}, "tool_resources.code_interpreter.file_ids"),
    ({"code_interpreter": {"file_ids": [1]}}, "tool_resources.code_interpreter.file_ids[0]"),
    ({"file_search": {"vector_store_ids": ["a", "b"]}}, "tool_resources.file_search.vector_store_ids"),
    ({"file_search": None}, "tool_resources.file_search"),
]


@pytest.mark.parametrize(("tools", "param"), BAD_TOOLS)
def test_bad_tool_resources_are_refused(service: Service, tools: Any, param: str) -> None:
    for path in ("/threads", f"/threads/{service.thread()}"):
        status, error = service.refused("POST", path, {"tool_resources": tools})
        assert (status, error["param"]) == (400, param)


def test_a_thread_is_created_with_vector_stores_of_one_kind(service: Service) -> None:
    both = {"vector_store_ids": ["vs_1"], "vector_stores": [{}]}
    for search, code in (({}, "missing_required_parameter"), (both, "mutually_exclusive_parameters")):
        status, error = service.refused("POST", "/threads", {"tool_resources": {"file_search": search}})
        assert (status, error["code"]) == (400, code)
        assert error["param"].startswith("tool_resources.file_search.vector_store")
    service.ok("POST", f"/threads/{service.thread()}", {"tool_resources": {"file_search": {}}})


def _vector_stores(**static: Any) -> dict[str, Any]:
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0, **static}}
    return {"file_search": {"vector_stores": [{"file_ids": [], "chunking_strategy": strategy}]}}


def test_vector_stores_may_only_be_created(service: Service) -> None:
    for wrong, code in ((99, "integer_below_min_value"), (True, "invalid_type"), (1.5, "invalid_type")):
        tools = _vector_stores(max_chunk_size_tokens=wrong)
        _, error = service.refused("POST", "/threads", {"tool_resources": tools})
        assert (error["code"], error["param"].rpartition(".")[2]) == (code, "max_chunk_size_tokens")
    whole = service.ok("POST", "/threads", {"tool_resources": _vector_stores(max_chunk_size_tokens=100.0)})
    assert '"max_chunk_size_tokens": 100,' in json.dumps(whole)
    tools = _vector_stores()
    assert service.ok("POST", "/threads", {"tool_resources": tools})["tool_resources"] == tools
    _, error = service.refused("POST", f"/threads/{service.thread()}", {"tool_resources": tools})
    assert error["param"] == "tool_resources.file_search.vector_stores"


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("limit=0", "limit", "integer_below_min_value"),
        ("limit=-1", "limit", "integer_below_min_value"),
        ("limit=101", "limit", "integer_above_max_value"),
        ("limit=" + "9" * 99, "limit", "integer_above_max_value"),
        ("limit=" + "9" * 5000, "limit", "invalid_type"),
        ("limit=ten", "limit", "invalid_type"),
        ("limit=", "limit", "invalid_type"),
        ("limit=1.0", "limit", "invalid_type"),
        ("limit=%D9%A1", "limit", "invalid_type"),
        ("limit=+5", "limit", "invalid_type"),
        ("limit=1&limit=1", "limit", "repeated_parameter"),
        ("order=up", "order", "invalid_value"),
        ("order=ASC", "order", "invalid_value"),
        ("after=msg_no", "after", "invalid_value"),
        ("before=msg_no", "before", "invalid_value"),
        ("after=", "after", "invalid_value"),
        ("role=user", "role", "unknown_parameter"),
        ("api-version=v1", "api-version", "unknown_parameter"),
        ("x", "x", "unknown_parameter"),
        ("after=%ff", None, "invalid_query"),
    ],
)
def test_a_bad_query_is_refused(service: Service, query: str, param: str | None, code: str) -> None:
    for path in ("/threads", f"/threads/{service.thread()}/messages"):
        status, error = service.refused("GET", f"{path}?{query}")
        assert (status, error["param"], error["code"]) == (400, param, code)
        assert len(error["message"]) < 400


def test_parameters_of_another_method_are_unknown(service: Service) -> None:
    thread = service.thread("x")
    for method, path in [
        ("GET", "/threads?run_id=r"),
        ("GET", f"/threads/{thread}?limit=1"),
        ("POST", "/threads?limit=1"),
        ("POST", f"/threads/{thread}/messages?limit=1"),
        ("DELETE", f"/threads/{thread}?limit=1"),
    ]:
        status, error = service.refused(method, path, MESSAGE if method == "POST" else None)
        assert (status, error["code"]) == (400, "unknown_parameter")
    assert len(service.ok("GET", f"/threads/{thread}/messages")["data"]) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'role': 1}",
        b'{"role": NaN}',
        b'{"role": Infinity}',
        b'{"role": "\xff"}',
        b'\xef\xbb\xbf{"role": "user", "content": "x"}',
        '{"role": "user", "content": "x"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"role": ' + b"1" * 5000 + b"}",
        b'{"role": "user", "content": "\n"}',
    ],
)
def test_what_is_not_json_is_refused(service: Service, raw: bytes) -> None:
    status, error = service.refused("POST", f"/threads/{service.thread()}/messages", data=raw)
    assert (status, error["code"], error["param"]) == (400, "invalid_json", None)


@pytest.mark.parametrize("body", [[], "x", 1, None, True])
def test_a_body_must_be_an_object(service: Service, body: Any) -> None:
    thread = service.thread()
    for path in ("/threads", f"/threads/{thread}", f"/threads/{thread}/messages"):
        status, error = service.refused("POST", path, data=json.dumps(body))
        assert (status, error["code"], error["param"]) == (400, "invalid_type", None)


@pytest.mark.parametrize(
    "text",
    ["\0", "\ud800", "\udfff\ud800", "😀", 'é\r\n\t"\\', "\u2028\x7f\ufeff\uffff", "{{ x }}", '[{"type":"text"}]'],
)
def test_text_comes_out_as_it_went_in(service: Service, text: str) -> None:
    thread = service.thread()
    message = {**MESSAGE, "content": text, "metadata": {text: text}}
    for content in (text, [{"type": "text", "text": text}]):
        kept = service.ok("POST", f"/threads/{thread}/messages", {**message, "content": content})
        assert kept["content"][0]["text"]["value"] == text
        assert service.ok("GET", f"/threads/{thread}/messages/{kept['id']}") == kept
    raw = service.call("GET", f"/threads/{thread}/messages")
    assert raw.content.decode("utf-8") == raw.text
    assert [message["metadata"] for message in raw.json()["data"]] == [{text: text}] * 2


def test_a_surrogate_in_an_error_is_escaped(service: Service) -> None:
    _, error = service.refused("POST", "/threads", {"\ud800": 1})
    assert error["param"] == "\ud800"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["text", "user", "auto", "https://x", ""]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def _loosely(value: Any) -> st.SearchStrategy[Any]:
    """Write a value with some of its parts left out or put wrong."""
    if isinstance(value, dict):
        fields = {name: _loosely(part) for name, part in value.items()}
        return st.fixed_dictionaries({}, optional=fields) | st.fixed_dictionaries(fields) | _JSON
    if isinstance(value, list):
        return st.lists(st.one_of([_loosely(part) for part in value]), max_size=3) | _JSON
    return st.just(value) | st.just(value) | st.just(value) | _JSON


_MODEL = {
    "role": "user",
    "content": [TEXT, IMAGE, {"type": "image_file", "image_file": {"file_id": "f", "detail": "auto"}}],
    "attachments": [{"file_id": "f", "tools": [{"type": "code_interpreter"}, {"type": "file_search"}]}],
    "metadata": {"a": "b"},
}


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the OpenAPI document is not here")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=_loosely(_MODEL))
def test_what_is_accepted_the_document_allows(body: Any) -> None:
    try:
        read_body("create_message", json.dumps(body).encode())
        accepted = True
    except Refusal:
        accepted = False
    allowed = validator("CreateMessageRequest").is_valid(body)
    # We refuse more: fields that parts and attachments do not have, URLs that are none.
    assert allowed or not accepted
    if body == _MODEL:
        assert accepted
