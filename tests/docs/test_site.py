"""The built documentation site: its links, its generated pages, and how it looks to a browser without a network."""

import functools
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer

pytest.importorskip("zensical")
pytest.importorskip("griffe")
pytest.importorskip("latex2mathml")
import make_site

from vireid.cli import app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = [
    "index.html",
    "tutorials/own_cameras.html",
    "methods/dfw_sln.html",
    "reference/evaluation.html",
    "reference/command_line.html",
    "results.html",
    "datasets/sysu_mm01.html",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built as `make docs` does, which fails where a link, an anchor or an image leads nowhere."""
    folder = tmp_path_factory.mktemp("built")
    assert make_site.main(folder) == 0
    return folder / "site"


def test_broken_links_anchors_and_images_are_found(tmp_path):
    (tmp_path / "other.html").write_text('<h1 id="here">x</h1>')
    (tmp_path / "index.html").write_text(
        '<a href="other.html#here"></a> <a href="https://example.org/x"></a> <a href="/other.html"></a>'
        '<a href="gone.html"></a> <a href="other.html#gone"></a> <a href="#gone"></a> <img src="gone.png">'
    )
    assert make_site.faults_of_links(tmp_path) == [
        "index.html: gone.html does not exist",
        "index.html: other.html#gone has no such anchor",
        "index.html: #gone has no such anchor",
        "index.html: gone.png does not exist",
    ]


def test_pages_that_the_navigation_misses_are_found(tmp_path):
    (tmp_path / "forgotten.md").write_text("# x")
    faults = make_site.faults_of_navigation(tmp_path)
    assert "zensical.toml: forgotten.md is missing in the navigation" in faults
    assert "zensical.toml: the navigation names index.md, which does not exist" in faults


def test_files_outside_of_docs_are_brought_along(site):
    page = (site / "methods" / "hct.html").read_text()
    assert 'href="../source/src/vireid/methods/hct.py.html"' in page
    assert "hetero_center" in (site / "source" / "src" / "vireid" / "methods" / "hct.py.html").read_text()
    assert "SynthVI" in (site / "source" / "index.html").read_text()  # README.md, as a folder's page


def test_links_in_code_are_left_alone(tmp_path):
    (tmp_path / "a.md").write_text(
        "`](../README.md)`\n\n```md\n[x](../README.md)\n```\n\n[`y`](../README.md#licence)\n"
    )
    make_site.bring_linked_files(tmp_path)
    text = (tmp_path / "a.md").read_text()
    assert text.count("](../README.md)") == 2 and "[`y`](source/README.md#licence)" in text


def test_formulas_are_shown_without_a_script(site):
    for page in (site / "methods").glob("*.html"):
        text = page.read_text()
        assert "arithmatex" not in text, page.name
        assert not re.search(r"\\[A-Za-z]+", "".join(re.findall(r"<math.*?</math>", text, re.DOTALL))), page.name
    assert "<msubsup>" in (site / "methods" / "hct.html").read_text()


def test_the_reference_shows_what_is_public(site):
    folder = site / "reference"
    for page, name in (
        ("load", "vireid.load"),
        ("load", "vireid.embedder.Embedder.embed"),
        ("search", "vireid.search.gallery.Gallery.search"),
        ("evaluation", "vireid.evaluation.metrics.retrieval_metrics"),
        ("evaluation", "vireid.evaluation.rerank.k_reciprocal"),
        ("methods", "vireid.methods.base.Method.forward"),
        ("losses", "vireid.losses.triplet.triplet_loss"),
        ("models", "vireid.models.pooling.GeM"),
        ("data", "vireid.data.samplers.CrossModalPKSampler"),
    ):
        assert f'id="{name}"' in (folder / f"{page}.html").read_text(), name
    losses = (folder / "losses.html").read_text()
    assert "in units of distance." in losses and "A scalar; 0 with a warning" in losses
    assert "gallery cameras 1, 2, 4, 5 or 1, 2" in (folder / "data.html").read_text()


def test_every_command_is_described(site):
    text = (site / "reference" / "command_line.html").read_text()
    names = [name for name, _ in make_site.commands(typer.main.get_command(app), "vireid")]
    assert len(names) > 10
    for name in names:
        assert f'id="{name.replace(" ", "-")}"' in text, name
    assert "cuda:&lt;index&gt;" in text


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def opened(browser, width, scheme):
    """A tab, and the list of what it asks for elsewhere or complains of."""
    tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    tab.set_default_timeout(10_000)
    faults = []
    own = ("http://127.0.0.1", "file://", "data:")
    tab.on("request", lambda sent: None if sent.url.startswith(own) else faults.append(sent.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
    return tab, faults


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1400, "dark")])
def test_pages_fit_and_ask_for_nothing_elsewhere(browser, address, width, scheme):
    tab, faults = opened(browser, width, scheme)
    for page in PAGES:
        assert tab.goto(f"{address}/{page}").ok, page
        tab.wait_for_load_state("networkidle")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page} is wider than {width}"
        assert (
            tab.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
        )
        sizes = tab.locator(".md-content img").evaluate_all("all => all.map(each => [each.src, each.naturalWidth])")
        assert all(width for _, width in sizes), page
        assert faults == [], page


def test_it_can_be_searched_from_the_folder(browser, site):
    tab, faults = opened(browser, 1400, "light")
    tab.goto((site / "index.html").as_uri())
    tab.wait_for_load_state("networkidle")
    tab.keyboard.press("Control+k")
    tab.locator("input[type=text]").fill("triplet")
    tab.get_by_text(re.compile(r"^\d+ results$")).wait_for()
    assert faults == []
