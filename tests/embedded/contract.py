"""The OpenAPI document of the contract, what we add to it, and a WSGI layer that holds every answer against it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from openapi_schema_validator import OAS31Validator

from messages_dbapi.embedded import gateway
from messages_dbapi.resources import METADATA_KEY_LENGTH, METADATA_PAIRS, METADATA_VALUE_LENGTH, PAGE_SIZE

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "spec" / "assistants-messages.openapi.yaml"

_ERROR = {
    "description": "Refused.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
}
_NULLABLE_IDS = {name: {"type": ["string", "null"]} for name in ("first_id", "last_id")}

# All that the embedded service does beyond the document.
OVERLAY: dict[str, Any] = {
    "components": {
        "schemas": {
            "ListMessagesResponse": {"properties": _NULLABLE_IDS},
            "ListThreadsResponse": {
                "type": "object",
                "required": ["object", "data", "first_id", "last_id", "has_more"],
                "properties": {
                    **_NULLABLE_IDS,
                    "object": {"const": "list"},
                    "data": {"type": "array", "items": {"$ref": "#/components/schemas/ThreadObject"}},
                    "has_more": {"type": "boolean"},
                },
            },
        }
    },
    "paths": {
        "/threads": {
            "get": {
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 20}},
                    {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
                    {"name": "after", "in": "query", "schema": {"type": "string"}},
                    {"name": "before", "in": "query", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/ListThreadsResponse"}}
                        }
                    },
                    "default": _ERROR,
                },
            },
            "post": {"responses": {"default": _ERROR}},
        },
        "/threads/{thread_id}": {http: {"responses": {"default": _ERROR}} for http in ("get", "post", "delete")},
        "/threads/{thread_id}/messages": {http: {"responses": {"default": _ERROR}} for http in ("get", "post")},
        "/threads/{thread_id}/messages/{message_id}": {
            http: {"responses": {"default": _ERROR}} for http in ("get", "post", "delete")
        },
    },
}


def _merged(document: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for name, value in overlay.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


@cache
def contract() -> dict[str, Any]:
    """Read the document and lay the overlay over it."""
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return _merged(copy.deepcopy(document), OVERLAY)


@cache
def strict_contract() -> dict[str, Any]:
    """Say besides what the document leaves to its prose: ranges, lengths, and that unknown fields are refused."""
    document = copy.deepcopy(contract())
    components = document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            _close(operation.get("requestBody", {}), components)
            _bound(operation.get("parameters", ()))
    labels = components["Metadata"]["anyOf"][0]
    labels |= {"maxProperties": METADATA_PAIRS, "propertyNames": {"maxLength": METADATA_KEY_LENGTH}}
    labels["additionalProperties"]["maxLength"] = METADATA_VALUE_LENGTH
    return document


def _close(schema: Any, components: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for item in schema:
            _close(item, components)
    if not isinstance(schema, dict):
        return
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    if "chunk_overlap_tokens" in schema:
        # At most half of a chunk, says the document: of the largest.
        schema["chunk_overlap_tokens"] |= {"minimum": 0, "maximum": 2048}
    if "$ref" in schema:
        _close(components[schema["$ref"].rpartition("/")[2]], components)
    for value in schema.values():
        _close(value, components)


def _bound(parameters: Sequence[dict[str, Any]]) -> None:
    for parameter in parameters:
        if parameter["name"] == "limit":
            parameter["schema"] |= {"minimum": 1, "maximum": PAGE_SIZE}


@cache
def validator(name: str) -> OAS31Validator:
    """Give the validator of one of the document's schemas."""
    return OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": contract()["components"]})


def _template(path: str) -> str | None:
    segments = path.removeprefix("/v1").split("/")
    for template in contract()["paths"]:
        own = template.split("/")
        if len(own) == len(segments) and all(a == b or a.startswith("{") for a, b in zip(own, segments, strict=True)):
            return str(template)
    return None


def schema_of(method: str, path: str, status: int) -> str | None:
    """Name the schema that an answer must meet; None for an answer without a body."""
    if method in ("HEAD", "OPTIONS") or path == "/healthz":
        return None
    template = _template(path)
    operation = contract()["paths"].get(template, {}).get(method.lower(), {"responses": {"default": _ERROR}})
    response = operation["responses"].get(str(status)) or operation["responses"]["default"]
    return str(response["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def faults_of(method: str, path: str, status: int, body: bytes) -> list[str]:
    """Say what in an answer is not as the document promises."""
    schema = schema_of(method, path, status)
    if schema is None:
        return []
    try:
        value = json.loads(body)
    except ValueError as error:
        return [f"{method} {path} {status}: {error}"]
    return [
        f"{method} {path} {status} {schema}: {fault.message[:300]} at {fault.json_path}"
        for fault in validator(schema).iter_errors(value)
    ]


class Held:
    """Pass requests on to an application, and note in ``faults`` every answer that breaks the contract."""

    def __init__(self, app: WSGIApplication, *, known: Callable[[], bool] = DOCUMENT.exists) -> None:
        self._app = app
        self._known = known()
        self.faults: list[str] = []
        self.answers = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as the application does."""
        answer = gateway.call(self._app, environ)
        self.answers += 1
        if self._known:
            path = environ["REQUEST_URI"].partition("?")[0]
            status = int(answer.status.split()[0])
            self.faults += faults_of(environ["REQUEST_METHOD"], path, status, answer.body)
        start_response(answer.status, answer.headers)
        return [answer.body]
