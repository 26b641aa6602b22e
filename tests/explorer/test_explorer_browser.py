"""The explorer in a real browser: controls are moved, and the numbers that change are read."""

import shutil
import threading

import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; Debian's package has one")


@pytest.fixture(scope="module")
def address():
    """A running explorer."""
    from hitherto.explorer import server

    with server.bound(0) as listening:
        running = server.server(server.application())
        thread = threading.Thread(target=running.run, kwargs=dict(sockets=[listening]))
        thread.start()
        yield server.address(listening)
        running.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        launched = engine.chromium.launch(executable_path=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def page(browser, address):
    """A fresh page; whatever it logs, and all it asks of other machines, fails the test."""
    opened = browser.new_page()
    told = []
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("request", lambda asked: asked.url.startswith((address, "data:")) or told.append(asked.url))
    opened.goto(address)
    yield opened
    opened.close()
    assert told == []


def reads(page, name: str, value: str) -> None:
    """Wait until a number of a panel has a value."""
    playwright.expect(page.locator(f"#{name}")).to_have_text(value)


def test_a_slider_moved_by_keys_changes_the_number(page, address):
    reads(page, "depth-reach", "14 steps")  # 2 layers of 32 units less 4, over 4 channels
    page.get_by_role("slider", name="Depth").press("ArrowRight")
    reads(page, "depth-reach", "21 steps")
    playwright.expect(page.get_by_role("spinbutton", name="Depth")).to_have_value("3")
    assert "depth=3" in page.url
    page.reload()
    reads(page, "depth-reach", "21 steps")


def test_every_theory_follows_its_controls(page):
    page.get_by_label("Recurrence").select_option("arithmetic circuit")
    reads(page, "start_end-rank", "1.68×10⁷")  # 4^12
    page.get_by_label("Recurrence").select_option("ReLU")
    reads(page, "start_end-rank", "not covered")
    reads(page, "unitary-twin", "64")
    page.get_by_label("Initialisation").select_option("Gaussian")
    reads(page, "unitary-twin", "undecided")
    page.get_by_role("spinbutton", name="Lag").fill("1")
    reads(page, "mean_field-threshold", "none")
    playwright.expect(page.locator("#linear_bias dt").first).to_have_text("Cost of lag 1")


def test_a_number_out_of_range_is_said(page):
    page.get_by_role("spinbutton", name="Width").fill("100000")
    playwright.expect(page.locator("#complaints")).to_contain_text("give a number from 1 to 512")
    playwright.expect(page.get_by_role("status")).to_contain_text("Shown is 512")
    page.get_by_role("spinbutton", name="Width").fill("8")
    playwright.expect(page.locator("#complaints")).to_be_empty()
    reads(page, "depth-reach", "2 steps")


def test_every_control_is_reached_by_tab(page):
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.name || document.activeElement.dataset.of"))
    expected = ["depth", "width", "recurrence", "initialisation", "kept", "lag", "alphabet"]
    assert list(dict.fromkeys(names)) == expected


def test_a_phone_needs_no_scrolling_sideways(page):
    page.set_viewport_size(dict(width=360, height=740))
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("#answers .first").bounding_box()["y"] < 740  # the first numbers are seen beside the controls


def test_without_scripts_a_form_is_sent(browser, address):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Depth", exact=True).fill("3")
        page.get_by_role("button", name="Predict").click()
        reads(page, "depth-reach", "21 steps")
