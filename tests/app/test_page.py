"""The search page in a real browser, with the stand-in for the model; skipped where there is no Chromium."""

import shutil
import threading
import time

import pytest
import uvicorn
from visitors import LIMITS, TOKEN, StandIn, colours, encoded

from vireid.app.api import create_app
from vireid.app.page import HEADERS
from vireid.evaluation.calibration import Calibration, Threshold
from vireid.search.calibrate import Calibrations

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser_test = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def serving(app):
    """Run the application in a thread; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def address(app):
    yield from serving(app)


@pytest.fixture
def open_address(gallery):
    """Of a server without tokens."""
    yield from serving(create_app(gallery, tokens=None))


@pytest.fixture
def page(browser):
    """A new tab; whatever it asks for elsewhere, or complains of, is a failure."""
    page = browser.new_context(timezone_id="Europe/Berlin", locale="en-GB").new_page()
    page.set_default_timeout(10_000)
    faults = []
    page.on("request", lambda sent: None if "127.0.0.1" in sent.url else faults.append(sent.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda told: faults.append(told.text) if "Content Security Policy" in told.text else None)
    yield page
    assert faults == []
    page.context.close()


def enter(page, address, token=TOKEN):
    page.goto(address)
    page.get_by_label("Your token").fill(token)
    page.get_by_role("button", name="Enter").click()


def sign_in(page, address):
    enter(page, address)
    page.wait_for_selector("#search:visible")


def file_of(seed, name="query.png"):
    return {"name": name, "mimeType": "image/png", "buffer": encoded(colours(seed))}


def ask(page, seed):
    """Search for an image, and wait until every hit has its picture."""
    page.locator("#query input").set_input_files(file_of(seed))
    shown(page)


def shown(page):
    page.wait_for_function(
        "() => !document.querySelector('#question[aria-busy]') && "
        "[...document.querySelectorAll('.sheet img')].every((image) => image.naturalWidth > 0)"
    )


def cameras(page):
    return [text.split()[1] for text in page.locator(".sheet .where").all_inner_texts()]


def test_the_page_is_public_and_the_program_is_not(anyone):
    answer = anyone.get("/")
    assert answer.status_code == 200 and str(answer.url).endswith("/page/") and "<title>vireid" in answer.text
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    for name in ("page.css", "main.js", "icon.svg"):
        assert anyone.get(f"/page/{name}").status_code == 200
    for name in ("__init__.py", "..%2fapi.py", "nothing.js", "%2e%2e/api.py"):
        assert anyone.get(f"/page/{name}").status_code == 404


@browser_test
def test_an_image_is_searched_and_a_hit_searched_on(page, address, filled):
    sign_in(page, address)
    assert page.locator("#summary").inner_text() == "6 crops, 2 cameras"
    ask(page, 2)
    assert page.locator(".sheet li").count() == 6
    assert page.locator(".sheet b").first.inner_text() == "1.000" and cameras(page)[0] == "gate"
    assert "Searched as visible, as its colours tell." in page.locator("#asked").inner_text()
    assert "01/03/2026, 11:00:00" in page.locator(".sheet .when").first.inner_text()  # 10:00 UTC
    page.locator(".sheet .again").nth(1).click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 5")  # all but itself
    page.get_by_role("button", name="Back").click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 6")
    assert page.locator(".sheet b").first.inner_text() == "1.000"


@browser_test
def test_choices_restrict_and_rerank(page, address, filled, lines):
    sign_in(page, address)
    ask(page, 2)
    page.get_by_label("yard").check()
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 3")
    assert cameras(page) == ["yard"] * 3
    page.get_by_label("yard").uncheck()
    page.get_by_label("until").fill("2026-03-04T10:30")  # 09:30 UTC, half an hour before the yard's
    page.get_by_label("Re-rank").check()
    page.get_by_label("Crops to show").fill("2")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 2")
    assert cameras(page) == ["gate", "gate"] and "mutual neighbours" in page.locator("#told").inner_text()
    asked = [line["options"] for line in lines() if line.get("action") == "search"][-1]
    assert asked == {"k": 2, "rerank": True, "before": 1772616600.0}
    page.get_by_label("Look among").select_option("infrared")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 0")
    assert "No crop fits" in page.locator("#told").inner_text()
    page.get_by_label("From").fill("2026-03-05T00:00")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_selector("#message.error")
    assert "time range is empty" in page.locator("#message").inner_text()


@browser_test
def test_a_heat_map_lies_on_the_picture(page, address, filled):
    sign_in(page, address)
    ask(page, 1)
    why = page.locator(".why").first
    why.click()
    page.wait_for_selector(".sheet canvas:visible")
    sides = (
        "element => { const { x, y, width, height } = element.getBoundingClientRect(); return [x, y, width, height]; }"
    )
    canvas, image = (page.locator(f".sheet {kind}").first.evaluate(sides) for kind in ("canvas", "img"))
    assert canvas[3] == pytest.approx(image[3], abs=1) and canvas[2] == pytest.approx(canvas[3] / 2, abs=1)
    assert canvas[0] + canvas[2] / 2 == pytest.approx(image[0] + image[2] / 2, abs=1)
    why.click()
    assert page.locator(".sheet canvas:visible").count() == 0 and why.get_attribute("aria-pressed") == "false"


@browser_test
def test_wide_crops_are_seen_whole_and_explained(page, address, client):
    files = {"images": encoded(colours(1, (20, 60, 3)))}
    assert client.post("/v1/gallery", files=files, data={"modality": "visible"}).status_code == 200
    sign_in(page, address)
    ask(page, 1)
    page.locator(".why").first.click()
    page.wait_for_selector(".sheet canvas:visible")
    image, canvas = (page.locator(f".sheet {kind}").first for kind in ("img", "canvas"))
    assert image.evaluate("each => getComputedStyle(each).objectFit") == "contain"
    box = canvas.bounding_box()  # as large as what is seen of the picture
    assert box["width"] / box["height"] == pytest.approx(3, rel=0.05)


@browser_test
def test_images_are_pasted_and_dropped(page, address, filled):
    sign_in(page, address)
    send = """([bytes, kind]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], 'a.png', { type: 'image/png' }));
        const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: files, bubbles: true })
            : new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true });
        document.querySelector(kind === 'paste' ? 'body' : '#query').dispatchEvent(event);
    }"""
    for kind in ("paste", "drop"):
        page.evaluate(send, [list(encoded(colours(2))), kind])
        page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 6")
        page.get_by_label("yard").check()
        page.get_by_role("button", name="Search", exact=True).last.click()
        page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 3")
        page.get_by_label("yard").uncheck()


@browser_test
def test_folders_are_dropped(page, open_address, gallery):
    page.goto(open_address)
    page.wait_for_selector("#add:visible")
    page.evaluate(
        """(pictures) => {
        const files = pictures.map((bytes, n) => new File([new Uint8Array(bytes)], `${n}.png`, { type: 'image/png' }));
        const asEntry = (file) => ({ isFile: true, file: (done) => done(file) });
        const asFolder = (entries) => {
            const left = entries.map((entry) => [entry]); // a reader gives some at a time, then none
            return { isDirectory: true, createReader: () => ({ readEntries: (done) => done(left.shift() ?? []) }) };
        };
        const folder = asFolder([asEntry(files[0]), asFolder([asEntry(files[1]), asEntry(files[2])])]);
        const event = new DragEvent('drop', { bubbles: true, cancelable: true });
        const items = [{ webkitGetAsEntry: () => folder }];
        Object.defineProperty(event, 'dataTransfer', { value: { items, files: [] } });
        document.querySelector('#crops').dispatchEvent(event);
    }""",
        [list(encoded(colours(seed))) for seed in range(3)],
    )
    page.get_by_text("3 files chosen.").wait_for()
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_function("() => document.querySelector('#message').textContent.startsWith('3 added')")
    assert gallery.count() == 3


@browser_test
def test_a_threshold_leaves_out_who_does_not_match(page, address, filled, gallery):
    visible = Calibration(9, 9, 10.0, -5.0, (Threshold(0.01, 0.999, 0.1),), ())
    gallery.__dict__["calibrations"] = Calibrations(StandIn.fingerprint, "none", {"visible-visible": visible})
    sign_in(page, address)
    ask(page, 2)
    assert page.locator(".sheet .chance").first.inner_text().endswith("%")
    page.get_by_label("Leave out what does not match").select_option("1 in 100")
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 1")
    assert page.locator(".sheet b").first.inner_text() == "1.000"


@browser_test
def test_the_keyboard_stays_where_one_is(page, address, filled):
    focused = "() => document.activeElement.id"
    sign_in(page, address)
    page.wait_for_function("() => document.activeElement.id === 'query'")
    ask(page, 2)
    page.locator(".sheet .again").nth(1).press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 5")
    assert page.evaluate(focused) == "query"


@browser_test
def test_a_file_that_the_server_would_refuse_is_not_sent(page, address, filled, lines):
    sign_in(page, address)
    asked = len(lines())
    large = {"name": "a.png", "mimeType": "image/png", "buffer": bytes(LIMITS["image_bytes"] + 1)}
    page.locator("#query input").set_input_files(large)
    page.wait_for_selector("#message.error")
    assert page.locator("#message").inner_text().startswith("a.png is larger than ")
    assert len(lines()) == asked


@browser_test
def test_a_hit_without_a_picture_is_searched_on_with(page, address, filled):
    sign_in(page, address)
    page.route("**/image", lambda route: route.fulfill(status=404, json={"error": "no picture"}))
    page.locator("#query input").set_input_files(file_of(2))
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 6")
    page.get_by_text("no picture is kept").last.wait_for()
    page.locator(".sheet .again").first.click()
    page.wait_for_function("() => document.querySelectorAll('.sheet li').length === 5")
    assert page.locator("#query img").is_hidden()


@browser_test
def test_a_token_that_is_taken_back_leads_to_the_door(page, address, app, filled):
    sign_in(page, address)
    ask(page, 2)
    page.route("**/v1/search", lambda route: route.fulfill(status=401, json={"error": "the token is not known"}))
    page.get_by_role("button", name="Search", exact=True).last.click()
    page.wait_for_selector("#door:visible")
    page.wait_for_function("() => document.querySelector('#message').textContent === 'This token is not known.'")
    assert page.locator(".sheet li").count() == 0 and page.locator("#summary").inner_text() == ""
    assert page.locator("#query img").get_attribute("src") is None


@browser_test
def test_adding_waits_for_a_busy_server_and_can_be_stopped(page, open_address, gallery):
    page.goto(open_address)
    page.wait_for_selector("#add:visible")
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"error": "too many requests at once"}}
    page.route(
        "**/v1/gallery", lambda route: route.fulfill(**busy) if route.request.method == "POST" else route.continue_()
    )
    page.locator("#crops input").set_input_files([file_of(seed, f"{seed}.png") for seed in range(3)])
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_function("() => document.querySelector('#message').textContent.includes('busy')")
    assert page.get_by_label("Camera").is_disabled()
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => document.querySelector('#message').textContent.includes('Stopped')")
    page.unroute("**/v1/gallery")
    page.get_by_role("button", name="Add", exact=True).click()  # the same files are still chosen
    page.wait_for_function("() => document.querySelector('#message').textContent.startsWith('3 added')")
    assert gallery.count() == 3


@browser_test
def test_crops_are_added_and_bad_files_named(page, open_address, gallery):
    page.goto(open_address)
    page.wait_for_selector("#add:visible")  # an empty gallery asks for crops first
    assert "empty" in page.locator("#message").inner_text()
    bad = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}
    files = [*(file_of(seed, f"{seed}.png") for seed in range(20)), bad, text, file_of(3, "again.png")]
    page.locator("#crops input").set_input_files(files)
    page.get_by_label("Camera").fill("gate")
    page.get_by_label("Time").fill("2026-03-01T10:00")  # 09:00 UTC
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_function("() => document.querySelector('#message').textContent.includes('added')")
    assert page.locator("#message").inner_text() == "20 added, 1 were there already, 2 refused."
    refused = page.locator("#refused li").all_inner_texts()
    assert refused[0] == "notes.txt is no JPEG, PNG, BMP or WebP image." and refused[1].startswith("broken.png: ")
    assert {(row.camera, row.time) for row in gallery.crops()} == {("gate", 1772355600.0)} and gallery.count() == 20
    page.get_by_role("button", name="Gallery").click()
    assert page.locator("#gallery tbody th").all_inner_texts() == ["gate"]


@browser_test
def test_what_is_no_image_is_refused_in_words(page, address, filled):
    sign_in(page, address)
    page.locator("#query input").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"})
    assert page.locator("#message").inner_text() == "a.txt is no JPEG, PNG, BMP or WebP image."
    page.locator("#query input").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"hello"})
    page.wait_for_function("() => document.querySelector('#message').textContent.includes('decoded')")
    assert "6 crops in" not in page.locator("#told").inner_text()
    ask(page, 2)  # and goes on
    assert page.locator("#message").inner_text() == "" and page.locator(".sheet li").count() == 6


@browser_test
def test_a_wrong_token_shows_nothing(page, address, filled):
    for wrong in ("wrong-horse-battery-staple", "schlüssel"):
        enter(page, address, wrong)
        page.wait_for_selector("#message.error")
        assert page.locator("#message").inner_text() == "This token is not known."
        assert page.locator("#search").is_hidden() and page.locator("#summary").inner_text() == ""
    sign_in(page, address)
    ask(page, 2)
    page.reload()  # the tab remembers the token
    page.wait_for_selector("#search:visible")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#door:visible")
    assert page.locator(".sheet li").count() == 0
    page.reload()
    page.wait_for_selector("#door:visible")


@browser_test
def test_a_server_that_is_gone_is_told(page, address, filled):
    sign_in(page, address)
    page.route("**/v1/search", lambda route: route.abort())
    page.locator("#query input").set_input_files(file_of(2))
    page.wait_for_selector("#message.error")
    assert "does not answer" in page.locator("#message").inner_text()
