"""Open the dashboard in a browser, where there is somebody in front of a screen."""

import os
import webbrowser
from collections.abc import Mapping


def has_viewer(environment: Mapping[str, str]) -> bool:
    """Whether a browser would appear before the person who typed the command: a display, not over SSH, not in CI."""
    screen = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    elsewhere = any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "CI"))
    return bool(screen) and not elsewhere


def open_page(url: str) -> bool:
    """Open `url` if there is a viewer and a graphical browser. Whether it was opened."""
    if not has_viewer(os.environ):
        return False
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    textual = type(found) is webbrowser.GenericBrowser  # lynx and its kin would take over the terminal
    return not textual and found.open(url)
