import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import trees

from vireid.errors import InputError
from vireid.figures import page
from vireid.figures.charts import Trend, dot_chart, line_chart, trend_chart
from vireid.figures.rank_sheet import rank_rows, rank_sheet
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
    assert [sample.pid for sample in first.found] == [3, 1]
    assert first.scores == pytest.approx([0.7, 0.5])
    assert [sample.pid for sample in second.found] == [3, 1]  # a tie keeps the gallery's order


def test_an_empty_gallery_is_bad_input(samples):
    with pytest.raises(InputError, match="the gallery is empty"):
        rank_rows(np.empty((1, 0)), None, samples[3:4], [])


def test_a_sheet_marks_right_and_wrong_and_carries_its_images(samples):
    gallery, query = samples[:3], samples[3:4]
    text = rank_sheet(rank_rows(np.array([[0.1, 0.2, 0.3]]), None, query, gallery))
    assert text.count('class="query"') == 1
    assert re.findall(r'class="(right|wrong)"', text) == ["right", "wrong", "wrong"]
    assert text.count("data:image/png;base64,") == 4
    assert "✓ 0.90" in text and "✗ 0.80" in text


def test_a_chart_is_well_formed_and_the_same_every_time():
    def draw():
        return line_chart({"a": ([1, 2], [3, 4])}, title="t", x_label="x", y_label="y, %")

    assert ElementTree.fromstring(draw()).tag.endswith("svg")
    assert draw() == draw()


def test_the_page_asks_nothing_of_the_network_and_escapes_text():
    chart = line_chart({"a": ([1], [1])}, title="t", x_label="x", y_label="y")
    content = page.table(["name"], [{"name": "<b>&"}]) + chart + page.paragraph("x < y")
    text = page.page("A & B", [("first", content)], intro="<script>")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "<script" not in text
    assert "&lt;b&gt;&amp;" in text and "<title>A &amp; B</title>" in text


def test_rows_are_compared_dot_by_dot_and_the_picture_is_the_same_every_time():
    panels = {"all": {"mAP": {"A": [10.0, 12.0], "B": [11.0], "C": []}, "R1": {"A": [1.0], "B": [], "C": [2.0]}}}
    text = dot_chart(panels, title="t")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert text == dot_chart(panels, title="t")
    assert text != dot_chart({"all": {"mAP": {"A": [10.0]}}}, title="t")


def test_any_name_can_be_drawn():
    name = "a $\\foo$ <row> whose name is as long as a row's name may be, six"
    text = dot_chart({name * 3: {"mAP": {name: [1.0, 1.0], "B": [2.0]}}}, title=name * 4)
    assert ElementTree.fromstring(text).tag.endswith("svg")


@pytest.mark.parametrize("reference", [None, 3.0])
def test_a_trend_is_well_formed_and_the_same_every_time(reference):
    panels = {"all": {"mAP": Trend([0.001, 0.1, 1], [1, 2, 3], [0, 1, 0.5], reference), "R1": Trend([1], [2], [0])}}
    text = trend_chart(panels, title="t", x_label="x")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert text == trend_chart(panels, title="t", x_label="x")


def test_nothing_to_compare_is_an_empty_picture():
    assert ElementTree.fromstring(dot_chart({}, title="t")).tag.endswith("svg")
