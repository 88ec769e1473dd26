"""`vireid figures` and `vireid report` on small runs: what they write, and what they answer to bad input."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import trees
import yaml
from PIL import Image
from test_commands import CONFIGS, call, copied, refused, settings

from vireid.cli import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
METHODS = {
    "baseline": settings(),
    "dfw_sln": settings(),
    "cm_dasn": settings(
        **{
            "method.backbone": "test_vit",
            "method.heads": 4,
            "method.dasm.k": 2,
            "method.progressive_epochs": 1,
            "images.height": 64,
            "images.width": 32,
            "train.epochs": 4,
        }
    ),
}


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return trees.make_manifest_csv(tmp_path_factory.mktemp("crops"), train=6, test=5)


@pytest.fixture(scope="module")
def runs(crops, tmp_path_factory):
    """One of each kind of network, trained for a few steps on the same people."""
    folder = tmp_path_factory.mktemp("runs")
    for name, changes in METHODS.items():
        config, data = CONFIGS / f"{name}_regdb.yaml", f"data={{name: manifest, root: {crops}}}"
        with pytest.raises(SystemExit) as stop:
            main(["train", str(config), "--set", data, *changes, "--output", str(folder / name)])
        assert not stop.value.code
    return {name: folder / name for name in METHODS}


def test_every_picture_that_a_run_has(runs, tmp_path, capfd):
    status, out, err = call(capfd, "figures", "all", runs["dfw_sln"], "--output", tmp_path)
    assert status == 0, err
    written = {path.name for path in tmp_path.iterdir()}
    names = ("rank-manifest-i2v", "rank-manifest-v2i", "heatmap-manifest", "map-manifest", "distances-manifest")
    assert written == {f"{n}.{kind}" for n in (*names, "training", "weakening-manifest") for kind in ("png", "svg")}
    assert {line.rpartition("/")[2] for line in out.splitlines() if line.startswith(str(tmp_path))} == written
    # What a run does not have is said, with what to do.
    assert "cmc: none, as results not found" in out and "heads: none, as" in out
    for path in tmp_path.glob("*.png"):
        assert np.asarray(Image.open(path).convert("L")).std() > 1  # not an empty sheet


def test_pictures_of_several_runs_stand_side_by_side(runs, tmp_path, capfd):
    both = [runs["baseline"], runs["dfw_sln"]]
    for words in (["heatmap", "--people", 2], ["distances"], ["map"], ["rank", "--direction", "i2v", "--queries", 2]):
        status, _, err = call(capfd, "figures", words[0], *both, *words[1:], "--output", tmp_path)
        assert status == 0, err
    svgs = {path.stem for path in tmp_path.glob("*.svg")}
    assert svgs == {
        "heatmap-manifest",
        "distances-manifest",
        "map-manifest",
        "rank-manifest-i2v-baseline",
        "rank-manifest-i2v-dfw_sln",
    }
    wide, high = Image.open(tmp_path / "map-manifest.png").size
    assert wide > 1.5 * high


def test_a_transformers_heads_and_rollout(runs, tmp_path, capfd):
    for kind in ("heads", "heatmap", "training"):
        status, _, err = call(capfd, "figures", kind, runs["cm_dasn"], "--output", tmp_path)
        assert status == 0, err
    assert (tmp_path / "heads.svg").is_file()
    log = [json.loads(line) for line in (runs["cm_dasn"] / "metrics.jsonl").read_text().splitlines()]
    assert len(log[-1]["heads/shared/block6"]) == 4 and sum(log[-1]["heads/shared/block6"]) == pytest.approx(1)
    assert "weakening works on a two-stream ResNet" in refused(
        capfd, "figures", "weakening", runs["cm_dasn"], "--output", tmp_path
    )


def test_curves_and_sweeps_are_drawn_from_result_files(runs, tmp_path, capfd):
    run = copied(runs["baseline"], tmp_path)
    assert "results not found" in refused(capfd, "figures", "cmc", run)
    assert call(capfd, "evaluate", run, "--rerank", "both")[0] == 0
    status, _, _ = call(capfd, "figures", "cmc", run)
    assert status == 0
    written = {path.name for path in (run / "figures").glob("*.svg")}
    assert written == {
        "cmc-1-manifest-i2v.svg",
        "cmc-2-manifest-v2i.svg",
    }
    sweep = next((CONFIGS.parent / "benchmarks" / "results").glob("*/table1_synthvi_nir"))
    assert call(capfd, "figures", "sweep", sweep, "--output", tmp_path / "sweep")[0] == 0
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"ablation.png", "ablation.svg"}


def test_bad_input_to_figures_is_one_line(runs, tmp_path, capfd):
    assert "run not found" in refused(capfd, "figures", "rank", tmp_path / "nowhere")
    assert "say with --output where" in refused(capfd, "figures", "rank", "default", "--data", "mini")
    assert "stands there twice" in refused(capfd, "figures", "map", runs["baseline"], runs["baseline"])
    assert "no ablation.json" in refused(capfd, "figures", "sweep", tmp_path)
    run = copied(runs["baseline"], tmp_path)
    (run / "metrics.jsonl").write_text("{not json\n")
    assert "a line is not JSON" in refused(capfd, "figures", "training", run)
    (run / "metrics.jsonl").unlink()
    assert "has no metrics.jsonl" in refused(capfd, "figures", "training", run)
    shutil.rmtree(run / "figures")
    (run / "figures").write_text("in the way")
    assert "figures" in refused(capfd, "figures", "distances", run)


def test_a_run_called_default_is_no_shipped_model(runs, tmp_path, capfd):
    run = shutil.copytree(runs["baseline"], tmp_path / "default")
    assert call(capfd, "figures", "training", run)[0] == 0
    assert (run / "figures" / "training.svg").is_file()


def test_runs_of_other_protocols_are_asked_the_same(runs, tmp_path, capfd):
    """Two runs that evaluate themselves by different searches of SYSU-MM01: the first one's goes for both."""
    sysu = trees.make_sysu(tmp_path / "sysu", test=range(11, 15), images=2)
    folders = []
    for search in ("indoor", "all"):
        run = shutil.copytree(runs["baseline"], tmp_path / search)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"] = {"name": "sysu_mm01", "root": str(sysu), "search": search}
        (run / "config.yaml").write_text(yaml.safe_dump(config).replace("rerank: false", "rerank: 'off'"))
        folders.append(run)
    for first, second in (folders, folders[::-1]):
        status, _, err = call(capfd, "figures", "rank", first, second, "--output", tmp_path / first.name)
        assert status == 0, err
    sheets = [(tmp_path / "all" / f"rank-sysu_mm01-i2v-{name}.svg").read_text() for name in ("all", "indoor")]
    assert sheets[0].count("<image") == sheets[1].count("<image")


