"""Every colour that carries text is readable (WCAG 2.2 AA) in both themes; nothing on the page is fetched elsewhere."""

import itertools
import math
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "dashboard"
STATES = ["up", "degraded", "down", "drain", "maint"]
TEXT = ["ink", "muted", "accent", *STATES]
SERIES = [f"series-{i}" for i in range(1, 9)]


def tokens(theme: str) -> dict[str, str]:
    css = (PAGE / "static/css/tokens.css").read_text()
    light, dark = css.split(':root[data-theme="dark"]')
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if theme == "light" else dark))


Three = tuple[float, float, float]


def linear(colour: str) -> Three:
    """Red, green and blue as amounts of light, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return r, g, b


def times(matrix: tuple[Three, Three, Three], light: Three) -> Three:
    a, b, c = (sum(factor * part for factor, part in zip(row, light, strict=True)) for row in matrix)
    return a, b, c


def luminance(colour: str) -> float:
    r, g, b = linear(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


# How colours look to people without one kind of cones (Machado, Oliveira, Fernandes 2009, severity 1.0).
EYES: dict[str, tuple[Three, Three, Three]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
TO_XYZ: tuple[Three, Three, Three] = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE: Three = (0.95047, 1.0, 1.08883)


def lab(colour: str, eyes: str) -> Three:
    """CIE L*a*b* of a colour as such eyes see it."""
    seen = times(EYES[eyes], linear(colour))
    xyz = times(TO_XYZ, (min(1, max(0, seen[0])), min(1, max(0, seen[1])), min(1, max(0, seen[2]))))
    x, y, z = (
        part ** (1 / 3) if part > (6 / 29) ** 3 else part / (3 * (6 / 29) ** 2) + 4 / 29
        for part in (value / white for value, white in zip(xyz, WHITE, strict=True))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


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


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_states_stay_apart_for_all_eyes(theme: str, eyes: str) -> None:
    colour = tokens(theme)
    apart = {
        f"{one} and {other}": math.dist(lab(colour[one], eyes), lab(colour[other], eyes))
        for one, other in itertools.combinations(STATES, 2)
    }
    assert min(apart.values()) >= 23, {pair: round(far, 1) for pair, far in apart.items() if far < 23}


def test_a_common_pair_of_green_and_red_does_not() -> None:
    assert math.dist(lab("#00ca5a", "normal"), lab("#ff6d6d", "normal")) > 90
    assert math.dist(lab("#00ca5a", "deutan"), lab("#ff6d6d", "deutan")) < 10


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
