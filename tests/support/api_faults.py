"""What a proxy before an API server does to requests, and to which: the rules of `api_proxy.ApiProxy`."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

_PATH = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/(?P<resource>[^/]+)(/(?P<name>[^/]+)(?P<log>/log)?)?")
_VERBS = {"POST": "create", "DELETE": "delete", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a Status in the API server's place."""

    code: int
    reason: str = ""
    message: str = "the proxy says no"
    retry_after: int | None = None

    def body(self) -> bytes:
        """The Status."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code, "message": self.message}
        return json.dumps(status | ({"reason": self.reason} if self.reason else {})).encode()


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answer 200 with these bytes; or, not even in HTTP, with nothing else on the wire."""

    data: bytes = b"\x00\xff{garbage\n"
    is_http: bool = True


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the connection before anything is passed on."""


@dataclass(frozen=True, slots=True)
class Lose:
    """Pass the request on, and cut the connection in place of its answer: done, but unanswered."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before the request is passed on, or, with `after`, before its answer is."""

    seconds: float
    after: bool = False


@dataclass(frozen=True, slots=True)
class Trickle:
    """Pass the answer on slowly."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class Break:
    """Do something to an answer's body after so many bytes, or so many seconds; without both: at once.

    `cut` breaks the connection, `end` ends the body cleanly after a whole line and `say`, `silence` passes nothing more on
    until the proxy is told to. With `exactly`, `end` may stand within a line, and what comes before a `cut` arrives.
    """

    how: Literal["cut", "end", "silence"]
    after_bytes: int = 0
    after_seconds: float | None = None
    say: bytes = b""
    exactly: bool = False


Action = Answer | Garbage | Drop | Lose | Delay | Trickle | Break

#: The line by which an API server ends a watch whose version it has forgotten.
EXPIRED_LINE = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as it came."""

    at: float  #: by the monotonic clock
    agent: str
    method: str
    path: str
    query: str
    verb: str  #: of Kubernetes, and `log`; `other` for what is not in a namespace
    namespace: str = ""
    resource: str = ""
    name: str = ""  #: of what is created, too
    status: int | None = None  #: None: not answered
    is_passed: bool = False  #: the API server has seen it
    faults: list[str] = field(default_factory=list)  #: what was done to it

    @classmethod
    def parse(cls, method: str, path: str, query: str, agent: str) -> Call:
        """The request of this method, path and query, now."""
        found = _PATH.fullmatch(path)
        call = cls(at=time.monotonic(), agent=agent, method=method, path=path, query=query, verb="other")
        if found is None:
            return call
        call.namespace, call.resource, call.name = found["namespace"], found["resource"], found["name"] or ""
        of_get = "watch" if "watch=true" in query else "log" if found["log"] else "get" if call.name else "list"
        call.verb = of_get if method == "GET" else _VERBS.get(method, "other")
        return call

    def read_name(self, body: bytes) -> None:
        """Take the name of what is to be created out of the body."""
        if self.verb == "create":
            with suppress(ValueError, KeyError, TypeError):
                self.name = str(json.loads(body)["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests: by verb (several with blanks between), resource, a pattern in the name, a text in the query.

    Or by a text that is not in the query (`without`).
    """

    verb: str = ""
    resource: str = ""
    name: str = ""
    query: str = ""
    without: str = ""

    def takes(self, call: Call) -> bool:
        """Whether the request is one of them."""
        return (
            (not self.verb or call.verb in self.verb.split())
            and (not self.resource or call.resource == self.resource)
            and re.search(self.name, call.name) is not None
            and self.query in call.query
            and not (self.without and self.without in call.query)
        )


class Rule:
    """An action, for the requests that match: all of them, or some by number, by chance, or the first few."""

    def __init__(
        self,
        action: Action,
        match: Match,
        *,
        only: Callable[[int], bool] | None = None,
        each: bool = False,
        times: int | None = None,
        chance: random.Random | None = None,
        probability: float = 1.0,
    ) -> None:
        """`only` is asked with the number of the match, from 1, or, with `each`, of the match for the same verb, path and name.

        `times` is how often the action is done at most.
        """
        self.action = action
        self.seen = 0  #: how many requests matched
        self.hits = 0  #: to how many the action was done
        self._match, self._only, self._each, self._times = match, only, each, times
        self._numbers: Counter[tuple[str, ...]] = Counter()
        # Of its own: the proxy's thread asks it.
        self._chance, self._probability = random.Random(chance.random() if chance else 0), probability

    def applies(self, call: Call) -> bool:
        """Whether to do it to this request; counts it."""
        if not self._match.takes(call):
            return False
        self.seen += 1
        thing = (call.verb, call.path, call.name) if self._each else ()
        self._numbers[thing] += 1
        if self._only is not None and not self._only(self._numbers[thing]):
            return False
        if self._times is not None and self.hits >= self._times:
            return False
        if self._chance.random() >= self._probability:
            return False
        self.hits += 1
        return True
