import json
import shutil
from pathlib import Path

import numpy as np
import probe_images
import pytest
import synthvi_probes
from trees import make_synthvi, save

from vireid.data import synthvi
from vireid.data.cache import DecodedImages
from vireid.errors import InputError

SHAPE = probe_images.HEIGHT, probe_images.WIDTH


def with_masks(root, part="nir", **options):
    """A part of SynthVI whose silhouettes are a block in the middle, a little wider for each person."""
    folder = make_synthvi(root, part, **options)
    for sample in synthvi.load(synthvi.Config(root=folder, part=part)):
        shape = np.zeros((32, 16), np.uint8)
        shape[6:26, 5 : 8 + sample.pid % 4] = 255
        save(probe_images.mask_path(folder, sample.path), shape)
    return folder


@pytest.fixture(scope="module")
def nir(tmp_path_factory):
    return with_masks(tmp_path_factory.mktemp("nir"), images=1)


def scene(person_color, scene_color):
    """An image with a person in the middle, and where the person is."""
    person = np.zeros(SHAPE, bool)
    person[20:80, 18:30] = True
    image = np.where(person, np.reshape(person_color, (3, 1, 1)), np.reshape(scene_color, (3, 1, 1)))
    return image.astype(np.uint8), person


def test_the_silhouette_knows_nothing_but_the_outline():
    first, second = scene((9, 9, 9), (200, 1, 1)), scene((90, 0, 9), (2, 100, 1))
    cover = probe_images.common_cover(first[1][None])
    shapes = [probe_images.change("silhouette", *each, cover) for each in (first, second)]
    assert np.array_equal(*shapes) and set(np.unique(shapes[0])) == {0, 255}


def test_the_outline_is_as_bright_as_the_person_was_found():
    found = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.uint8)
    image, person = scene((9, 9, 9), (200, 1, 1))
    changed = probe_images.change("outline", image, person, person, found)
    assert changed.shape == (3, *SHAPE) and all(np.array_equal(channel, found) for channel in changed)


def test_the_background_does_not_know_the_person_s_colours():
    dark, bright = scene((9, 9, 9), (200, 1, 1)), scene((250, 240, 230), (200, 1, 1))
    cover = probe_images.common_cover(dark[1][None])
    changed = [probe_images.change("background", *each, cover) for each in (dark, bright)]
    assert np.array_equal(*changed) and (changed[0] == np.reshape((200, 1, 1), (3, 1, 1))).all()


def test_the_background_does_not_know_the_outline():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (3, *SHAPE), dtype=np.uint8)
    people = np.zeros((2, *SHAPE), bool)
    people[0, 20:80, 18:30] = people[1, 30:90, 14:26] = True
    cover = probe_images.common_cover(people)
    assert (~cover).mean() == pytest.approx(probe_images.KEPT, abs=0.01) and cover[people.any(0)].all()
    changed = [probe_images.change("background", image, person, cover) for person in people]
    assert np.array_equal(*changed) and np.array_equal(changed[0][:, ~cover], image[:, ~cover])


def test_a_limb_beyond_the_cover_is_filled_with_the_scene():
    image, person = scene((9, 9, 9), (200, 1, 1))
    cover = np.zeros(SHAPE, bool)
    cover[30:70, 18:30] = True
    assert (probe_images.change("background", image, person, cover)[0] == 200).all()


def test_histograms_count_the_chosen_pixels():
    image = np.zeros((1, 3, 2, 2), np.uint8)
    image[0, :, 0] = 255
    top = np.array([[[True, True], [False, False]]])
    rows = probe_images.histograms(image, np.concatenate([top, ~top, np.ones_like(top)])[2:])
    assert rows.shape == (1, 48) and (rows**2).sum() == pytest.approx(1)
    assert rows[0].reshape(3, 16)[0, [0, -1]] == pytest.approx(np.sqrt(1 / 6))
    assert probe_images.histograms(image, top)[0].reshape(3, 16)[:, -1] == pytest.approx(np.sqrt(1 / 3))


