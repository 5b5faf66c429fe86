"""The web page's files: found once at start-up, read from disk when they are asked for.

They hold no data, so they are served without a token (see `security`): which paths those are, `is_page_path` says alone, for
routes and security alike. What the page shows it asks the public API for, with a token where the service has one.

A page that is built again is served after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.problems import Kind, problem_response
from app.api.requests import accepts, matches_etag, preferred_encoding

#: Where Vite writes the page: inside the package, so that it travels in the wheel.
PAGE_FOLDER = Path(__file__).parent / "page_files"
NOT_BUILT = "The page is not built: the API works at /api/v1; with Node.js 20 or newer, `make setup` builds the page."

_INDEX, _FAVICON, _ASSETS = "index.html", "favicon.svg", "assets"
#: Segments begin with a letter or digit: no `..`, nothing empty, and nothing that is decoded twice.
_VIEW = re.compile(r"/(?:(?:runs|workflows)(?:/[A-Za-z0-9][A-Za-z0-9._~-]*)*/?)?")
_ASSET = re.compile(r"/assets/([A-Za-z0-9_][A-Za-z0-9._-]*)")
#: By content coding, in the order of preference.
_TWINS = {"br": ".br", "gzip": ".gz"}
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_REFUSED_FEATURES = (
    "accelerometer", "autoplay", "camera", "clipboard-read", "display-capture", "encrypted-media", "geolocation", "gyroscope",
    "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
#: Over the headers that every answer has. Source: https://www.w3.org/TR/CSP3/ , https://www.w3.org/TR/trusted-types/
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types podrun",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _REFUSED_FEATURES),
}
#: The index names the assets of its own build: a browser asks each time whether it is still the one.
_FRESH = "no-cache"
#: An asset's name has a hash of what is in it.
_FOR_EVER = "public, max-age=31536000, immutable"
_NOT_BUILT_HTML = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>podrun</title>
<p>{NOT_BUILT.replace("`make setup`", "<code>make setup</code>").replace("/api/v1", "<code>/api/v1</code>")}</p>
</html>
"""


def is_page_path(path: str) -> bool:
    """Whether a path (decoded once, as routes see it) is one of the page's: a view of it, or one of its files."""
    return path == f"/{_FAVICON}" or bool(_VIEW.fullmatch(path) or _ASSET.fullmatch(path))


def is_built(folder: Path = PAGE_FOLDER) -> bool:
    """Whether the page is there."""
    return (folder / _INDEX).is_file()


@dataclass(frozen=True, slots=True)
class _Variant:
    """A file on disk as it was at start-up."""

    path: Path
    size: int
    etag: str  #: strong: a hash of these very bytes


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page: as it is, and compressed."""

    media_type: str
    plain: _Variant
    compressed: Mapping[str, _Variant]  #: by content coding, in the order of preference


class PageFiles:
    """What there is of a page: looked for once. A name that is not in it has no file, whatever is on disk."""

    def __init__(self, folder: Path = PAGE_FOLDER) -> None:
        self._files = dict(_found(folder)) if is_built(folder) else {}

    @property
    def is_built(self) -> bool:
        """Whether there is a page."""
        return bool(self._files)

    async def answer(self, request: Request, name: str, cache_control: str) -> Response:
        """The file of this name, in the coding that the client likes best, or 304. Raises HTTPException 404."""
        file = self._files.get(name)
        if file is None:
            raise _not_found(name)
        coding = preferred_encoding(request.headers.get("accept-encoding"), tuple(file.compressed))
        variant = file.plain if coding is None else file.compressed[coding]
        headers = {**_HEADERS, "ETag": variant.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if matches_etag(request.headers.get("if-none-match"), variant.etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if coding is not None:
            headers["Content-Encoding"] = coding
        headers["Content-Type"] = file.media_type
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(variant.size)})
        try:
            return Response(await asyncio.to_thread(variant.path.read_bytes), headers=headers)
        except FileNotFoundError as error:  # the page was built again since
            raise _not_found(name) from error


def _found(folder: Path) -> Iterator[tuple[str, _File]]:
    """The files by the names that they are asked for."""
    for path in (folder / _INDEX, folder / _FAVICON, *sorted((folder / _ASSETS).glob("*"))):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or not is_page_path(f"/{name}".removesuffix(_INDEX)):
            continue
        if path.suffix in _TWINS.values() and path.with_suffix("").is_file():
            continue
        twins = {coding: path.with_name(path.name + suffix) for coding, suffix in _TWINS.items()}
        compressed = {coding: _variant(twin) for coding, twin in twins.items() if twin.is_file()}
        yield name, _File(_MEDIA_TYPES.get(path.suffix, "application/octet-stream"), _variant(path), compressed)


def _variant(path: Path) -> _Variant:
    data = path.read_bytes()
    return _Variant(path, len(data), f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _not_found(name: str) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, f"the page has no file {name[:200]!r}")


def page_router(files: PageFiles) -> APIRouter:
    """The page's routes; they are no part of the API, and so not in its description."""
    router = APIRouter(include_in_schema=False)

    async def view(request: Request) -> Response:
        if not is_page_path(request.scope["path"]):
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is nothing at {request.scope['path'][:200]}")
        return await files.answer(request, _INDEX, _FRESH) if files.is_built else _not_built(request)

    for path in ("/", "/runs", "/runs/{rest:path}", "/workflows", "/workflows/{rest:path}"):
        router.add_api_route(path, view, methods=["GET", "HEAD"])

    @router.api_route("/assets/{name}", methods=["GET", "HEAD"])
    async def asset(request: Request, name: str) -> Response:
        return await files.answer(request, f"{_ASSETS}/{name}", _FOR_EVER)

    @router.api_route(f"/{_FAVICON}", methods=["GET", "HEAD"])
    async def favicon(request: Request) -> Response:
        return await files.answer(request, _FAVICON, _FRESH)

    return router


def _not_built(request: Request) -> Response:
    """404, in the words of `NOT_BUILT`: for a person, or for a program."""
    headers = {**_HEADERS, "Vary": "Accept"}
    if accepts(request.headers.get("accept"), "text/html"):
        return Response(_NOT_BUILT_HTML, HTTPStatus.NOT_FOUND, headers, "text/html")
    return problem_response(Kind(HTTPStatus.NOT_FOUND, "page-not-built", "The page is not built"), NOT_BUILT, headers=headers)
