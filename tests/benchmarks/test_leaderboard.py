"""Published scores are checked, ours find their table on the leaderboard, and no result file is forgotten."""

import json
import re

import leaderboard_tables
import pytest
import results_tables

from vireid.errors import InputError
from vireid.evaluation.results import SCORES, Result, TrialScores, save_results, summary

ENTRY = """
- method: M
  year: 2024
  source: README
  confidence: primary
  scores:
    - {dataset: sysu_mm01, search: all, shots: 1, direction: i2v, rerank: off, rank1: 50, rank10: 80, mAP: 45}
"""


@pytest.fixture
def entries(tmp_path):
    def written(old="", new=""):
        assert old in ENTRY
        file = tmp_path / "leaderboard.yaml"
        file.write_text(ENTRY.replace(old, new, 1))
        return leaderboard_tables.read(file)

    return written


def test_an_entry_is_read_and_its_off_is_a_word(entries):
    (entry,) = entries()
    assert (entry.method, entry.scores[0].rerank, entry.scores[0].mINP) == ("M", "off", None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mAP: 45", "map: 45", "entry 0 (M): scores.0.map: Extra inputs are not permitted, not 45"),
        ("rank1: 50", "rank1: 90", "Rank-20 must not fall, and are [90.0, 80.0]"),
        ("rank1: 50", "rank1: 500", "scores.0.rank1: Input should be less than or equal to 100, not 500"),
        ("search: all, ", "", "'search' and 'shots' are given for sysu_mm01"),
        ("sysu_mm01, search: all, shots: 1", "llcm", "scores.0: 'protocol' is given for llcm"),
        ("rerank: off", "rerank: false", "'k-reciprocal' or 'other', not False"),
        ("confidence: primary", "confidence: sure", "confidence: Input should be 'primary', 'abstract'"),
        ("  year: 2024\n", "", "entry 0 (M): year: Field required"),
        ("- method: M", "- method: [", "leaderboard.yaml is not YAML"),
        (ENTRY, "", "leaderboard.yaml, entry : it: Input should be a valid list"),
    ],
)
def test_what_does_not_fit_is_named(entries, old, new, said):
    if old.startswith("sysu"):
        new = "llcm, protocol: paper"  # i2v has one protocol only
    with pytest.raises(InputError) as refused:
        entries(old, new)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_one_method_has_one_row_for_a_test_unless_its_sources_differ():
    lines = leaderboard_tables.published()
    seen = [(line.entry.method, line.entry.source, line.score.test) for line in lines]
    assert len(set(seen)) == len(seen)
    # The DFW-SLN paper's citation of AGW gives way to AGW's authors, its own re-ranked row is marked as such.
    agw = [line.entry.confidence for line in lines if line.entry.method == "AGW" and line.score.search == "all"]
    own = [line.score.rerank for line in lines if line.entry.method == "DFW-SLN" and line.score.search == "all"]
    assert agw == ["primary"] and own == ["off", "k-reciprocal"]


def columns(table):
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.mark.parametrize("name", leaderboard_tables.TITLES)
def test_published_tables_are_sorted_and_re_ranked_rows_are_apart(name):
    text, ours = leaderboard_tables.dataset(name).split(" measured by vireid")
    assert "as published, not measured here" in text and "mAP" not in ours
    for table in re.split(r"^#### .*\n", text, flags=re.MULTILINE)[1:]:
        scores = [row["mAP"] for row in columns(table.partition("\n### ")[0])]
        given = [float(score) for score in scores if score != "-"]
        assert given == sorted(given, reverse=True) and scores[len(given) :] == ["-"] * (len(scores) - len(given))
    tests = {line.score.test.title: line.score.rerank for line in leaderboard_tables.published()}
    assert all(("re-ranked" in title) == (rerank != "off") for title, rerank in tests.items())


def result(score, dataset, protocol, direction="i2v", rerank="off", draws=1, seed=0, method="agw"):
    scores = dict.fromkeys(SCORES, score)
    trials = (TrialScores(**scores, num_queries=9, num_valid_queries=9, num_gallery=9),) * draws
    mean, std = summary(trials)
    return Result(
        method=method, dataset=dataset, protocol=protocol, direction=direction, rerank=rerank, cmc_unit="identity",
        seed=seed, trials=trials, mean=mean, std=std, cmc=(score,),
    )  # fmt: skip


@pytest.fixture
def ours(tmp_path, monkeypatch):
    monkeypatch.setattr(leaderboard_tables, "RESULTS", tmp_path)
    return lambda name, *rows: save_results(tmp_path / "leaderboard" / f"{name}.json", rows)


def test_without_results_our_place_says_why(ours):
    assert leaderboard_tables.measured("llcm").startswith("Nothing. LLCM is given out by its owners on request")