def test_the_camera_number_alone_is_chance_where_everybody_is_in_every_camera(nir):
    part = synthvi_probes.read_part("nir", nir)
    everyone = np.arange(len(part.samples))
    distance = synthvi_probes.by_camera(part)(everyone, everyone)
    # All are equally far but for the random order, which is chance.
    train = len({sample.pid for sample in part.samples if sample.split == "train"})
    assert ((distance >= -1 / train) & (distance < -1 / train + 1.001e-9)).all()
    assert len(np.unique(distance)) > 0.9 * distance.size


def test_the_camera_number_is_found_out_where_it_tells_the_person(nir):
    part = synthvi_probes.read_part("nir", nir)
    pair = {1: 3, 2: 6}  # person 1 is in cameras 1 and 3, person 2 in 2 and 6
    kept = [
        k
        for k, s in enumerate(part.samples)
        if s.pid in pair and s.camid in (s.pid, pair[s.pid]) and s.split == "train"
    ]
    part.samples[:] = [part.samples[k] for k in kept]
    distance = synthvi_probes.by_camera(part)(np.arange(4), np.arange(4))
    pids = np.array([sample.pid for sample in part.samples])
    assert ((distance < -0.9) == (pids[:, None] == pids)).all()


def test_equal_silhouettes_overlap_wholly(nir):
    part = synthvi_probes.read_part("nir", nir)
    everyone = np.arange(len(part.samples))
    overlap = synthvi_probes.by_overlap(part)(everyone, everyone)
    widths = np.array([sample.pid % 4 for sample in part.samples])
    assert ((overlap < 1e-6) == (widths[:, None] == widths)).all()


def test_a_changed_part_is_read_as_the_part_it_was(nir, tmp_path):
    part = synthvi_probes.read_part("nir", nir)
    probe_images.write(tmp_path / "changed", nir, part.samples, part.images)
    again = synthvi.load(synthvi.Config(root=tmp_path / "changed", part="nir"))
    facts = [[(s.pid, s.modality, s.camid, s.split, s.track, s.time) for s in each] for each in (part.samples, again)]
    assert facts[0] == facts[1]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """People to be found, and others to train on, who pass for those of the default model."""
    root = tmp_path_factory.mktemp("set")
    for folder, about in ((root, {}), (root / "train", synthvi_probes.TRAINED_ON)):
        for part in ("nir", "lwir"):
            describe(with_masks(folder / part, part, identities=6, images=2), **about)
    return root


def describe(folder, **about):
    """Say something else of a part."""
    file = folder / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | about))


SMALL = ["epochs=1", "steps_per_epoch=1", "identities=2", "val_identities=0", "start_from=null"]


def test_probes_are_written_kept_and_not_mixed_with_others(root, tmp_path, monkeypatch):
    changes = [*(f"train.{each}" for each in SMALL), "images.height=64", "images.width=32", "images.augment.pad=1"]
    changes += ["method.foreground.epochs=0"]
    recipe, reference = synthvi_probes.read_recipe(changes), synthvi_probes.load_run("default")
    file = tmp_path / "probes.json"

    def run(recipe=recipe):
        people, folders = synthvi_probes.read_people(root), synthvi_probes.find_people(root)
        report = synthvi_probes.Report(file, synthvi_probes.settings(folders, recipe, reference))
        synthvi_probes.probe(people, report, recipe, reference, tmp_path, "cpu")
        return report.content

    stages = []
    complete_run = synthvi_probes.complete_run

    def watched(config, run, **more):
        start = config.train.start_from
        stages.append((run.name, config.data.options.part, config.train.paired, start and Path(start).name))
        assert not config.flat()["method.foreground.enabled"]  # these images are cut out already
        return complete_run(config, run, **more)

    monkeypatch.setattr(synthvi_probes, "complete_run", watched)
    content = run()
    for rows in json.loads(file.read_text())["parts"].values():
        networks = [f"network: {kind}" for kind in ("whole image", *probe_images.KINDS)]
        assert list(rows) == [*synthvi_probes.DESCRIPTORS, *networks]
    # Pairs of one moment first, then everything, and each kind of images for itself.
    assert stages == [
        stage
        for kind in probe_images.KINDS
        for stage in (
            (f"{kind}-default_start", "lwir", 1.0, None),
            (f"{kind}-default", "all", 0.3, f"{kind}-default_start"),
        )
    ]
    # Those that networks are tested on are of the set itself, and nobody is in both.
    assert content["settings"]["data"]["test"]["nir"]["seed"] == 0
    tested = synthvi.load(synthvi.Config(root=tmp_path / "background" / "test", part="nir"))
    assert {sample.split for sample in tested} == {"test"}
    assert "network: background" in synthvi_probes.text(content)
    monkeypatch.setattr(synthvi_probes, "network", None)  # nothing is trained twice
    assert run() == json.loads(file.read_text())
    with pytest.raises(InputError, match="other data or settings"):
        run(synthvi_probes.read_recipe([*changes, "train.seed=1"]))
    for text in ("{", "[]", json.dumps(content | {"format": 1})):
        file.write_text(text)
        with pytest.raises(InputError, match="no probes"):
            run()


