"""`hitherto explore`: the page on which sizes are controls."""


def explore_page(port: int, open_browser: bool) -> None:
    """Serve the page until Ctrl-C, and say where.

    Raises:
        ValueError: for a port that cannot be had.
        ImportError: without the server, with what installs it.
    """
    try:
        from hitherto.explorer import server
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise ImportError('explore needs starlette and uvicorn: pip install "hitherto[explore]"') from error
    with server.bound(port) as listening:
        print(f"Explorer: {server.address(listening)} (Ctrl-C ends it)", flush=True)
        server.serve(listening, open_browser)
