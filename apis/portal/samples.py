"""How an operation is called, in three languages, ready to copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pprint import pformat

from apis.portal.operations import Operation


def samples(operation: Operation, issuer: str) -> Iterator[tuple[str, str]]:
    """The language and the lines; the token stands in the variable TOKEN."""
    yield "curl", curl(operation, issuer)
    yield "Python (httpx)", python(operation, issuer)
    yield "JavaScript (fetch)", javascript(operation, issuer)


def _with_key(operation: Operation) -> bool:
    given = [p.name.lower() for p in operation.parameters if p.place == "header"]
    return "idempotency-key" in given or bool(operation.idempotency)


def curl(operation: Operation, issuer: str) -> str:
    """For a shell."""
    lines = [
        f"curl -sS -X {operation.method} '{issuer}{operation.address()}'",
        '-H "Authorization: Bearer $TOKEN"',
    ]
    if _with_key(operation):
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if operation.body is not None:
        body = json.dumps(operation.example, ensure_ascii=False).replace("'", "'\\''")
        lines += [f"-H 'Content-Type: {operation.body_type}'", f"-d '{body}'"]
    return " \\\n  ".join(lines)


def python(operation: Operation, issuer: str) -> str:
    """For Python."""
    with_key, with_body = _with_key(operation), operation.body is not None
    headers = ['"Authorization": f"Bearer {os.environ[\'TOKEN\']}"']
    headers += ['"Idempotency-Key": str(uuid.uuid4())'] if with_key else []
    lines = ["import os", *["import uuid"] * with_key, "", "import httpx", ""]
    if with_body:
        lines += [f"body = {pformat(operation.example, width=88, sort_dicts=False)}"]
    lines += [
        f'answer = httpx.request(\n    "{operation.method}",',
        f'    "{issuer}{operation.address()}",',
        "    headers={" + ", ".join(headers) + "},",
        *["    json=body,"] * with_body,
        ")",
        "answer.raise_for_status()",
        "print(answer.json())",
    ]
    return "\n".join(lines)


def javascript(operation: Operation, issuer: str) -> str:
    """For JavaScript."""
    headers = ["Authorization: `Bearer ${process.env.TOKEN}`"]
    if _with_key(operation):
        headers.append('"Idempotency-Key": crypto.randomUUID()')
    if operation.body is not None:
        headers.append(f'"Content-Type": "{operation.body_type}"')
    inside = [
        f'  method: "{operation.method}",',
        "  headers: { " + ", ".join(headers) + " },",
    ]
    if operation.body is not None:
        body = json.dumps(operation.example, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        inside.append(f"  body: JSON.stringify({body}),")
    return "\n".join(
        [
            f'const answer = await fetch("{issuer}{operation.address()}", {{',
            *inside,
            "});",
            "if (!answer.ok) throw new Error((await answer.json()).title);",
            "console.log(await answer.json());",
        ]
    )
