"""Kubernetes' objects as a task holds them, checked offline as the API server would, and merged as it merges. Pure."""
