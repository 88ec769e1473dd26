import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from vireid.data.samplers import CrossModalPKSampler
from vireid.errors import InputError
from vireid.sample import Modality

GOLDEN = Path(__file__).parents[1] / "golden" / "agw_sampler.json"


def data_set(visible, infrared, seed=0):
    """Shuffled pids and modalities of identities 0, 1, ... with these numbers of images."""
    pids = np.r_[np.repeat(np.arange(len(visible)), visible), np.repeat(np.arange(len(infrared)), infrared)]
    modalities = np.r_[np.full(sum(visible), Modality.VISIBLE), np.full(sum(infrared), Modality.INFRARED)]
    order = np.random.default_rng(seed).permutation(len(pids))
    return pids[order], modalities[order]


def sampler(data, identities=2, images=3, seed=0, **options):
    return CrossModalPKSampler(*data, identities=identities, images_per_modality=images, seed=seed, **options)


def batches(data, **options):
    return np.array(list(sampler(data, **options)))


def require_structure(data, drawn, identities, images):
    pids, modalities = data
    blocks = drawn.reshape(len(drawn), 2, identities, images)
    assert (modalities[blocks[:, 0]] == Modality.VISIBLE).all()
    assert (modalities[blocks[:, 1]] == Modality.INFRARED).all()
    labels = pids[blocks]
    assert (labels == labels[:, :1, :, :1]).all()  # one identity per row, the same order in both blocks
    for batch in labels:
        assert len(set(batch[0, :, 0].tolist())) == identities


