from __future__ import annotations

import json

import pytest

from app.domain.errors import InvalidBody
from app.pods.local.honour import find_refused
from app.runs.documents import read_submission


def test_read_workflow__wrong_here_and_wrong_anywhere__all_in_one_answer():
    class Pods:
        kind, namespaces = "local", ("default",)
        refuse = staticmethod(find_refused)

    tasks = [
        {"name": "a", "image": "Python:3.6", "command": ["x"]},
        {"name": "b", "image": "x", "volumes": [{"name": "v", "emptyDir": {}}]},
    ]
    request = {"workflow": {"name": "w", "tasks": tasks}}
    with pytest.raises(InvalidBody) as caught:
        read_submission(json.dumps(request).encode(), request, Pods())
    assert [fault.pointer for fault in caught.value.faults] == [
        "/workflow/tasks/0/image",
        "/workflow/tasks/1",
        "/workflow/tasks/1/volumes",
    ]
