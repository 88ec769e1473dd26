import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import trees

from vireid.errors import InputError
from vireid.figures import page
from vireid.figures.charts import Trend, dot_chart, line_chart, trend_chart
from vireid.figures.distances import PairDistances, distance_histograms, pair_distances
from vireid.figures.embedding_map import Places, map_chart, tsne
from vireid.figures.rank_sheet import rank_rows
from vireid.figures.sheet import Cell, html_sheet, overlay, sheet
from vireid.figures.style import COLOURS, inline, save
from vireid.figures.training import head_chart, training_curves
from vireid.sample import Modality, Sample


@pytest.fixture
def samples(tmp_path):
    return [
        Sample(trees.save(tmp_path / f"{pid}_{modality.name}.png", trees.person(pid, bool(modality), 0)), pid, modality)
        for modality in Modality
        for pid in (1, 2, 3)
    ]


def test_rank_rows_are_nearest_first_and_leave_out_what_the_protocol_ignores(samples):
    gallery, query = samples[:3], samples[3:5]
    distances = np.array([[0.5, 0.1, 0.3], [0.2, 0.2, 0.1]])
    ignore = np.array([[False, True, False], [False, False, False]])
    first, second = rank_rows(distances, ignore, query, gallery, k=2)
    assert [cell.image for cell in first] == [query[0].path, gallery[2].path, gallery[0].path]
    assert [cell.caption for cell in first] == ["query, id 1", "✗ 0.70", "✓ 0.50"]
    assert [cell.kind for cell in first] == ["query", "wrong", "right"]
    assert [cell.image for cell in second[1:]] == [gallery[2].path, gallery[0].path]  # a tie keeps the gallery's order


def test_an_empty_gallery_is_bad_input(samples):
    with pytest.raises(InputError, match="the gallery is empty"):
        rank_rows(np.empty((1, 0)), None, samples[3:4], [])


def test_a_sheet_marks_right_and_wrong_and_carries_its_images(samples):
    gallery, query = samples[:3], samples[3:4]
    rows = rank_rows(np.array([[0.1, 0.2, 0.3]]), None, query, gallery)
    text = html_sheet(rows)
    assert re.findall(r'class="(query|right|wrong)"', text) == ["query", "right", "wrong", "wrong"]
    assert text.count("data:image/jpeg;base64,") == 4
    assert "✓ 0.90" in text and "✗ 0.80" in text
    drawn = sheet(rows, title="t", columns=["query"], key="k")
    assert [axes.get_xlabel() for axes in drawn.axes] == ["query, id 1", "✓ 0.90", "✗ 0.80", "✗ 0.70"]
    strokes = [axes.spines["left"].get_linestyle() for axes in drawn.axes]
    assert strokes[0] == strokes[1] == "-" and strokes[2] == strokes[3] == (0, (3, 2))


def test_a_large_image_stands_in_a_page_at_the_size_it_is_shown():
    text = html_sheet([[Cell(np.random.default_rng(0).integers(0, 256, (1024, 512, 3), np.uint8))]])
    assert len(text) < 12_000


def test_a_sheet_of_nothing_is_bad_input():
    with pytest.raises(InputError, match="there is nothing to show"):
        sheet([], title="t")


def test_heat_is_laid_over_a_grey_image():
    image = np.full((4, 2, 3), 100, np.uint8)
    image[..., 0] = 160  # mean 120
    mixed = overlay(image, np.array([[0.0, 1.0]], np.float32), strength=0.5)
    assert (mixed[:, 0] == mixed[0, 0]).all() and (mixed[:, 1] == mixed[0, 1]).all()
    assert mixed[0, 0].tolist() == [60, 60, 62]  # the map's darkest colour is (0.001, 0, 0.014)
    assert mixed[0, 1].min() > 120  # its lightest is nearly white


def test_pairs_are_split_by_who_is_on_them_and_hidden_ones_left_out():
    distances = np.array([[0.1, 0.8, 0.6], [0.7, 0.3, 0.9]], np.float32)
    ignore = np.array([[False, False, True], [False, False, False]])
    pairs = pair_distances(distances, np.array([1, 2]), np.array([1, 2, 2]), ignore)
    assert pairs.intra == pytest.approx([0.1, 0.3, 0.9])
    assert pairs.inter == pytest.approx([0.8, 0.7])
    assert pairs.gap == pytest.approx(0.75 - 1.3 / 3)


