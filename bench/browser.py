"""How long the app takes, in a real browser: first paint, edit to paint, script runs, and memory with fifty visitors."""

import asyncio
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from http.client import HTTPConnection
from threading import Event, Thread

import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync".split()
EDITS, VISITORS = 30, 50

# When the browser asks the server, and when the picture arrives, which is by far the largest message of an edit.
SOCKET = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) { window.asked ??= performance.now(); return send.call(this, data); };
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => { if ((data.byteLength ?? data.size) > 20000) window.arrived ??= performance.now(); });
  }
};
"""
# From the click on a stepper to the frame that shows the new figure in the picture, by stage.
TIMER = """(wanted) => {
  window.spent = null;
  const shadow = [...document.querySelectorAll('*')].map((e) => e.shadowRoot).find((s) => s?.querySelector('.picture'));
  document.addEventListener('click', () => {
    const began = performance.now();
    window.asked = window.arrived = null;
    const watch = new MutationObserver(() => {
      if (!shadow.querySelector('.picture')?.textContent.includes(wanted)) return;
      watch.disconnect();
      const drawn = performance.now();
      requestAnimationFrame(() => {
        const after = new MessageChannel();
        after.port1.onmessage = () => {
          window.spent = [asked - began, arrived - asked, drawn - arrived, performance.now() - drawn];
        };
        after.port2.postMessage(0);
      });
    });
    watch.observe(shadow, {childList: true, subtree: true});
  }, {once: true, capture: true});
}"""
STAGES = ("the browser asks", "the script draws the picture and it arrives", "React puts it into the page", "layout and paint")
SLOW = ("hrm-text-1b", "gemma-3n-e4b", "gemma-4-e2b", "deepseek-v4-pro", "step-3.5-flash", "llama-3.1-405b")


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *"-m streamlit run app/server.py --server.address 127.0.0.1 --server.port".split(), str(port)]
    memory = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # as in the Dockerfile
    surroundings = {**os.environ, "PYTHONPATH": os.getcwd(), **memory}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=surroundings)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{base}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.2)
        yield base, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def page_of(browser: Browser, url: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(SOCKET)
    page.goto(url)
    return page


def first_paint(browser: Browser, base: str) -> float:
    """Seconds from an empty browser to the gallery's first card, the median of five."""
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        page = page_of(browser, base)
        page.locator(".card a").first.wait_for()
        spent.append(time.perf_counter() - began)
        page.context.close()
    return statistics.median(spent)


def edit_to_paint(browser: Browser, base: str) -> tuple[list[list[float]], Counter]:
    """Milliseconds of each edit of d_ff in DeepSeek-V3's experts, by stage, and the script's runs that they caused."""
    page = page_of(browser, f"{base}/workbench?preset=deepseek-v3")
    page.locator(".picture svg text").first.wait_for()
    page.wait_for_timeout(3000)
    spent, before = [], script_runs(base)
    for i in range(EDITS):
        page.evaluate(TIMER, f"d_ff {2048 + 64 * (i + 1):,}")
        page.locator(".st-key-f-parts-moe-d_ff [data-testid=stNumberInputStepUp]").click()
        page.wait_for_function("window.spent !== null", polling=50)
        spent.append(page.evaluate("window.spent"))
        page.wait_for_timeout(400)
    page.context.close()
    return spent, script_runs(base) - before


def script_runs(base: str) -> Counter:
    """What /metrics says of the workbench's runs: how many took at most so many seconds, and the seconds of all."""
    text = urllib.request.urlopen(f"{base}/metrics").read().decode()
    found = re.findall(r'strata_page_seconds_(?:sum|bucket)\{(?:le="([^"]+)",)?page="workbench"\} (\S+)', text)
    return Counter({bound: float(value) for bound, value in found})


async def visit(stack: AsyncExitStack, base: str, name: str) -> None:
    """A visitor's session, kept open: what Streamlit's page says when it is opened at a preset, until the script is done."""
    address = f"{base.replace('http', 'ws')}/_stcore/stream"
    socket = await stack.enter_async_context(connect(address, subprotocols=["streamlit"], max_size=None))
    state = ClientState(query_string=f"preset={name}", page_name="workbench")
    await socket.send(BackMsg(rerun_script=state).SerializeToString())
    async for message in socket:
        if (answer := ForwardMsg.FromString(message)).WhichOneof("type") == "script_finished":
            assert answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY, answer
            return


def waits(base: str) -> list[float]:
    """Milliseconds that a second visitor waits for each small answer, while a first opens presets that take long, and their previews."""
    spent, over = [], Event()

    def second() -> None:
        connection = HTTPConnection(base.removeprefix("http://"))
        while not over.wait(0.01):
            began = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            spent.append(1000 * (time.perf_counter() - began))

    async def first(name: str) -> None:
        async with AsyncExitStack() as stack:
            await visit(stack, base, name)

    other = Thread(target=second)
    other.start()
    for name in SLOW:
        asyncio.run(first(name))
        urllib.request.urlopen(f"{base}/card/{name}.png").read()
    over.set()
    other.join()
    return spent


async def memory(base: str, process: psutil.Process, names: list[str]) -> tuple[float, float]:
    """The server's resident megabytes before and with fifty visitors, each on a workbench of their own."""
    before = process.memory_info().rss / 1e6
    async with AsyncExitStack() as stack:
        for i in range(VISITORS):
            await visit(stack, base, names[i % len(names)])
        return before, process.memory_info().rss / 1e6


def measure(names: list[str]) -> dict:
    with server() as (base, process), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        time.sleep(8)  # the server pays for torch and the first trace
        found = {"first paint": first_paint(browser, base)}
        found["edit to paint"], found["script runs"] = edit_to_paint(browser, base)
        browser.close()
    with server() as (base, process):
        time.sleep(8)
        found["memory"] = asyncio.run(memory(base, process, names))
        found["waits"] = waits(base)
    return found
