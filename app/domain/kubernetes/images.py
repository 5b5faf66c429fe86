"""Image references, by the grammar that container runtimes parse them with.

Source: https://pkg.go.dev/github.com/distribution/reference (grammar, and ParseNormalizedNamed for what is a registry)
"""

from __future__ import annotations

import re

from app.domain.pointers import shown

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LONGEST_NAME = 255


def image_fault(text: str) -> str | None:
    """Why a text is no image reference (`[registry[:port]/]repository[:tag][@digest]`), None if it is one."""
    fault = _fault(text)
    return f"{shown(text)} is not an image reference: {fault}" if fault else None


def _fault(text: str) -> str | None:
    if not text:
        return "it is empty; leave the key out (or give null) for a task without a pod"
    if text != text.strip() or any(char.isspace() for char in text):
        return "it holds white space"
    if "://" in text:
        return "it is a URL; write registry/repository:tag, without the scheme"
    rest, at, digest = text.partition("@")
    if at and (fault := _digest_fault(digest)):
        return fault
    # A colon behind the last slash starts the tag; one before it is a registry's port.
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return f"its tag {shown(tag)} must be 1 to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
    return _name_fault(f"{head}{slash}{last}")


def _digest_fault(digest: str) -> str | None:
    algorithm, _, digits = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None:
        return f"its digest {shown(digest)} must start with sha256:, sha384: or sha512:"
    if not re.fullmatch(rf"[a-f0-9]{{{length}}}", digits):
        return f"its digest must be {algorithm}: and {length} lower-case hexadecimal digits"
    return None


def _name_fault(name: str) -> str | None:
    if len(name) > _LONGEST_NAME:
        return f"its name has {len(name)} characters; {_LONGEST_NAME} is the most"
    first, slash, rest = name.partition("/")
    has_domain = bool(slash) and (any(char in first for char in ".:") or first == "localhost" or first != first.lower())
    if has_domain and first != first.lower() and not any(char in first for char in ".:"):
        # The grammar would read it as a registry's host, as it can't be a repository; there is none of such a name.
        return f"the repository name must be lowercase: {shown(name.lower())}, not {shown(name)}"
    if has_domain and not _DOMAIN.fullmatch(first):
        return f"its registry {shown(first)} must be a host name, with a port if need be"
    path = rest if has_domain else name
    if path != path.lower():
        return f"the repository name must be lowercase: {shown(path.lower())}, not {shown(path)}"
    if not has_domain and re.fullmatch(r"[a-f0-9]{64}", path):
        return "64 hexadecimal digits are an image's id, not its name"
    for component in path.split("/"):
        if not component:
            return "a part of its name is empty"
        if not _COMPONENT.fullmatch(component):
            return (
                f"the part {shown(component)} of its name must be lower-case letters and digits, with single '.', one or two "
                "'_' or hyphens between them"
            )
    return None