def test_structure_is_that_of_agw():
    """20 identities x 30 visible + 17 infrared, 8 x 4: AGW draws 608 indices per epoch and modality."""
    golden = json.loads(GOLDEN.read_text())
    data = data_set([30] * 20, [17] * 20)
    drawn = batches(data, identities=8, images=4)
    assert drawn.shape == (golden["n_index"] // 32, 64)
    require_structure(data, drawn, 8, 4)
    # AGW's own indices have this structure: same identities in the same order in both blocks.
    visible, infrared = np.array(golden["index1_head"]) // 30, np.array(golden["index2_head"]) // 17
    np.testing.assert_array_equal(visible, infrared)
    for start in range(0, 96, 32):
        rows = visible[start : start + 32].reshape(8, 4)
        assert (rows == rows[:, :1]).all()
        assert len(set(rows[:, 0].tolist())) == 8


def test_length_is_exact():
    data = data_set([5] * 4, [3] * 4)
    assert len(sampler(data)) == len(list(sampler(data))) == 20 // 6 + 1
    assert len(sampler(data, steps=7)) == len(list(sampler(data, steps=7))) == 7
    assert len(sampler(data, world_size=2)) == 20 // 12 + 1


def test_seed_and_epoch_decide():
    data = data_set([5] * 6, [5] * 6)
    np.testing.assert_array_equal(batches(data, seed=1), batches(data, seed=1))
    assert (batches(data, seed=1) != batches(data, seed=2)).any()
    drawn = sampler(data, seed=1)
    first = list(drawn)
    assert list(drawn) == first
    drawn.set_epoch(3)
    later = list(drawn)
    assert later != first
    again = sampler(data, seed=1)
    again.set_epoch(3)
    assert list(again) == later
    assert all(isinstance(index, int) for batch in later for index in batch)


def test_every_image_is_drawn_and_none_twice_in_a_batch():
    data = data_set([6] * 5, [4] * 5)
    drawn = batches(data, identities=3, images=4, steps=60)
    assert set(drawn.reshape(-1).tolist()) == set(range(50))
    assert all(len(set(batch)) == len(batch) for batch in drawn.tolist())


def test_few_images_are_repeated_evenly():
    data = data_set([1, 2, 5, 9], [5, 5, 5, 5])
    drawn = batches(data, identities=4, images=5, steps=10)
    require_structure(data, drawn, 4, 5)
    pids = data[0]
    for batch in drawn[:, :20].reshape(10, 4, 5):
        for row in batch:
            counts = sorted(np.unique(row, return_counts=True)[1].tolist())
            assert counts == {0: [5], 1: [2, 3], 2: [1] * 5, 3: [1] * 5}[int(pids[row[0]])]


def test_identities_without_a_modality_are_left_out():
    data = data_set([4, 0, 4, 4], [4, 4, 0, 4])
    with pytest.warns(UserWarning, match="2 of 4 training identities lack one modality"):
        drawn = batches(data, images=2)
    assert set(data[0][drawn.reshape(-1)].tolist()) == {0, 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler(data, images=2, rank=1, world_size=2)  # said once, by rank 0


def test_nothing_to_draw():
    with pytest.raises(InputError, match="none of the 2 training identities has both"):
        sampler(data_set([4, 0], [0, 4]))


def test_more_identities_asked_for_than_there_are():
    with pytest.raises(InputError, match="asks for 8 identities, but only 3 ") as error:
        sampler(data_set([4] * 3, [4] * 3), identities=8)
    assert "\n" not in str(error.value)


def test_ranks_draw_different_identities():
    data = data_set([4] * 7, [4] * 7)
    ranks = [batches(data, identities=3, rank=r, world_size=2, steps=20) for r in range(2)]
    for first, second in zip(*ranks, strict=True):
        assert not set(data[0][first].tolist()) & set(data[0][second].tolist())
    for rank in ranks:
        require_structure(data, rank, 3, 3)


def test_ranks_share_identities_only_where_they_must():
    data = data_set([4] * 5, [4] * 5)
    ranks = [batches(data, identities=3, rank=r, world_size=2, steps=20) for r in range(2)]
    for first, second in zip(*ranks, strict=True):
        assert len(set(data[0][first].tolist()) | set(data[0][second].tolist())) == 5
    for rank in ranks:
        require_structure(data, rank, 3, 3)


def test_identity_numbers_need_not_be_contiguous():
    pids, modalities = data_set([3] * 4, [3] * 4)
    data = (pids * 1000 + 17, modalities)
    require_structure(data, batches(data), 2, 3)


def paired_set():
    """Three people; track t<k> of a person holds one visible and one infrared image, x is in one modality only."""
    rows = [(pid, modality, f"{pid}-t{instant}") for pid in (3, 5, 8) for modality in Modality for instant in range(4)]
    rows += [(pid, Modality.VISIBLE, f"{pid}-x") for pid in (3, 5, 8)]
    rows += [(pid, Modality.INFRARED, "") for pid in (3, 5, 8)]
    return zip(*rows, strict=True)


@pytest.mark.parametrize("images", [1, 3, 6])
def test_paired_images_come_from_one_track(images):
    pids, modalities, tracks = paired_set()
    sampler = CrossModalPKSampler(
        pids, modalities, identities=2, images_per_modality=images, seed=0, steps=5, tracks=tracks, paired=1.0
    )
    for batch in sampler:
        visible, infrared = batch[: 2 * images], batch[2 * images :]
        assert [tracks[index] for index in visible] == [tracks[index] for index in infrared]
        assert all(modalities[index] == Modality.VISIBLE for index in visible)
        assert all(modalities[index] == Modality.INFRARED for index in infrared)


def test_the_share_of_pairs_is_the_given_one():
    pids, modalities, tracks = paired_set()
    sampler = CrossModalPKSampler(
        pids, modalities, identities=3, images_per_modality=1, seed=0, steps=2000, tracks=tracks, paired=0.4
    )
    same = np.mean([tracks[v] == tracks[i] for batch in sampler for v, i in zip(batch[:3], batch[3:], strict=True)])
    # 0.4 by pairing, and of the rest 4 of 25 draws (4 common tracks among 5 x 5 images) by chance.
    assert same == pytest.approx(0.4 + 0.6 * 4 / 25, abs=0.02)


@pytest.mark.parametrize("known", [True, False])
def test_pairs_need_tracks(known):
    pids, modalities, _ = paired_set()
    tracks = [""] * len(pids) if known else None
    with pytest.raises(InputError, match=r"train\.paired needs tracks"):
        CrossModalPKSampler(pids, modalities, identities=2, images_per_modality=1, seed=0, tracks=tracks, paired=0.5)
