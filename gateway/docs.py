"""The API's reference as one plain page: no script, and nothing loaded from another host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
code { font-family: ui-monospace, monospace } h2 { margin-top: 2.5rem; text-transform: capitalize }
details { border: 1px solid #ddd; border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } .method { display: inline-block; min-width: 4.5rem; font-weight: 600 }
pre { background: #f6f6f6; padding: .6rem; overflow-x: auto; font-size: .85em }
table { border-collapse: collapse } td { border-top: 1px solid #eee; padding: .2rem .8rem .2rem 0; vertical-align: top }
"""

STRANGER = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Caravan: sign in</title><style>{STYLE}</style></head><body>
<h1>The reference needs a token</h1>
<p>Load this page again and sign in: any name will do, and the password is the token. The first <code>caravan up</code>
shows one; <code>caravan tokens create NAME --role viewer</code> makes another.</p>
</body></html>
"""
"""What a browser shows to a person who has not signed in."""


def reference(openapi: dict[str, Any]) -> str:
    """The page for an OpenAPI document."""
    info = openapi["info"]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title><style>{STYLE}</style></head><body>
<h1>{escape(info["title"])} {escape(info["version"])}</h1><p>{escape(info["description"])}</p>
<p>For programs: <a href="/openapi.json">openapi.json</a>, <a href="/asyncapi.json">asyncapi.json</a>.</p>
{"".join(_sections(openapi))}
</body></html>
"""


def _sections(openapi: dict[str, Any]) -> Iterator[str]:
    sections: dict[str, list[str]] = {}
    schemas = openapi["components"]["schemas"]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            sections.setdefault(operation["tags"][0], []).append(_operation(method, path, operation, schemas))
    for name, operations in sections.items():
        yield f"<h2>{escape(name)}</h2>{''.join(operations)}"


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows = [
        (parameter["name"], parameter["in"], parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    rows += [(status, "answer", answer["description"]) for status, answer in operation["responses"].items()]
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    role = operation.get("x-required-role", "nobody: it is open")
    return (
        f'<details><summary><span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{escape(operation['description'])} Needs: {escape(role)}.</p>"
        f"{''.join(_bodies(operation, schemas))}<table>{cells}</table></details>"
    )


def _bodies(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        for variant in schema.get("oneOf", [schema]):
            known = schemas.get(variant.get("$ref", "").rpartition("/")[2], variant)
            text = content.get("example") or json.dumps(known.get("properties", known), indent=2, ensure_ascii=False)
            yield f"<p>Body, {escape(media_type)}:</p><pre>{escape(text)}</pre>"
