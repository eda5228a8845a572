"""What the service says about itself: the OpenAPI description, and a page for people."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from markupsafe import escape

EXAMPLES = {"text": "some words", "number": "12.5", "category": "a word"}
FILES = {"image": "picture.png", "audio": "recording.wav"}
MEANS = {
    "text": "text",
    "image": "a picture: PNG, JPEG, WebP, BMP, GIF or TIFF",
    "audio": "a recording: WAV, FLAC, OGG, MP3, AIFF or AU",
    "number": "a number, written as in the training",
    "category": "a word or code",
}
STATUSES = {
    "400": "The body is malformed.",
    "401": "The key is missing or unknown.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large, or has too many rows.",
    "415": "The Content-Type is neither JSON nor a form.",
    "422": "Rows have problems, which are listed.",
    "429": "Too many requests with this key; Retry-After says when to go on.",
    "503": "Busy, loading or stopping; Retry-After says when to try again.",
}


def openapi(about: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the addresses in OpenAPI 3.1, for the columns of this run."""
    columns = about["columns"]
    form = {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {name: _form_schema(kind) for name, kind in columns.items()},
    }
    row = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _json_schema(kind) for name, kind in columns.items()},
    }
    rows = {
        "type": "object",
        "additionalProperties": False,
        "required": ["rows"],
        "properties": {
            "rows": {
                "type": "array",
                "minItems": 1,
                "maxItems": about["limits"]["rows"],
                "items": {"$ref": "#/components/schemas/Row"},
            }
        },
    }
    answers = {
        code: {"description": text, "content": _content("Error")} for code, text in STATUSES.items()
    }
    skip = {
        "name": "skip_bad_rows",
        "in": "query",
        "description": "Answer the other rows if some have problems.",
        "schema": {"type": "boolean", "default": False},
    }
    types = {name: {"contentType": f"{kind}/*"} for name, kind in columns.items() if kind in FILES}
    predict = {
        "summary": "Predict the class of one or more rows",
        "parameters": [skip],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form, "encoding": types},
                "application/json": {
                    "schema": {"anyOf": [{"$ref": "#/components/schemas/Row"}, rows]}
                },
            },
        },
        "responses": {"200": {"description": "One answer per row.", "content": _content("Answers")},
                      **answers},
    }  # fmt: skip
    told = {"200": {"description": "JSON"}, "401": answers["401"], "429": answers["429"],
            "503": answers["503"]}  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "mmkeras", "version": about["mmkeras"]},
        "paths": {
            "/predict": {"post": predict},
            "/explain": {"post": {**predict, "summary": "Predict, with shares of the modalities"}},
            "/about": {"get": {"summary": "The run that answers", "responses": told}},
            "/health": {"get": {"summary": "Whether the process lives", "responses": told}},
            "/ready": {"get": {"summary": "Whether it answers", "responses": told}},
        },
        "components": {
            "schemas": {"Row": row, "Answers": _answers(about["classes"]), "Error": _ERROR},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
        "security": [{}, {"key": []}],
    }


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _form_schema(kind: str) -> dict[str, Any]:
    if kind in FILES:
        return {"type": "string", "format": "binary", "description": MEANS[kind]}
    return {"type": "string", "description": MEANS[kind]}


def _json_schema(kind: str) -> dict[str, Any]:
    if kind in FILES:
        return {"type": ["string", "null"], "contentEncoding": "base64", "description": MEANS[kind]}
    types = ["string", "null"] if kind == "text" else ["string", "number", "null"]
    return {"type": types, "description": MEANS[kind]}


def _answers(classes: list[str]) -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1}
    answer = {
        "type": "object",
        "required": ["row"],
        "properties": {
            "row": {"type": "integer", "minimum": 1},
            "prediction": {"enum": classes},
            "probabilities": {"type": "object", "properties": dict.fromkeys(classes, share)},
            "absent": {"type": "array", "items": {"type": "string"}},
            "log_odds": {"type": "object"},
            "problems": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["request", "predictions"],
        "properties": {
            "request": {"type": "string"},
            "predictions": {"type": "array", "items": answer},
        },
    }


_ERROR = {
    "type": "object",
    "required": ["error", "request"],
    "properties": {
        "error": {"type": "string"},
        "request": {"type": "string"},
        "problems": {"type": "array"},
    },
}


def page(about: Mapping[str, Any], base: str) -> str:
    """The addresses and their use for people, in HTML; it needs nothing from elsewhere."""
    columns = about["columns"]
    form = [f"-F {shlex.quote(f'{name}={_form_example(kind)}')}" for name, kind in columns.items()]
    row = {name: EXAMPLES.get(kind, "(the file in base64)") for name, kind in columns.items()}
    sent = json.dumps({"rows": [row, {next(iter(row)): next(iter(row.values()))}]}, indent=1,
                      ensure_ascii=False)  # fmt: skip
    of_columns = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{MEANS[kind]}</td></tr>"
        for name, kind in columns.items()
    )
    codes = "".join(f"<tr><th scope=row>{c}</th><td>{t}</td></tr>" for c, t in STATUSES.items())
    return f"""<!doctype html><html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width"><title>mmkeras: how to ask</title>
<link rel=icon href="data:,">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f3f3f3;padding:.7rem;overflow:auto}}th{{text-align:left;padding-right:1rem;
vertical-align:top}}@media(prefers-color-scheme:dark){{body{{background:#181818;color:#eee}}
pre{{background:#2a2a2a}}a{{color:#9cf}}}}</style>
<main><h1>How to ask</h1>
<p><code>POST /predict</code> answers one or more rows. A column may be left out, unless all are.
If the service asks for a key, send it in the header <code>X-API-Key</code>.</p>
<table>{of_columns}</table>
<h2>A form, as browsers send it</h2>
<pre>curl {" ".join(map(str, map(escape, form)))} {escape(base)}predict</pre>
<p>Several rows are sent as <code>column[0]</code>, <code>column[1]</code> and so on.</p>
<h2>JSON</h2><pre>{escape(sent)}</pre>
<p>An object of columns is one row. With <code>?skip_bad_rows=true</code> rows without problems are
answered even if others have some.</p>
<p><code>POST /explain</code> takes the same, up to 8 rows, and adds to each answer the log-odds of
the predicted class with all that the row has and with nothing, and the share of each modality in
the difference (its Shapley value).</p>
<h2>Statuses</h2><table>{codes}</table>
<h2>Other addresses</h2><p><a href="/">a page to try it</a>, <a href="/about">/about</a>,
<a href="/openapi.json">/openapi.json</a>, <a href="/health">/health</a>,
<a href="/ready">/ready</a>, <a href="/metrics">/metrics</a></p></main></html>"""


def _form_example(kind: str) -> str:
    return f"@{FILES[kind]}" if kind in FILES else EXAMPLES[kind]
