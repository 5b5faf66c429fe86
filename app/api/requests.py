"""How requests are read: names in paths, bodies, what the client accepts, entity tags."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.domain.errors import NotFound
from app.runs.readers import read_apart

Result = TypeVar("Result")

MAX_BODY_BYTES = 16 * 1024 * 1024
#: Of a body that asks something of a run: the longest names all of its tasks.
MAX_ACTION_BYTES = 2 * 1024 * 1024
#: Of a body that is refused, so much is still read and dropped: a client that is writing would not see the answer.
_DRAINED_BYTES, _DRAIN_SECONDS = 4 * MAX_BODY_BYTES, 5.0
#: Long-lived bodies end too.
_READ_SECONDS = 120.0

_RUN_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WORKFLOW = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TASK = re.compile(r"[a-z0-9][-a-z0-9]{0,62}(\.[0-9]{1,9})?")


async def _run_id(run_id: Annotated[str, Path(description="The run's id (UUIDv7).")]) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise NotFound("run", run_id[:200])
    return run_id.lower()


async def _task_name(task: Annotated[str, Path(description="The task's name.")]) -> str:
    if not _TASK.fullmatch(task):
        raise NotFound("task", task[:200])
    return task


async def _workflow_name(name: Annotated[str, Path(description="The stored workflow's name.")]) -> str:
    if not _WORKFLOW.fullmatch(name):
        raise NotFound("workflow", name[:200])
    return name


RunId = Annotated[str, Depends(_run_id)]
TaskName = Annotated[str, Depends(_task_name)]
WorkflowName = Annotated[str, Depends(_workflow_name)]
Cursor = Annotated[
    str | None,
    Query(pattern=r"^[A-Za-z0-9._~-]{1,200}$", description="Go on behind what carried this cursor, or from a `next_cursor`."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items; a page may be shorter.")]


async def read_action(request: Request, read: Callable[[bytes], Result]) -> Result:
    """What a body, which may be empty, asks of a run, as `read` reads it. Raises HTTPException 413 and 415."""
    body = await read_json_body(request, may_be_empty=True, most=MAX_ACTION_BYTES)
    return await read_apart(partial(read, body), len(body))


async def read_json_body(request: Request, *, may_be_empty: bool = False, most: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a JSON body, unparsed. Raises HTTPException 413 and 415."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        await _refuse_large(request, most)
    coding = request.headers.get("content-encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        detail = f"the body must be sent as it is, not with the content coding {coding[:100]!r}"
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Encoding": "identity"})
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = not media_type or media_type == "application/json" or media_type.endswith("+json")
    if not is_json and not (may_be_empty and declared in ("", "0") and "transfer-encoding" not in request.headers):
        detail = f"the body must be application/json, not {media_type[:100]!r}"
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": "application/json"})
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    await _refuse_large(request, most)
    except ClientDisconnect as error:  # nobody reads this
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body was cut off") from error
    except TimeoutError as error:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {_READ_SECONDS:.0f} s") from error
    return bytes(body)


async def _refuse_large(request: Request, most: int) -> None:
    left = _DRAINED_BYTES
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    break
    detail = f"the body may have {most} bytes at most"
    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers={"Connection": "close"})


def preferred_type(accept: str | None, offers: Sequence[str]) -> str:
    """Which of the media types the client likes best; the first where it does not say, or likes none.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.accept
    """
    if not accept:
        return offers[0]
    liking = read_qualities(accept)
    best = max(offers, key=lambda offer: _liking(offer, liking))
    return best if _liking(best, liking) > 0 else offers[0]


def accepts(accept: str | None, offer: str) -> bool:
    """Whether the client takes this media type; where it does not say, it takes any."""
    return not accept or _liking(offer, read_qualities(accept)) > 0


def preferred_encoding(accept_encoding: str | None, offers: Sequence[str]) -> str | None:
    """Which of the content codings the client likes best, of equals the first; None: the bytes as they are.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.accept-encoding
    """
    liking = read_qualities(accept_encoding or "")
    # What the client does not name, the bytes as they are among it, is only for want of something better.
    least = liking.get("identity", 0.0)
    best = max(offers, key=lambda offer: liking.get(offer, liking.get("*", 0.0)), default=None)
    if best is None:
        return None
    quality = liking.get(best, liking.get("*", 0.0))
    return best if quality > 0 and quality >= least else None


def read_qualities(header: str) -> dict[str, float]:
    """The items of an `Accept` or `Accept-Encoding`, in lower case, each with its `q`.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
    """
    qualities: dict[str, float] = {}
    for part in header.split(","):
        item, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                with suppress(ValueError):
                    quality = float(value)
        qualities[item] = quality
    return qualities


def _liking(offer: str, liking: Mapping[str, float]) -> float:
    kind = offer.partition("/")[0]
    return liking.get(offer, liking.get(f"{kind}/*", liking.get("*/*", 0.0)))


def matches_etag(header: str | None, etag: str) -> bool:
    """Whether an `If-None-Match` or `If-Match` names this entity tag, or any.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-13.1 .
    """
    if header is None:
        return False
    given = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in given or etag.removeprefix("W/") in given
