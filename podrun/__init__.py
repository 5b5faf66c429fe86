"""podrun for its users: `Client` and `AsyncClient` talk to a podrun service over HTTP and websocket.

    from podrun import Client, Workflow

    with Workflow("hello") as w:
        w.task("hi", image="python:3", command=["python3", "-c", "print('hi')"])
    with Client("http://127.0.0.1:8080") as client:
        run = client.submit(w)
        print(client.wait(run["id"])["phase"])

Nothing here needs the service's own packages (`podrun[server]`).
"""

from podrun.builder import Workflow
from podrun.client import AsyncClient
from podrun.errors import ClientError, InvalidArgument, ProblemError, ServerUnreachable, StreamRefused, UnexpectedAnswer
from podrun.expressions import Expression, item
from podrun.link import Patience
from podrun.sync_client import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Expression",
    "InvalidArgument",
    "Patience",
    "ProblemError",
    "ServerUnreachable",
    "StreamRefused",
    "UnexpectedAnswer",
    "Workflow",
    "item",
]
