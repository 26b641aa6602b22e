"""The page on this machine alone: loopback, own host names, nothing loaded from elsewhere."""

import socket
import threading
import webbrowser
from importlib.resources import files

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hitherto.explorer.page import page, redrawn

HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]  # a page elsewhere whose name is made to point here is refused
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def application() -> Starlette:
    """The page, its answers to a query, its style and its script."""
    style = _text("report", "style.css") + _text("explorer", "style.css")
    script = _text("explorer", "explorer.js")

    def whole(request: Request) -> Response:
        return _answer(page(request.query_params), "text/html")

    def answers(request: Request) -> Response:
        return _answer(redrawn(request.query_params), "text/html")

    routes = [
        Route("/", whole),
        Route("/answers", answers),
        Route("/style.css", lambda _: _answer(style, "text/css")),
        Route("/explorer.js", lambda _: _answer(script, "text/javascript")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)])


def bound(port: int) -> socket.socket:
    """A socket on loopback that already listens, so that a browser may be sent to it; port 0 takes a free one.

    Raises:
        ValueError: for a port that is taken or is none.
    """
    if not 0 <= port < 2**16:
        raise ValueError(f"port {port} was asked for, and ports end at 65535; give another, or 0 for any that is free")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        told = f"port {port} was asked for and cannot be had ({error.strerror})"
        raise ValueError(f"{told}; give another, or 0 for any that is free") from None


def serve(listening: socket.socket, open_browser: bool) -> None:
    """Answer until Ctrl-C."""
    page(dict())  # the first visitor waits for nothing
    if open_browser:
        threading.Thread(target=webbrowser.open, args=[address(listening)], daemon=True).start()
    try:
        server(application()).run(sockets=[listening])
    except KeyboardInterrupt:  # raised again once all is closed
        return


def server(app: Starlette) -> uvicorn.Server:
    """Plain HTTP, quiet, with no other process."""
    settings = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none", http="h11")
    return uvicorn.Server(settings)


def address(listening: socket.socket) -> str:
    """Where a browser finds it."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def _answer(text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type, headers=HEADERS)


def _text(package: str, name: str) -> str:
    return files(f"hitherto.{package}").joinpath(name).read_text("utf-8")
