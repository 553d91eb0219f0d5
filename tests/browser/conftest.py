"""A real Chromium, a real dashboard, a made-up control API. Pages are watched for errors, dialogs, foreign requests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.running import RunningDashboard

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningDashboard]:
    """A test that needs another rate from the first poll on gives it as the parameter."""
    made = RunningDashboard(tmp_path, rps=getattr(request, "param", 240.0))
    yield made.start()
    made.close()


@pytest.fixture
def open_page(chromium: Browser, running: RunningDashboard) -> Iterator[Callable[..., Page]]:
    """Opens a signed-in page. At the end: no script errors, no dialog, nothing fetched from elsewhere.

    `troubles=True` for a test that takes something away, whose failed requests the browser reports in the console.
    """
    contexts = []
    errors: list[str] = []
    foreign: list[str] = []

    def opened(link: str | None = None, troubles: bool = False, **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        if not troubles:
            page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda request: _note_foreign(request.url, running, foreign))
        page.goto(link or running.link)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []
    assert foreign == []


def _note_foreign(url: str, running: RunningDashboard, foreign: list[str]) -> None:
    own = (running.url, running.url.replace("http:", "ws:"), "data:")
    if not url.startswith(own):
        foreign.append(url)
