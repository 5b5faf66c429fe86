"""Paths in Kubernetes' objects: why one is not taken, None where it is."""

from __future__ import annotations

from app.domain.pointers import shown


def plain_path_fault(path: str) -> str | None:
    """A path without `..`."""
    return f"{shown(path)} must be a path without '..'" if ".." in path.split("/") else None


def relative_path_fault(path: str) -> str | None:
    """A relative path without `..`; "" is one."""
    if path.startswith("/") or ".." in path.split("/"):
        return f"{shown(path)} must be a relative path without '..'"
    return None


def inner_path_fault(path: str) -> str | None:
    """The path of a file that Kubernetes writes into a volume: its own files there start with `..`."""
    return relative_path_fault(path) or (f"{shown(path)} must not start with '..'" if path.startswith("..") else None)