def test_our_results_find_their_table_by_protocol_and_re_ranking(ours):
    name = "all search, 1-shot, official gallery"
    plain = [result(score, "sysu_mm01", name, draws=10, seed=seed) for seed, score in enumerate((0.4, 0.6))]
    ours("agw", *plain, result(0.7, "sysu_mm01", name, rerank="k-reciprocal", draws=10))
    ours("hct", result(0.55, "sysu_mm01", "all search, 1-shot, agw gallery", draws=10, method="hct"))
    ours("other", result(0.9, "regdb", "trial 1", direction="v2i"))
    text = leaderboard_tables.measured("sysu_mm01")
    off, reranked = text.split("#### Ours: All search, one shot, infrared to visible")[1:]
    first, second = columns(off.partition("In percent")[0])
    assert (first["method"], first["mAP"]) == ("hct", "55.0 ± 0.0")
    assert first["what was run"] == "agw gallery, 10 draws, last epoch, seed 0"
    # Two seeds, 0.4 and 0.6: mean 0.5, sample standard deviation sqrt(2 * 0.01).
    assert (second["method"], second["mAP"]) == ("agw", "50.0 ± 14.1")
    assert second["what was run"] == "official gallery, 10 draws, last epoch, seed 0, 1"
    assert reranked.startswith(", re-ranked (k-reciprocal)") and "70.0" in reranked and "90.0" not in text


def test_splits_of_regdb_are_one_row_and_less_than_ten_are_said(ours):
    rows = [result(0.1 * split, "regdb", f"trial {split}", direction="v2i") for split in (1, 2, 3)]
    ours("agw", *rows)
    (row,) = columns(leaderboard_tables.measured("regdb").partition("\n\n")[2].partition("\n\nIn percent")[0])
    assert (
        row["Rank-1"] == "20.0 ± 10.0"
        and "split 1, 2, 3 (the published test is the mean of ten)" in row["what was run"]
    )
    ours("more", *[result(0.5, "regdb", f"trial {split}", direction="v2i") for split in range(4, 11)])
    assert "mean of ten" not in leaderboard_tables.measured("regdb")


def test_the_two_protocols_of_llcm_stay_apart_and_agree_from_infrared_to_visible(ours):
    swapped = result(0.3, "llcm", "repo_script protocol (roles swapped)", direction="v2i", draws=10)
    ours("agw", swapped, result(0.2, "llcm", "paper protocol", direction="v2i", draws=10))
    ours("back", result(0.4, "llcm", "paper protocol", draws=10))
    titles = re.findall("#### Ours: (.*)", leaderboard_tables.measured("llcm"))
    sides = "Visible to infrared, protocol `"
    assert titles == ["Infrared to visible", f"{sides}paper`", f"{sides}repo_script`"]


def test_what_has_no_table_and_what_is_there_twice_is_refused(ours):
    ours("mixed", result(0.1, "sysu_mm01", "mixed gallery"))
    with pytest.raises(InputError, match=r"mixed\.json: no table for 'sysu_mm01, mixed gallery'; expected"):
        leaderboard_tables.measured("sysu_mm01")
    ours("other", result(0.1, "sysu_mm01", "mixed gallery"))
    with pytest.raises(InputError, match=r"is in mixed\.json too; take one of them out"):
        list(leaderboard_tables._our_rows())


def test_every_result_file_is_on_the_results_page():
    page = (results_tables.ROOT / "docs" / "results.md").read_text()
    files = [file for file in results_tables.RESULTS.rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert f"(../benchmarks/results/{file.relative_to(results_tables.RESULTS).as_posix()})" in page


def test_a_file_that_nothing_describes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(results_tables, "RESULTS", tmp_path)
    (tmp_path / "new.json").write_text(json.dumps({}))
    with pytest.raises(
        InputError, match=r"benchmarks/results/new\.json: nothing says what it is; describe it in FILES"
    ):
        results_tables.part("speed")


def test_a_sweep_s_line_counts_what_is_told_apart(tmp_path):
    def row(name, mean, p):
        difference = {"mAP": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "p_holm": p}}
        return {"row": name, "summary": [{"direction": "i2v", "rerank": "off", "difference": difference}]}

    base = {"row": "base", "summary": [{"direction": "i2v", "rerank": "off", "difference": None}]}
    rows = [base, row("good", 0.02, 0.01), row("bad", -0.05, 0.04), row("unclear", 0.03, 0.2), row("once", 0.0, None)]
    file = tmp_path / "ablation.json"
    file.write_text(json.dumps({"reference": "base", "rows": rows}))
    assert results_tables._ablation(file) == (
        "of 4 compared: 1 better, 1 worse, 2 not told apart; "
        "largest difference -5.0 [-6.0, -4.0], p 0.040 (bad against base)"
    )
