"""podrun for its users: `Client` and `AsyncClient` talk to a podrun service over HTTP and websocket.

    from podrun import Client

    with Client("http://127.0.0.1:8080") as client:
        run = client.submit({"name": "hello", "tasks": [{"name": "hi", "image": "python:3", "command": ["true"]}]})
        print(client.wait(run["id"])["phase"])

Nothing here needs the service's own packages (`podrun[server]`).
"""

from podrun.client import AsyncClient
from podrun.errors import ClientError, InvalidArgument, ProblemError, ServerUnreachable, StreamRefused, UnexpectedAnswer
from podrun.link import Patience
from podrun.sync_client import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "InvalidArgument",
    "Patience",
    "ProblemError",
    "ServerUnreachable",
    "StreamRefused",
    "UnexpectedAnswer",
]
