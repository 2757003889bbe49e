"""What stands before Gradio: how large a request may be, how many come from one client, how many of them may wait.

Handlers count the requests that compute when their turn comes. That is too late for those who fill the queue, upload
or only send: those are counted here, before anything of them is read.
"""

from collections import Counter
from typing import Any

from gradio.route_utils import API_PREFIX
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.limits import BadInput, RateLimit, client_of

MOST_BYTES = 6_000_000  # of a request: the largest upload or picture with what is around it
POSTS_PER_REQUEST = 10  # small events of a page, such as a click on an example, for each request that computes
MOST_WAITING = 16  # requests of one client in the queue, of the app's 64
CANCEL = f"{API_PREFIX}/cancel"
UPLOAD = f"{API_PREFIX}/upload"
QUEUED = (f"{API_PREFIX}/queue/join", f"{API_PREFIX}/call/")


class Door:
    """ASGI middleware that refuses a POST with one polite line; answers and their streams pass as they are.

    Args:
        app: what comes behind it, within Gradio's own application.
        requests: how many requests a client has; an upload is one.
    """

    def __init__(self, app: ASGIApp, requests: RateLimit) -> None:
        self.app, self.uploads = app, requests
        self.posts = RateLimit(POSTS_PER_REQUEST * requests.per_minute)
        self.entering: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through or refuses it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        client = client_of(HTTPConnection(scope))
        queued = scope["path"].startswith(QUEUED)
        try:
            self._check(scope, client, queued=queued)
        except HTTPException as refusal:
            await JSONResponse({"detail": refusal.detail}, refusal.status_code)(scope, receive, send)
            return
        if not queued:
            await self.app(scope, _bounded(receive), send)
            return
        self.entering[client] += 1  # not yet in the queue, where those are counted that came before
        try:
            await self.app(scope, _bounded(receive), send)
        finally:
            self.entering[client] -= 1
            self.entering += Counter()  # forgets clients with none

    def _check(self, scope: Scope, client: str, *, queued: bool) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BYTES:
            raise _TooLarge
        if scope["path"] == CANCEL:
            return
        try:
            (self.uploads if scope["path"] == UPLOAD else self.posts).take(client)
        except BadInput as error:
            raise HTTPException(429, error.message) from None
        if queued and self.posts.per_minute and self._waiting(scope, client) >= MOST_WAITING:
            raise HTTPException(
                429, f"{MOST_WAITING} requests from one place wait already; try again when one of them has its answer."
            )

    def _waiting(self, scope: Scope, client: str) -> int:
        queues = scope["app"].get_blocks()._queue.event_queue_per_concurrency_id.values()
        inside = sum(client_of(event.request) == client for queue in queues for event in queue.queue)
        return inside + self.entering[client]


class _TooLarge(HTTPException, MultiPartException):
    """As Gradio's reader of uploads expects it, which then removes what it has written, and as FastAPI does."""

    def __init__(self) -> None:
        self.message = f"The request exceeds the maximum allowed size of {MOST_BYTES / 1e6:.0f} MB."
        HTTPException.__init__(self, 413, self.message)


def _bounded(receive: Receive) -> Receive:
    """The body, which need not be as long as its header says, or may have no length there."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message: dict[str, Any] = dict(await receive())
        received += len(message.get("body", b""))
        if received > MOST_BYTES:
            raise _TooLarge
        return message

    return counted