@pytest.mark.parametrize(("pids", "missing"), [([1, 1], "two different people"), ([2, 2], "one person")])
def test_distances_of_one_person_or_of_strangers_only_are_bad_input(pids, missing):
    with pytest.raises(InputError, match=f"image of {missing} can be compared"):
        pair_distances(np.ones((2, 1), np.float32), np.array(pids), np.array([1]), None)


def test_histograms_show_shares_of_their_own_pairs_and_how_many():
    pairs = PairDistances(np.array([0.2, 0.2, 0.4], np.float32), np.array([0.9, 1.0], np.float32))
    figure = distance_histograms({"A": pairs, "B": pairs}, title="t")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[:2] == ["one person (3 pairs)", "two people (2 pairs)"]
    assert figure.axes[0].get_title("left") == "A: gap 0.683"
    for patch, count in zip(figure.axes[0].patches[::2], (3, 2), strict=True):
        shares = patch.get_data().values
        assert shares.sum() == pytest.approx(100) and set(np.round(shares * count / 100, 6)) <= {0, 1, 2}


def test_a_map_keeps_near_what_is_near():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 16)).repeat(8, 0)
    rows = centers + 0.05 * rng.normal(size=centers.shape)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    xy = tsne(rows, seed=0)
    assert xy == pytest.approx(tsne(rows, seed=0))
    groups = xy.reshape(3, 8, 2)
    spread = max(np.linalg.norm(group - group.mean(0), axis=1).max() for group in groups)
    middles = groups.mean(1)
    assert min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 2 * spread
    with pytest.raises(InputError, match="5 images are too few for t-SNE; expected 6 or more"):
        tsne(rows[:5], seed=0)
    with pytest.raises(InputError, match="all embeddings are the same"):
        tsne(np.full((40, 16), 0.25, np.float32), seed=0)


def test_a_map_shows_every_image_and_numbers_every_person():
    places = Places(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([1, 1, 7, 7, 7, 7]), np.array([0, 1] * 3))
    axes = map_chart({"A": places}, title="t").axes[0]
    assert sum(len(line.get_xdata()) for line in axes.lines) == 6
    assert [text.get_text() for text in axes.texts] == ["1", "7"]
    assert "no unit" in axes.get_xlabel()


LOG = [
    {"epoch": 1, "stage": "gray", "loss/identity": 5.0, "lr": 0.1},
    {"epoch": 2, "stage": "select:shared", "loss/identity": 4.0, "lr": 0.2, "heads/shared/block12": [0.5, 0.2, 0.3]},
    {"epoch": 3, "stage": "select:specific", "loss/identity": 3.0, "lr": 0.1, "heads/shared/block12": [0.2, 0.5, 0.3]},
]


def test_training_curves_have_a_panel_for_what_was_logged():
    figure = training_curves([{**row, "val/i2v/mAP": 0.25} for row in LOG], title="t")
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "loss (its factor included)",
        "learning rate",
        "held-out people, %",
    ]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [5, 4, 3]
    assert figure.axes[2].lines[0].get_ydata().tolist() == [25, 25, 25]
    # The turns of a stage are one stage.
    assert [text.get_text() for text in figure.axes[0].texts] == [" gray", " select"]
    with pytest.raises(InputError, match="no finished epoch"):
        training_curves([], title="t")


def test_the_heads_that_are_kept_are_marked_epoch_by_epoch():
    figure = head_chart(LOG, keep=2, title="t")
    (dots,) = figure.axes[0].lines
    assert sorted(zip(*dots.get_data(), strict=True)) == [(2, 1), (2, 3), (3, 2), (3, 3)]
    assert "kept" not in head_chart(LOG, keep=0, title="t").axes[0].get_xlabel()
    with pytest.raises(InputError, match="of more than one training"):
        head_chart([*LOG, {"epoch": 4, "heads/shared/block12": [0.5, 0.5]}], keep=2, title="t")
    with pytest.raises(InputError, match="the log names no attention heads"):
        head_chart(LOG[:1], keep=2, title="t")


