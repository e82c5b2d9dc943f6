"""The pages in a real browser: fixtures that start a server, a Hub of this machine and a browser once for each file of tests, and what
several tests do with a page."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
).split()
WAIT = 30_000  # milliseconds, also on a machine that does other work
expect.set_options(timeout=WAIT)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A Hub of this machine, with one model: its address."""
    from test_hub import Hub  # not above: pytest could no longer explain what fails in these files
    from test_verify import SMALL, saved

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    Hub.folders = {"org/model": saved(tmp_path_factory.mktemp("model"), SMALL, max_shard_size="400KB")}
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


@pytest.fixture(scope="module")
def server(published):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/server.py", "--server.port", str(port), "--server.address", "127.0.0.1"]
    log = (ROOT / "build" / f"browser-{port}.log").absolute()
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": published}
        )
    base = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{base}/health", timeout=2)
            break
        except OSError:
            time.sleep(0.25)
    yield base
    process.terminate()
    process.wait(timeout=20)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visitor(browser, server):
    """Opens pages; what the browser's console complains of fails the test."""
    contexts, complaints = [], []

    def open_page(path: str, width: int = 1280, theme: str = "light") -> Page:
        context = browser.new_context(
            base_url=server, viewport={"width": width, "height": 900}, color_scheme=theme, permissions=["clipboard-read", "clipboard-write"]
        )
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def workbench(page: Page) -> None:
    """Wait until the picture is there and the page is at rest."""
    expect(page.locator(".picture svg")).to_be_visible(timeout=WAIT)
    settled(page)


def settled(page: Page) -> None:
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT)


def field(page: Page, path: str):
    return page.locator(f".st-key-f-{path.replace('.', '-')} input")


def change(page: Page, path: str, value: str) -> None:
    field(page, path).fill(value)
    field(page, path).press("Enter")