def test_outlines_are_what_the_default_model_finds():
    samples = synthvi.load(synthvi.Config(part="nir"))[::200]
    images = np.array(DecodedImages.build([sample.path for sample in samples], *SHAPE).pixels)
    found = probe_images.outlines(synthvi_probes.load_run("default"), images, "cpu")
    assert found.shape == (len(samples), *SHAPE) and found.dtype == np.uint8
    middle, border = found[:, 30:100, 24:40], found[:, :, [0, 1, -2, -1]]
    assert middle.mean() > 150 and border.mean() < 30


def test_the_default_model_is_the_reference_for_its_own_recipe_only():
    reference = synthvi_probes.load_run("default")
    synthvi_probes.require_reference(reference, synthvi_probes.read_recipe())
    with pytest.raises(InputError, match=r"train\.seed 0, other networks would be with 5"):
        synthvi_probes.require_reference(reference, synthvi_probes.read_recipe(["train.seed=5"]))


@pytest.mark.parametrize(
    ("part", "about", "told"),
    [
        ("nir", {"seed": 1}, "different seeds"),
        ("train/lwir", {"seed": 5}, "different seeds"),
        ("train/nir", {"preset": "nir"}, "has preset nir; the default model was trained on mini"),
        ("train/nir", {"identities": {"train": 3, "test": 3}}, "has identities"),
    ],
)
def test_networks_are_trained_on_the_default_model_s_people(part, about, told, root, tmp_path):
    shutil.copytree(root, tmp_path / "set")
    describe(tmp_path / "set" / part, **about)
    with pytest.raises(InputError, match=told):
        synthvi_probes.find_people(tmp_path / "set")


def test_the_people_to_be_found_are_others(root, tmp_path):
    shutil.copytree(root, tmp_path / "set")
    for part in ("nir", "lwir"):
        describe(tmp_path / "set" / part, seed=1)
    with pytest.raises(InputError, match="people that the default model was trained on"):
        synthvi_probes.find_people(tmp_path / "set")


def test_what_is_wrong_is_told_in_one_line_before_the_work(root, tmp_path, monkeypatch, capsys):
    (tmp_path / "afile").touch()
    words = ["synthvi_probes.py", str(root), "--output", str(tmp_path / "out.json")]
    for more, told in ((["--runs", str(tmp_path / "afile")], "cannot be made a folder"), (["--device", "foo"], "foo")):
        monkeypatch.setattr("sys.argv", [*words, *more])
        with pytest.raises(SystemExit) as left:
            synthvi_probes.main()
        error = capsys.readouterr().err
        assert left.value.code == 2 and told in error and error.count("\n") == 1


def test_a_set_without_silhouettes_is_refused(tmp_path):
    with pytest.raises(InputError, match="--masks"):
        synthvi_probes.read_part("nir", make_synthvi(tmp_path, images=1))
