"""Every colour that carries text is readable (WCAG 2.2 AA) in both themes; nothing on the page is fetched elsewhere."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "dashboard"
TEXT = ["ink", "muted", "accent", "up", "degraded", "down", "drain", "maint"]
SERIES = [f"series-{i}" for i in range(1, 9)]


def tokens(theme: str) -> dict[str, str]:
    css = (PAGE / "static/css/tokens.css").read_text()
    light, dark = css.split(':root[data-theme="dark"]')
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if theme == "light" else dark))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    colour = tokens(theme)
    poor = [
        f"{name} on {ground}: {contrast(colour[name], colour[ground]):.2f}"
        for ground in ("bg", "surface")
        for name, least in [*((n, 4.5) for n in TEXT), *((n, 3.0) for n in [*SERIES, "edge"])]
        if contrast(colour[name], colour[ground]) < least
    ]
    pairs = [
        ("on-accent", "accent", 4.5),
        ("ink", "accent-soft", 4.5),
        ("ink", "sunken", 4.5),
        ("muted", "sunken", 4.5),
        ("surface", "down", 4.5),
        ("surface", "muted", 4.5),
    ]
    poor += [f"{a} on {b}" for a, b, least in pairs if contrast(colour[a], colour[b]) < least]
    assert poor == []


def test_no_colour_escapes_the_test_of_contrast() -> None:
    """A new token is text, a line of a chart, a ground, or one that carries nothing to be read."""
    grounds = ["bg", "surface", "sunken", "accent-soft", "on-accent"]
    silent = ["line", "grid"]
    assert set(tokens("light")) == {*TEXT, *SERIES, "edge", *grounds, *silent}


def test_both_themes_define_the_same() -> None:
    assert tokens("light").keys() == tokens("dark").keys()


def test_colours_are_in_the_token_file_only() -> None:
    sheets = [sheet for sheet in PAGE.glob("static/css/*.css") if sheet.name != "tokens.css"]
    assert sheets
    for sheet in sheets:
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s,)])", sheet.read_text()) == [], sheet


def test_nothing_is_fetched_from_elsewhere() -> None:
    files = [*PAGE.glob("templates/*.html"), *PAGE.rglob("static/js/**/*.js"), *PAGE.glob("static/css/*.css")]
    assert files
    found = {
        f"{file.name}: {link}"
        for file in files
        for link in re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", file.read_text())
        if link != "http://www.w3.org"
    }
    assert found == set()


def test_no_markup_is_made_from_text() -> None:
    for file in PAGE.rglob("static/js/**/*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", file.read_text()), file


def test_the_lock_file_names_no_registry_and_pins_every_file() -> None:
    lock = (PAGE.parent / "tests/browser/package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
