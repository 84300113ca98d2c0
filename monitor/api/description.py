"""OpenAPI as it is served: problems in their own media type, and parameters that are never null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from monitor.api.problems import ProblemOut, ProblemResponse

_PROBLEM: Final = {"$ref": "#/components/schemas/ProblemOut"}
# FastAPI's own shape of an invalid request, which nothing here answers.
_FOREIGN: Final = ("HTTPValidationError", "ValidationError")
# What any route may answer: the gate and the router speak before it does.
_ANYWHERE: Final = {
    "401": "A token is asked for, and there is none that is known.",
    "403": "The token lacks the scope.",
    "405": "Another method; `Allow` names what there is.",
    "421": "The daemon is not called by this name.",
}


def install(app: FastAPI) -> None:
    """Let *app* describe itself as it answers."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it.


def described(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* with what FastAPI cannot know of the answers; changed in place."""
    schemas = document["components"]["schemas"]
    for name in _FOREIGN:
        schemas.pop(name, None)
    model = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= model.pop("$defs") | {"ProblemOut": model}
    for path, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            _without_null(parameter["schema"])
        responses = operation["responses"]
        if "422" in responses or path.startswith("/v1/"):
            responses["422"] = {"description": "The request does not fit; `errors` say where."}
        for status, description in _ANYWHERE.items():
            responses.setdefault(status, {"description": description})
        for status, response in responses.items():
            is_problem = _PROBLEM in [c.get("schema") for c in response.get("content", {}).values()]
            if is_problem or status in {*_ANYWHERE, "422"}:
                response["content"] = {ProblemResponse.media_type: {"schema": _PROBLEM}}
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _without_null(schema: dict[str, Any]) -> None:
    """Say of a parameter what it may be when it is there: leaving it out is another matter."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]
