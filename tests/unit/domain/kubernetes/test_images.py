"""Image references."""

import pytest

from app.domain.kubernetes.images import image_fault

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    "text",
    [
        "python",
        "python:3",
        "python:3.6-slim_x",
        "library/python:3",
        "a/b/c/d",
        "docker.io/library/python",
        "localhost/app",
        "localhost:5000/app:1",
        "registry.example.com:5000/team/app:v1",
        "Registry.Example.com/app",
        "[::1]:5000/app",
        f"python@{DIGEST}",
        f"python:3@{DIGEST}",
        f"r.io:443/a/b@{DIGEST}",
        "a__b/c--d/e.f",
        "x:" + "t" * 128,
    ],
)
def test_image_fault__a_reference__is_taken(text):
    assert image_fault(text) is None


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "it is empty"),
        ("Python:3.6", 'the repository name must be lowercase: "python", not "Python"'),
        ("docker.io/Library/python", 'the repository name must be lowercase: "library/python", not "Library/python"'),
        (" python", "it holds white space"),
        ("python:3\n", "it holds white space"),
        ("https://docker.io/python", "it is a URL"),
        ("python:", 'its tag "" must be'),
        ("python:-x", 'its tag "-x" must be'),
        ("python:" + "t" * 129, "its tag"),
        ("python@sha256:abc", "its digest must be sha256: and 64"),
        ("python@md5:" + "a" * 32, "must start with sha256:"),
        ("python@", "its digest"),
        ("/python", "a part of its name is empty"),
        ("a//b", "a part of its name is empty"),
        ("a/", "a part of its name is empty"),
        ("a..b", 'the part "a..b" of its name'),
        ("a___b", 'the part "a___b" of its name'),
        ("-a", 'the part "-a" of its name'),
        ("exa_mple.com/a", 'its registry "exa_mple.com"'),
        ("a" * 256, "255 is the most"),
        ("0" * 64, "an image's id"),
        ("pythön", "of its name"),
    ],
)
def test_image_fault__no_reference__says_why(text, detail):
    fault = image_fault(text)
    assert fault is not None
    assert "is not an image reference: " in fault
    assert detail in fault
