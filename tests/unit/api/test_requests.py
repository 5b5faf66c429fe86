"""How requests are read: accepted types, entity tags, hosts and origins."""

from __future__ import annotations

import pytest

from app.api.requests import matches_etag, preferred_type
from app.api.security import _host_name, _is_same

OFFERS = ("text/plain", "application/x-ndjson", "text/event-stream")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("text/event-stream", "text/event-stream"),
        ("text/plain;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("application/*", "application/x-ndjson"),
        ("text/html", "text/plain"),
        ("text/event-stream;q=0, */*;q=0.1", "text/plain"),
        ("Text/Event-Stream", "text/event-stream"),
        ("text/plain;q=x", "text/plain"),
        ("", "text/plain"),
    ],
)
def test_preferred_type__what_clients_send__gives_what_they_like_best(accept: str | None, wanted: str) -> None:
    assert preferred_type(accept, OFFERS) == wanted


@pytest.mark.parametrize(
    ("header", "is_match"),
    [
        (None, False),
        ('W/"a.1"', True),
        ('"a.1"', True),
        ('W/"a.2"', False),
        ('W/"x", W/"a.1"', True),
        ("*", True),
        ("", False),
    ],
)
def test_matches_etag__weak_comparison(header: str | None, is_match: bool) -> None:
    assert matches_etag(header, 'W/"a.1"') is is_match


@pytest.mark.parametrize(
    ("host", "name"),
    [("a:80", "a"), ("A", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("[::1", ""), ("", ""), ("::1", "")],
)
def test_host_name__without_port(host: str, name: str) -> None:
    assert _host_name(host) == name


@pytest.mark.parametrize(
    ("origin", "host", "is_same"),
    [
        ("http://a:8080", "a:8080", True),
        ("http://a", "a", True),
        ("https://a", "a:443", True),
        ("http://a:80", "A", True),
        ("http://a", "a:8080", False),
        ("null", "a", False),
        ("http://b", "a", False),
        ("", "a", False),
        ("http://[::1", "a", False),
        ("http://a@b", "b", False),
        ("https://a", "a:80", False),
    ],
)
def test_is_same__host_and_port_of_an_origin(origin: str, host: str, is_same: bool) -> None:
    assert _is_same(origin, host) is is_same
