"""The page's files over HTTP, from a folder of the test's own."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from app.api.page import NOT_BUILT
from tests.integration.api.service import running

SCRIPT = b"console.log('hello');" * 50
TOKEN = "t0ken"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types podrun"
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A built page; what stands for compressed bytes says which coding it is."""
    folder = tmp_path / "built"
    (folder / "assets" / "deep").mkdir(parents=True)
    files = {
        "index.html": b"<!doctype html>", "index.html.br": b"br index", "favicon.svg": b"<svg/>",
        "notes.txt": b"not of the page",
        "assets/main-1a2b.js": SCRIPT, "assets/main-1a2b.js.br": b"br script", "assets/main-1a2b.js.gz": b"gz script",
        "assets/main-1a2b.css": b"p{}", "assets/main-1a2b.js.map": b"{}", "assets/mono-1a.woff2": b"font",
        "assets/x-1.json": b"{}",
        "assets/.hidden.js": b"hidden", "assets/deep/a.js": b"deep", "assets/odd-1.bin": b"odd",
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def _raw(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Accept-Encoding": ""}, trust_env=False)


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/", "/runs/x", "/runs/x/tasks/a.1", "/workflows", "/workflows/nightly"])
async def test_view__any__is_the_index_without_a_token(tmp_path: Path, page: Path, path: str) -> None:
    async with running(tmp_path, page_folder=page, token=TOKEN) as service, _raw(service.url) as http:
        answer = await http.get(path)
        assert (answer.status_code, answer.content) == (200, b"<!doctype html>")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cross-origin-opener-policy"] == answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not answer.headers["etag"].startswith("W/")
        same = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
        assert (same.headers["cache-control"], same.headers["vary"]) == ("no-cache", "Accept-Encoding")
        head = await http.head(path)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "15")
        assert {**head.headers, "date": ""} == {**answer.headers, "date": ""}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("main-1a2b.js", "text/javascript; charset=utf-8"), ("main-1a2b.css", "text/css; charset=utf-8"),
        ("main-1a2b.js.map", "application/json"), ("mono-1a.woff2", "font/woff2"), ("x-1.json", "application/json"),
        ("odd-1.bin", "application/octet-stream"),
    ],
)  # fmt: skip
async def test_asset__by_its_name__is_cached_for_ever(tmp_path: Path, page: Path, name: str, media_type: str) -> None:
    async with running(tmp_path, page_folder=page, token=TOKEN) as service, _raw(service.url) as http:
        answer = await http.get(f"/assets/{name}")
        assert (answer.status_code, answer.content) == (200, (page / "assets" / name).read_bytes())
        assert answer.headers["content-type"] == media_type
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["etag"]
        favicon = await http.get("/favicon.svg")
        assert (favicon.content, favicon.headers["content-type"]) == (b"<svg/>", "image/svg+xml")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None), ("identity", None), ("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("GZIP", "gzip"), ("*", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"), ("br;q=0, *", "gzip"), ("br;q=0, gzip;q=0", None), ("*;q=0", None),
        ("gzip;q=0.2, identity;q=0.9", None), ("br; q=1.0, identity; q=0.5", "br"), ("zstd", None), ("br;q=x", "br"),
        (";,=", None),
    ],
)  # fmt: skip
async def test_asset__accept_encoding__chooses_by_quality(
    tmp_path: Path, page: Path, accepted: str, coding: str | None
) -> None:
    async with running(tmp_path, page_folder=page) as service, _raw(service.url) as http:
        request = http.build_request("GET", "/assets/main-1a2b.js", headers={"Accept-Encoding": accepted})
        answer = await http.send(request, stream=True)
        body = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers.get("content-encoding") == coding
        assert body == {None: SCRIPT, "br": b"br script", "gzip": b"gz script"}[coding]
        assert answer.headers["content-length"] == str(len(body))
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["vary"] == "Accept-Encoding"


async def test_asset__codings__have_tags_of_their_own(tmp_path: Path, page: Path) -> None:
    async with running(tmp_path, page_folder=page) as service, _raw(service.url) as http:
        tags = {}
        for coding in ("", "br", "gzip"):
            answer = await http.head("/assets/main-1a2b.js", headers={"Accept-Encoding": coding})
            tags[coding] = answer.headers["etag"]
        assert len(set(tags.values())) == 3
        headers = {"Accept-Encoding": "br", "If-None-Match": tags["br"]}
        assert (await http.get("/assets/main-1a2b.js", headers=headers)).status_code == 304
        headers["If-None-Match"] = tags["gzip"]
        assert (await http.head("/assets/main-1a2b.js", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js", "main-1a2b.js.br", "main-1a2b.js.gz", "..%2findex.html", "..%2fnotes.txt", "deep%2fa.js", ".hidden.js",
        "deep",
    ],
)  # fmt: skip
async def test_asset__that_is_none__is_a_404_problem(tmp_path: Path, page: Path, name: str) -> None:
    (page / "../secret.txt").write_text("secret")
    async with running(tmp_path, page_folder=page) as service, _raw(service.url) as http:
        answer = await http.get(f"/assets/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert (await http.get("/notes.txt")).status_code == 404
        assert (await http.get("/index.html")).status_code == 404


async def test_asset__gone_from_disk_since_the_start__is_404(tmp_path: Path, page: Path) -> None:
    async with running(tmp_path, page_folder=page) as service, _raw(service.url) as http:
        (page / "assets/main-1a2b.js").unlink()
        (page / "assets/new-1.js").write_text("new")
        assert (await http.get("/assets/main-1a2b.js")).status_code == 404
        assert (await http.get("/assets/new-1.js")).status_code == 404


async def test_page__another_method__is_405(tmp_path: Path, page: Path) -> None:
    async with running(tmp_path, page_folder=page) as service, _raw(service.url) as http:
        answer = await http.post("/runs")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "*/*", "text/*", None])
async def test_page__not_built__says_so_in_html(tmp_path: Path, accept: str | None) -> None:
    async with running(tmp_path, token=TOKEN) as service, _raw(service.url) as http:
        http.headers.pop("accept")
        for path in ("/", "/runs/x", "/workflows"):
            answer = await http.get(path, headers={} if accept is None else {"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
            assert answer.headers["content-security-policy"] == POLICY
            assert answer.headers["cache-control"] == "no-store"
            assert "The page is not built" in answer.text
            assert "<code>make setup</code>" in answer.text
            assert "<script" not in answer.text


async def test_page__not_built__is_a_problem_where_html_is_not_accepted(tmp_path: Path) -> None:
    async with running(tmp_path, token=TOKEN) as service, _raw(service.url) as http:
        for accept in ("application/json", "application/problem+json", "text/html;q=0, */*"):
            answer = await http.get("/runs", headers={"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            problem = json.loads(answer.text)
            assert (problem["type"], problem["detail"]) == ("urn:podrun:problem:page-not-built", NOT_BUILT)
            assert answer.headers["content-security-policy"] == POLICY
        for path in ("/assets/a.js", "/favicon.svg"):
            assert (await http.get(path)).headers["content-type"] == "application/problem+json"
