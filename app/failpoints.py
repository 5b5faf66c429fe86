"""Named places where a test ends the process: before and after each commit, each call to the cluster and to the log store.

    before(action) ─▶ the commit or the call ─▶ after(action)

In the service they do nothing. Only a test's own program calls `arm`: no setting and no variable reaches it. The suite of
faults walks all of them: what is added here is walked, too, and one that is never passed fails it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum


class Action(StrEnum):
    """What may be cut off: each has a failpoint before it and one after it."""

    MIGRATE = "migrate"  #: bring the database's tables up to date, at a start
    NAME_INSTANCE = "name instance"  #: give the installation its name, at a start
    SUBMIT_RUN = "submit run"  #: a posted run, with its tasks and its idempotency key
    FIRE_SCHEDULE = "fire schedule"  #: a schedule's time is done, with its run
    DELETE_RUN = "delete run"
    ASK = "ask"  #: a user's cancel, retry, suspend, resume, approve or reject
    STORE_WORKFLOW = "store workflow"  #: a stored workflow is put, paused, unpaused or deleted
    RENEW_LEASE = "renew lease"
    CLAIM_RUNS = "claim runs"
    RENEW_CLAIM = "renew claim"  #: a new epoch after an actor failed
    RELEASE_RUNS = "release runs"  #: at a stop
    TAKE_TURN = "take turn"  #: in a concurrency group
    START_RUN = "start run"
    LAY_OUT_ITEMS = "lay out items"  #: the items of a fan-out come in the place of its row
    RECORD_VALUES = "record values"  #: of expressions, before they are used
    BEGIN_ATTEMPT = "begin attempt"  #: before its pod is created
    RECORD_UID = "record uid"  #: of the pod that was created
    RECORD_RUNNING = "record running"
    RECORD_OUTCOME = "record outcome"  #: of an attempt
    SETTLE_ATTEMPT = "settle attempt"  #: its log is sealed and its pod's delete was answered
    END_RUN = "end run"
    FINISH_RUN = "finish run"
    HEED_REQUEST = "heed request"  #: what a user asked for is done, and its row goes
    RECORD_STEP = "record step"  #: any other step of a run
    END_AS_ERROR = "end as error"  #: a run that podrun itself fails at
    FINISH_AS_ERROR = "finish as error"
    OPEN_LOG = "open log"
    APPEND_LOG = "append log"
    MERGE_LOG = "merge log"  #: rows of a log's tail become one object, or one row
    ADD_GAP = "add gap"
    SEAL_LOG = "seal log"
    CREATE_POD = "create pod"
    LAUNCH_SUPERVISOR = "launch supervisor"  #: of a local pod whose folder was made
    GET_POD = "get pod"  #: to adopt it: one of its name is there
    DELETE_POD = "delete pod"
    LIST_PODS = "list pods"
    WATCH_PODS = "watch pods"
    LIST_EVENTS = "list events"
    WATCH_EVENTS = "watch events"
    READ_LOG = "read log"  #: of a container, following it or not
    PUT_OBJECT = "put object"  #: into the log store
    DELETE_OBJECTS = "delete objects"  #: of a deleted run


Reached = Callable[[str], None]


class _Switch:
    reached: Reached | None = None


def arm(reached: Reached) -> None:
    """Call this with each failpoint's name, such as "before create pod", from now on. For tests alone."""
    _Switch.reached = reached


def is_armed() -> bool:
    """Whether names are wanted at all: what costs something to be named need not be."""
    return _Switch.reached is not None


def before(*actions: Action) -> None:
    """One of these is about to be done."""
    _pass("before", actions)


def after(*actions: Action) -> None:
    """These are done, and nobody knows of it yet."""
    _pass("after", actions)


def all_failpoints() -> list[str]:
    """The names of all of them."""
    return [f"{when} {action}" for action in Action for when in ("before", "after")]


def _pass(when: str, actions: Iterable[Action]) -> None:
    if _Switch.reached is not None:
        for action in actions:
            _Switch.reached(f"{when} {action}")