def test_a_figure_is_saved_as_png_and_svg_which_are_the_same_every_time(tmp_path):
    paths = save(line_chart({"a": ([1, 2], [3, 4])}, title="t", x_label="x", y_label="y"), tmp_path / "new" / "a.b")
    assert [path.name for path in paths] == ["a.b.png", "a.b.svg"]
    before = [path.read_bytes() for path in paths]
    save(line_chart({"a": ([1, 2], [3, 4])}, title="t", x_label="x", y_label="y"), tmp_path / "new" / "a.b")
    assert [path.read_bytes() for path in paths] == before
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a.b.png", "a.b.svg"}  # nothing half-written


def test_every_line_of_many_looks_different():
    lines = line_chart({str(n): ([1, 2], [n, n]) for n in range(20)}, title="t", x_label="x", y_label="y").axes[0].lines
    assert (
        len({(line.get_color(), str(line.get_linestyle()), str(line._unscaled_dash_pattern)) for line in lines}) == 20
    )


def test_distances_of_equal_embeddings_are_drawn():
    pairs = PairDistances(np.zeros(4, np.float32), np.zeros(6, np.float32))
    axes = distance_histograms({"A": pairs}, title="t").axes[0]
    assert axes.patches[0].get_data().values.sum() == pytest.approx(100)
    assert axes.get_xlim()[1] >= 0.1


def test_colours_differ_to_colour_blind_eyes():
    """Every pair by lightness or on the axis that red-green blind people see (blue against yellow)."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in COLOURS]) ** 2.2
    light = (rgb @ [0.2126, 0.7152, 0.0722]) ** (1 / 3)
    yellow = (rgb[:, :2] @ [0.3, 0.7]) ** (1 / 3) - rgb[:, 2] ** (1 / 3)
    for a in range(len(COLOURS)):
        for b in range(a):
            assert max(abs(light[a] - light[b]), abs(yellow[a] - yellow[b])) > 0.08, (COLOURS[a], COLOURS[b])


def test_a_chart_is_well_formed_and_the_same_every_time():
    def draw():
        return inline(line_chart({"a": ([1, 2], [3, 4])}, title="t", x_label="x", y_label="y, %"))

    assert ElementTree.fromstring(draw()).tag.endswith("svg")
    assert draw() == draw()


def test_the_page_asks_nothing_of_the_network_and_escapes_text():
    chart = inline(line_chart({"a": ([1], [1])}, title="t", x_label="x", y_label="y"))
    content = page.table(["name"], [{"name": "<b>&"}]) + chart + page.paragraph("x < y")
    text = page.page("A & B", [("first", content)], intro="<script>")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "<script" not in text
    assert "&lt;b&gt;&amp;" in text and "<title>A &amp; B</title>" in text


def test_rows_are_compared_dot_by_dot_and_the_picture_is_the_same_every_time():
    panels = {"all": {"mAP": {"A": [10.0, 12.0], "B": [11.0], "C": []}, "R1": {"A": [1.0], "B": [], "C": [2.0]}}}
    text = inline(dot_chart(panels, title="t"))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert text == inline(dot_chart(panels, title="t"))
    assert text != inline(dot_chart({"all": {"mAP": {"A": [10.0]}}}, title="t"))


def test_any_name_can_be_drawn():
    name = "a $\\foo$ <row> whose name is as long as a row's name may be, six"
    text = inline(dot_chart({name * 3: {"mAP": {name: [1.0, 1.0], "B": [2.0]}}}, title=name * 4))
    assert ElementTree.fromstring(text).tag.endswith("svg")


@pytest.mark.parametrize("reference", [None, 3.0])
def test_a_trend_is_well_formed_and_the_same_every_time(reference):
    panels = {
        "all": {
            "mAP": Trend([0.001, 0.1, 1], [1, 2, 3], [0, 1, 0.5], [3, 2, 3], reference),
            "R1": Trend([1], [2], [0], [3]),
        }
    }
    text = inline(trend_chart(panels, title="t", x_label="x"))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert text == inline(trend_chart(panels, title="t", x_label="x"))
    key = trend_chart(panels, title="t", x_label="x").subfigs[0]._supxlabel.get_text()
    assert key.startswith("line: mean of 2 to 3 runs; bars") and ("grey line" in key) == (reference is not None)


def test_nothing_to_compare_is_an_empty_picture():
    assert ElementTree.fromstring(inline(dot_chart({}, title="t"))).tag.endswith("svg")