def test_data_that_can_be_asked_one_way_only(runs, tmp_path, capfd):
    rows = []
    for pid in range(1, 5):
        for modality, split in (("visible", "query"), ("infrared", "gallery")):
            for shot in range(2):
                path = trees.save(
                    tmp_path / modality / f"{pid}_{shot}.png", trees.person(pid, split == "gallery", shot)
                )
                rows.append([path.relative_to(tmp_path), pid, modality, shot + 1, split])
    one_way = trees.write_manifest(tmp_path / "manifest.csv", rows)
    run = copied(runs["baseline"], tmp_path)
    for words in (["figures", "rank"], ["figures", "distances"], ["report"]):
        status, _, err = call(capfd, *words, run, "--data", one_way)
        assert status == 0, err
    assert {path.name for path in (run / "figures").glob("rank*.svg")} == {"rank-manifest-v2i.svg"}
    headings = re.findall(r"<h2>(.*?)</h2>", (run / "report.html").read_text())
    assert [text for text in headings if "Found" in text] == ["Found: manifest, visible to infrared"]


def test_one_person_is_too_few(runs, tmp_path, capfd):
    alone = trees.make_manifest_tree(tmp_path / "alone", identities=1, images=4)
    for kind in ("map", "distances"):
        line = refused(capfd, "figures", kind, runs["baseline"], "--data", alone, "--output", tmp_path)
        assert "expected" in line and ("two or more" in line or "at least two people" in line)


