"""The picture of the search page in docs/search.md: `python tools/page_picture.py docs/pictures/page.jpg`.

The test people of SynthVI-mini in a gallery of the shipped model, searched for an infrared crop that the seed draws, in
a Chromium of this machine.
"""

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import uvicorn
from playwright.sync_api import sync_playwright

from vireid.app.api import create_app
from vireid.bulk import Crop
from vireid.data import synthvi
from vireid.sample import Modality
from vireid.search.gallery import Gallery

SEED = 0
SIZE = {"width": 1180, "height": 760}
DAYS = {"day0": "2026-03-01T10:00:00", "day1": "2026-03-02T10:00:00"}


def main(output: Path) -> None:
    """Render the picture."""
    samples = [sample for sample in synthvi.load(synthvi.Config(part="nir")) if sample.split == "test"]
    infrared = [sample for sample in samples if sample.modality is Modality.INFRARED]
    query = infrared[np.random.default_rng(SEED).integers(len(infrared))]
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery.create(Path(folder) / "people")
        crops = [
            Crop(sample.path, modality=sample.modality, camera=str(sample.camid), time=DAYS[sample.time])
            for sample in samples
            if sample is not query
        ]
        gallery.add(crops)
        server = uvicorn.Server(uvicorn.Config(create_app(gallery, tokens=None), port=0, log_level="warning"))
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, locale="en-GB", timezone_id="UTC")
            page.goto(f"http://127.0.0.1:{port}/")
            page.locator("#query input").set_input_files(query.path)
            page.wait_for_selector(".sheet li:last-child img[src]")
            for number in (0, 1):
                page.locator(".why").nth(number).click()
                page.locator("canvas:visible").nth(number).wait_for()
            page.wait_for_load_state("networkidle")
            page.screenshot(path=output, type="jpeg", quality=88)
        server.should_exit = True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
