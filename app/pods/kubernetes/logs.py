"""A container's log as the kubelet serves it, raw. The kubelet's excuse in place of a log is an error."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import aiohttp

from app.domain.errors import LogUnavailable
from app.domain.pods import PodRef
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.errors import ApiError, ApiUnreachable, log_error

#: Where the first line of a log with timestamps begins, with as much of its stamp as needs to be seen to know it.
_FIRST_LINE = re.compile(rb"(?:\A|\n)(?=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_STAMP_BYTES = 19
_WITHIN_LINE = b"."  # stands for the part of a line that was looked at
#: How much of the kubelet's excuse is kept, in bytes.
_EXCUSE_BYTES = 1000
#: A read that does not follow brings bytes all the time.
_READ_SILENCE_SECONDS = 60.0


async def stream_log(
    client: ApiClient,
    ref: PodRef,
    container: str,
    since: datetime | None,
    *,
    follow: bool,
    is_let_go: Callable[[], bool] = lambda: False,
) -> AsyncIterator[bytes]:
    """The log in chunks, as `PodBackend.follow_log` says. Raises LogUnavailable.

    `is_let_go` is asked at the kubelet's excuse: whether it has removed the container, so that the excuse is its last word.
    """
    params = {"container": container, "timestamps": "true"}
    if follow:
        params["follow"] = "true"
    if since is not None:
        params["sinceTime"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}/log"
    head, excuse, is_log = b"", b"", False
    try:
        async with client.log(path, params, None if follow else _READ_SILENCE_SECONDS) as response:
            async for chunk in response.content.iter_any():
                if is_log:
                    yield chunk
                    continue
                head += chunk
                excuse = (excuse + chunk)[:_EXCUSE_BYTES]
                first = _FIRST_LINE.search(head)
                if first is not None:
                    is_log = True
                    yield head[first.end() :]
                elif len(head) >= _STAMP_BYTES:
                    if since is None:
                        break
                    # With `since`, it may begin with the rest of a line that had started before: nobody needs that.
                    head = head[end:] if (end := head.rfind(b"\n")) >= 0 else _WITHIN_LINE
    except (ApiError, ApiUnreachable) as exc:
        raise log_error(exc) from exc
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        raise log_error(client.unreachable(exc)) from exc
    if excuse and not is_log:
        raise LogUnavailable(excuse.decode(errors="replace").strip(), gone=is_let_go())
