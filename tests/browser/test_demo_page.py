"""The demo page as a visitor meets it: served by Voila, in a real browser that refuses to leave this machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from macrec.demo.serve import answers

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def address(small_run, tmp_path_factory, chromium_path) -> Iterator[str]:
    """Where `macrec demo-page` serves a small trained run."""
    said = tmp_path_factory.mktemp("served") / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from macrec.cli import main; main()", "demo-page", "--no-browser"]
    with said.open("w") as log:
        server = subprocess.Popen(
            [*command, f"--run={small_run}", f"--port={port}"], stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 90
            while not answers(port):
                if time.monotonic() > deadline or server.poll() is not None:
                    pytest.fail(f"the page was not served: {said.read_text()}")
                time.sleep(0.2)
            while "is ready" not in said.read_text():
                time.sleep(0.1)
            yield said.read_text().split()[-1]
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


@pytest.fixture
def page(chromium, address):
    """The page, open, with all that a browser complains of or would fetch from elsewhere."""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda said: page.problems.append(said.text) if said.type == "error" else None)

    def local_only(route):
        if re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", route.request.url):
            route.continue_()
        else:
            page.problems.append(f"asked for {route.request.url}")
            route.abort()

    page.route("**/*", local_only)
    page.policy = page.goto(address, wait_until="commit").headers["content-security-policy"]
    page.wait_for_selector(".macrec-why", timeout=120_000)
    return page


def tiles(page, name: str) -> list[str]:
    """The titles of the tiles that can be seen."""
    return [tile.inner_text() for tile in page.query_selector_all(f".macrec-{name} .macrec-tile") if tile.is_visible()]


def changed(page, selector: str, before: str) -> None:
    """Wait until an element says something else."""
    page.wait_for_function(
        "([selector, before]) => document.querySelector(selector).innerText !== before", arg=[selector, before]
    )


def test_a_visitor_sees_what_comes_next_and_why_and_nothing_leaves_the_machine(page, tmp_path):
    before, strip = tiles(page, "next"), page.inner_text(".macrec-next")
    assert len(before) == 10 and tiles(page, "history")
    page.click("button:has-text('a heavy user')")
    changed(page, ".macrec-next", strip)
    assert tiles(page, "next") != before
    page.wait_for_selector("button:has-text('a heavy user')[aria-pressed=true]")

    title = tiles(page, "next")[3].partition(" ")[2].removeprefix("✓ ")
    page.click(".macrec-next-3")
    explained = "title => document.querySelector('.macrec-why b').innerText === title"
    page.wait_for_function(explained, arg=title)
    assert "place 4 of 10" in page.inner_text(".macrec-why")
    page.wait_for_selector(".macrec-next-3[aria-pressed=true]")
    assert page.get_attribute(".macrec-next-0", "aria-pressed") == "false"
    pictures = page.query_selector_all(".macrec-why img")
    assert pictures and all(picture.get_attribute("alt") for picture in pictures)
    drawn = "place => getComputedStyle(document.querySelector(`.macrec-next-${place}`), '::before')"
    backgrounds = [page.evaluate(f"({drawn}).call(null, {place}).backgroundImage") for place in range(10)]
    assert any(found.startswith('url("data:image/webp') for found in backgrounds)

    page.click("button:has-text('image→image')")
    frame = page.wait_for_selector("iframe.macrec-frame").content_frame()
    frame.wait_for_selector(".beam")
    page.wait_for_function("document.querySelector('iframe.macrec-frame').style.height !== ''")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.get_attribute(".macrec-status", "role") == "status"
    assert "demo_page(" not in page.content()
    assert page.policy.startswith("default-src 'self'") and "http" not in page.policy and "*" not in page.policy
    assert not page.problems


def test_a_history_is_built_with_the_keyboard_alone(page):
    page.focus("button:has-text('start empty')")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.macrec-demo').innerText.includes('The history is empty')")
    assert not tiles(page, "next")
    found = page.inner_text(".macrec-found")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.labels[0].innerText") == "Search by words"
    page.keyboard.type("candle")
    changed(page, ".macrec-found", found)
    page.wait_for_function("document.querySelector('.macrec-found-0').innerText.includes('Cand')")
    page.keyboard.press("Tab")
    chosen = page.evaluate("document.activeElement.innerText")
    assert chosen == tiles(page, "found")[0]
    page.keyboard.press("Space")
    page.wait_for_selector(".macrec-next-9", state="visible")
    assert tiles(page, "history") == [chosen]
    assert page.evaluate("document.activeElement.innerText") == chosen  # the focus stays where one is
    assert not page.problems


def status(address: str, **headers: str) -> int:
    """What a plain request is answered with; redirects are not followed."""
    port, path = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", address).groups()
    with closing(HTTPConnection("127.0.0.1", int(port), timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def test_only_this_machine_s_name_and_the_token_open_the_page(address):
    """A page from elsewhere that points its own name at this machine, and one that guesses, start no kernel."""
    assert status(address, Host="attacker.example") == 403
    assert status(address.partition("?")[0]) in (302, 403)
    assert status(re.sub("token=.*", "token=guessed", address)) in (302, 403)
    assert status(address.partition("?")[0] + "api/kernels/00000000-0000-0000-0000-000000000000") in (302, 403)
