"""What a misspelt key or name was probably meant to be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property, lru_cache

_LONGEST = 64  #: characters of a name that is looked for
_SHORTEST = 3  #: of two letters almost anything is one letter away
_MOST = 200_000  #: characters of all names together; beyond, nothing is suggested

#: What other systems call our keys (Kubernetes' camelCase is found without this).
_ALIASES = {
    "dependencies": "depends_on",
    "needs": "depends_on",
    "upstream": "depends_on",
    "cmd": "command",
    "entrypoint": "command",
    "timeout": "timeout_seconds",
    "retry": "retries",
    "retrystrategy": "retries",
    "activedeadlineseconds": "timeout_seconds",
    "serviceaccount": "service_account_name",
    "parallelism": "max_parallel_tasks",
    "failfast": "fail_fast",
    "cwd": "working_dir",
    "imagepullsecret": "image_pull_secrets",
    "environment": "env",
    "delay": "delay_seconds",
    "backoff": "delay_seconds",
    "steps": "tasks",
    "jobs": "tasks",
    "parameters": "params",
    "inputs": "params",
    "arguments": "params",
    "finally": "on_exit",
    "exithandler": "on_exit",
    "teardown": "on_exit",
    "matrix": "foreach",
    "loop": "foreach",
    "expand": "foreach",
    "withitems": "foreach",
    "withparam": "foreach",
    "if": "when",
    "condition": "when",
    "maxactivetisperdag": "max_parallel",
    "priorityclass": "priority_class_name",
    "podspecpatch": "pod",
    "mutex": "concurrency",
    "synchronization": "concurrency",
}


def _plain(key: str) -> str:
    return re.sub(r"[-_ ]", "", key).lower()


@lru_cache(maxsize=64)
def _known_keys(known: tuple[str, ...]) -> tuple[dict[str, str], CloseNames]:
    return {_plain(name): name for name in known}, CloseNames(known)


def suggest_key(key: str, known: tuple[str, ...]) -> str | None:
    """The known key that was meant: another spelling of it (`workingDir`), an alias, or a close one; None if none is."""
    if len(key) > _LONGEST:
        return None
    by_plain, close = _known_keys(known)
    if found := by_plain.get(_plain(key)):
        return found
    if (alias := _ALIASES.get(_plain(key))) in known:
        return alias
    return close.find(key)


def _with_one_less(name: str) -> Iterator[str]:
    yield name
    for index in range(len(name)):
        yield name[:index] + name[index + 1 :]


class CloseNames:
    """Finds the name that is one slip of the keyboard away: a letter too many, missing, wrong, or two of them swapped.

    Two names that are so close share a text with one letter less. With an index of those a look-up costs the length of the
    name, however many there are: a document with ten thousand typos is still answered at once.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    @cached_property
    def _index(self) -> dict[str, str]:
        if sum(map(len, self._names)) > _MOST:
            return {}
        return {text: name for name in reversed([*self._names]) for text in _with_one_less(name)}

    def find(self, name: str) -> str | None:
        """The name that was meant, None if none is close."""
        if not _SHORTEST <= len(name) <= _LONGEST:
            return None
        return next((self._index[text] for text in _with_one_less(name) if text in self._index), None)
