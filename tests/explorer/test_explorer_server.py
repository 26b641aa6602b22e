"""The explorer as a browser and its neighbours meet it: loopback, own names, nothing from elsewhere, a clean end."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import pytest

from hitherto.cli import main


@pytest.fixture(scope="module")
def explorer():
    """The command as it is run, and its port."""
    command = [sys.executable, "-c", "from hitherto.cli import main; import sys; sys.exit(main(sys.argv[1:]))"]
    command += ["explore", "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
    yield process, int(port[1])
    if process.poll() is None:
        process.kill()
    process.communicate()


def get(port: int, path: str, host: str | None = None) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=dict(Host=host) if host else {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/answers", "text/html"), ("/style.css", "text/css"), ("/explorer.js", "text/javascript")],
)
def test_everything_comes_from_here(explorer, path, kind):
    status, headers, body = get(explorer[1], path)
    assert status == 200
    assert headers.get_content_type() == kind
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"""(https?:)?//[\w.]+/|url\(|@import| style=""", body)


def test_another_host_name_is_refused(explorer):
    assert get(explorer[1], "/", "evil.example")[0] == 400
    assert get(explorer[1], "/", f"localhost:{explorer[1]}")[0] == 200


def test_only_loopback_listens(explorer):
    with socket.create_server(("127.0.0.2", explorer[1])):  # free, as it would not be were every address taken
        pass


def test_a_query_is_a_view(explorer):
    body = get(explorer[1], "/?depth=3&width=20&alphabet=5&recurrence=2rnn")[2]
    assert '<option value="2rnn" selected>' in body
    assert '<dd class="value" id="depth-reach">9 steps</dd>' in body


def test_nonsense_is_answered_in_words(explorer):
    status, _, body = get(explorer[1], "/answers?width=%00&lag=1e999&kept=&recurrence=%3Cb%3E&unknown=1")
    assert status == 200
    assert body.count("Shown is") == 4
    assert get(explorer[1], "/elsewhere")[0] == 404


def test_a_port_that_is_taken_is_told(explorer, capsys):
    assert main(["explore", "--port", str(explorer[1]), "--no-browser"]) == 2
    assert "give another, or 0 for any" in capsys.readouterr().err
    assert main(["explore", "--port", "70000", "--no-browser"]) == 2
    assert "ports end at 65535" in capsys.readouterr().err


def test_the_server_is_an_extra(monkeypatch, capsys):
    import hitherto.explorer

    monkeypatch.delitem(sys.modules, "hitherto.explorer.server", raising=False)
    monkeypatch.delattr(hitherto.explorer, "server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["explore"]) == 2
    assert "hitherto[explore]" in capsys.readouterr().err


def test_interrupt_ends_it_cleanly(explorer):
    explorer[0].send_signal(signal.SIGINT)
    assert explorer[0].wait(30) == 0
    assert explorer[0].stderr.read() == ""