def test_nobody_in_both_kinds_of_light_is_refused(runs, tmp_path, capfd):
    halves = tmp_path / "halves"
    for pid, kind in ((1, "visible"), (2, "infrared")):
        for shot in range(4):
            trees.save(halves / kind / f"{pid:04d}" / f"{shot}.png", trees.person(pid, kind == "infrared", shot))
    for kind in ("rank", "heatmap", "map", "distances"):
        refused(capfd, "figures", kind, runs["baseline"], "--data", halves, "--output", tmp_path)


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory):
    """Two runs and the page that compares them."""
    folder = tmp_path_factory.mktemp("compared")
    first, second = (shutil.copytree(runs[name], folder / name) for name in ("baseline", "dfw_sln"))
    with pytest.raises(SystemExit) as stop:
        main(["report", str(first), str(second)])
    assert not stop.value.code
    return first, second, first / "report.html"


def test_a_report_compares_runs_on_one_page(compared, capfd):
    first, second, page = compared
    text = page.read_text()
    assert len(text) < 5_000_000
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text) and "<script" not in text
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings == [
        "Scores",
        "What differs",
        "Curves",
        "Training",
        "Distances",
        "Map",
        "Found: manifest, infrared to visible",
        "Found: manifest, visible to infrared",
        "Heat maps: manifest",
        "Data",
        "Environment",
    ]
    # Neither had results: both were evaluated, and the files keep what the page shows.
    for run in (first, second):
        rows = json.loads((run / "results.json").read_text())["results"]
        assert {row["direction"] for row in rows} == {"i2v", "v2i"}
        assert all(f"{100 * row['mean']['mAP']:.1f}" in text for row in rows)
    assert "<td>method.sln.enabled</td><td>-</td><td>true</td>" in text
    assert "method.backbone" not in text  # it is the same in both
    # Two directions, best, worst and random queries, three people of two runs each.
    assert text.count('class="query"') == 2 * 3 * 3 * 2
    status, out, _ = call(capfd, "report", first, second)
    assert status == 0 and out.strip() == str(page)
    assert page.read_text() == text  # nothing is drawn by lot


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1400])
def test_a_report_in_a_browser(compared, width):
    """No complaint, nothing asked of the network, nothing wider than the window: tables and sheets scroll."""
    playwright = pytest.importorskip("playwright.sync_api")
    faults = []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("console", lambda told: faults.append(told.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on(
                "request", lambda sent: None if sent.url.startswith(("file:", "data:")) else faults.append(sent.url)
            )
            page.goto(compared[2].as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            smallest = page.evaluate(
                "Math.min(...[...document.querySelectorAll('.charts svg')].map(x => x.clientWidth))"
            )
            assert smallest > 320
            page.close()
        browser.close()
    assert not faults


def test_a_report_on_other_data_of_a_single_run(runs, crops, tmp_path, capfd):
    run = copied(runs["baseline"], tmp_path)
    other = trees.make_manifest_csv(tmp_path / "other", train=0, test=3)
    assert call(capfd, "evaluate", run, "--data", crops)[0] == 0  # a result of another test is no result of this one
    status, _, err = call(capfd, "report", run, "--data", other, "--output", tmp_path / "page.html")
    assert status == 0, err
    text = (tmp_path / "page.html").read_text()
    assert len({row["data_root"] for row in json.loads((run / "results.json").read_text())["results"]}) == 2
    assert f"own crops in {other}" in text and f"own crops in {crops}" not in text
    assert "<h2>Configuration</h2>" in text and re.search(r"All \d+ keys of the configuration", text)
    assert "<td>method.backbone</td><td>&quot;resnet18&quot;</td>" in text
    assert "the folder" in refused(capfd, "report", run, "--output", tmp_path / "no" / "page.html")
    assert "say with --output where the report goes" in refused(capfd, "report", "default", "--data", "mini")


def test_an_image_that_cannot_be_read_takes_no_part(runs, tmp_path, capfd):
    other = trees.make_manifest_csv(tmp_path / "other", train=0, test=4)
    broken = tmp_path / "other" / "images" / "visible" / "0001_0.jpg"
    broken.write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run = copied(runs["baseline"], tmp_path)
        status, _, err = call(capfd, "report", run, "--data", other, "--output", tmp_path / "page.html")
    assert status == 0 and "1 test images cannot be read and are left out" in err
