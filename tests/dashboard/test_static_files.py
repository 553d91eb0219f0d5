"""The page's files on the wire: compressed, without comments, line for line; and how much a first load costs."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cluster.config import Fleet
from dashboard.app import Dashboard
from dashboard.static_files import StaticFiles, shortened

FIRST_LOAD = 60_000
STATIC = Path(__file__).parents[2] / "dashboard" / "static"


@pytest.fixture
def client() -> FlaskClient:
    fleet = {
        "balancers": [{"name": "b1"}],
        "nodes": [{"name": f"l{i}", "port": 5000 + i} for i in (1, 2, 3)],
        "dashboard": {"lab": True},
    }
    made = Dashboard(Fleet.model_validate(fleet), "t").app.test_client()
    assert made.get("/?token=t").status_code == 303
    return made


def test_comments_and_indentation_stay_at_home_and_lines_keep_their_numbers() -> None:
    source = b"// about\n/** What\n * it does */\nexport const a = 1; // why\n  if (a) {\n    go('/* x */');\n  }\n"
    assert shortened(source) == b"\n\n\nexport const a = 1; // why\nif (a) {\ngo('/* x */');\n}\n"


@pytest.mark.parametrize("path", [*STATIC.rglob("js/**/*.js"), *STATIC.glob("css/*.css")], ids=lambda path: path.name)
def test_our_files_have_nothing_that_shortening_could_break(path: Path) -> None:
    """A template literal over several lines, or a string that looks like the start of a comment line."""
    source = path.read_text()
    assert len(shortened(source.encode()).splitlines()) == len(source.splitlines())
    assert not any(line.count("`") % 2 for line in source.splitlines()), "a template literal over several lines"


def test_files_are_compressed_for_those_who_take_it(client: FlaskClient) -> None:
    plain = client.get("/static/js/main.js")
    zipped = client.get("/static/js/main.js", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data
    assert "javascript" in zipped.headers["Content-Type"]
    again = client.get("/static/js/main.js", headers={"If-None-Match": zipped.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_one_style_sheet_is_all_of_them_and_the_first_modules_are_those_of_the_picture(client: FlaskClient) -> None:
    sheet = client.get("/static/css/all.css").data
    assert all(client.get(f"/static/css/{path.name}").data in sheet for path in STATIC.glob("css/*.css"))
    needed = StaticFiles(STATIC).modules()
    assert {"main.js", "store.js", "dots.js", "pace.js"} <= set(needed)
    assert not {"below.js", "charts.js", "lab/lab.js", "first.js"} & set(needed)


@pytest.mark.parametrize("name", ["../app.py", "js/none.js", "js", "%2e%2e/app.py", "..%2fapp.py"])
def test_only_the_folder_is_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_a_first_load_costs_at_most_60_kilobytes(client: FlaskClient) -> None:
    """The page, what it names, and what its modules ask for, as a browser gets it, with the Lab on."""
    page = client.get("/", headers={"Accept-Encoding": "gzip"})
    names = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', gzip.decompress(page.data).decode()))
    assert "/static/js/main.js" in names
    names |= {f"/static/{path.relative_to(STATIC).as_posix()}" for path in STATIC.rglob("js/**/*.js")}
    sizes = {name: len(client.get(name, headers={"Accept-Encoding": "gzip"}).data) for name in names}
    whole = len(page.data) + sum(sizes.values())
    print(f"{len(names) + 1} files, {whole} bytes, of which the page {len(page.data)}")
    assert whole <= FIRST_LOAD
