"""Values and gradients of the losses' published implementations, on seeded batches."""

import json
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vireid.losses.discriminative_center import discriminative_center_loss
from vireid.losses.hetero_center import hetero_center_triplet_loss
from vireid.losses.identity import identity_loss
from vireid.losses.middle_modality import middle_consistency_loss, pairing_gap
from vireid.losses.shared_enhancement import modality_shared_enhancement_loss
from vireid.losses.triplet import triplet_loss
from vireid.losses.weighted_triplet import weighted_triplet_loss
from vireid.models.middle_modality import ProjectionHead

GOLDEN = Path(__file__).parents[1] / "golden"
loss_batch = runpy.run_path(str(GOLDEN / "recipes.py"))["loss_batch"]
EXPECTED = json.loads((GOLDEN / "losses.json").read_text())["losses"]


def smoothed(x, pids, modalities):
    return identity_loss(x, pids % x.shape[1], label_smoothing=0.1)


def consistency(x, pids, modalities):
    """The projection starts from the weights that the note in the golden file gives."""
    dim = x.shape[1]
    head, draw = ProjectionHead(dim), np.random.default_rng(99)
    with torch.no_grad():
        head.layers[0].weight.copy_(torch.from_numpy(draw.standard_normal((256, dim)) / dim**0.5))
        head.layers[3].weight.copy_(torch.from_numpy(draw.standard_normal((256, 256)) / 16))
        head.layers[3].bias.zero_()
    return middle_consistency_loss(head.to(x.dtype)(x), pids, modalities, mode="peer")


LOSSES = {
    "agw_OriTripletLoss_m0.3": lambda x, pids, modalities: triplet_loss(x, pids, margin=0.3, mode="peer"),
    "agw_TripletLoss_WRT": lambda x, pids, modalities: weighted_triplet_loss(x, pids, mode="peer"),
    "agw_TripletLoss_WRT_normalized": lambda x, pids, modalities: weighted_triplet_loss(
        1.0 * x / (torch.norm(x, 2, 1, keepdim=True) + 1e-12), pids, mode="peer"
    ),
    "hct_CenterTripletLoss_m0.3": lambda *rows: hetero_center_triplet_loss(*rows, margin=0.3),
    "hct_CenterTripletLoss_m2.0": lambda *rows: hetero_center_triplet_loss(*rows, margin=2.0),
    "hct_CrossEntropyLabelSmooth": smoothed,
    "pmt_DCL": lambda x, pids, modalities: discriminative_center_loss(x, pids),
    "pmt_DCL_norm": lambda x, pids, modalities: discriminative_center_loss(F.normalize(x), pids),
    "pmt_MSEL": modality_shared_enhancement_loss,
    "pmt_MSEL_norm": lambda x, *rest: modality_shared_enhancement_loss(F.normalize(x), *rest),
    "pmt_MSEL_Cos": partial(modality_shared_enhancement_loss, distance="cosine"),
    "pmt_TripletLoss_m0.1": lambda x, pids, modalities: triplet_loss(x, pids, margin=0.1),
    "mmn_DCLoss_num2": consistency,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_match(name, dtype):
    for row in EXPECTED[name]["rows"]:
        x, labels = loss_batch(**row["batch"], chunks=row["chunks"])
        x = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
        modalities = torch.arange(2).repeat_interleave(len(x) // 2)
        loss = LOSSES[name](x, torch.tensor(labels), modalities)
        loss.backward()
        expected = row[dtype]
        gradient = x.grad.double()
        assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
        assert gradient.norm().item() == pytest.approx(expected["grad_l2"], rel=1e-5)
        # In float32 the published code loses digits of small entries to cancellation: match its 64-bit run.
        tolerance = 0 if dtype == "float64" else 1e-6 * expected["grad_l2"]
        entries = gradient[0, :3].numpy()
        np.testing.assert_allclose(entries, row["float64"]["grad_0_3"], rtol=1e-5, atol=tolerance)


def test_strict_triplet_equals_peer_where_every_identity_has_two_images():
    for row in EXPECTED["agw_OriTripletLoss_m0.3"]["rows"]:
        x, labels = map(torch.tensor, loss_batch(**row["batch"]))
        assert triplet_loss(x, labels).item() == pytest.approx(row["float64"]["loss"], rel=1e-9)


def test_stable_weighted_triplet_where_peer_no_longer_sees_negatives():
    row = EXPECTED["agw_TripletLoss_WRT"]["rows"][1]
    x, labels = map(torch.tensor, loss_batch(**row["batch"]))
    assert row["float64"]["loss"] > 8
    assert weighted_triplet_loss(x, labels).item() == pytest.approx(0.8023, abs=5e-5)


def test_stable_weighted_triplet_equals_peer_on_normalised_embeddings():
    for row in EXPECTED["agw_TripletLoss_WRT_normalized"]["rows"]:
        x, labels = map(torch.tensor, loss_batch(**row["batch"]))
        loss = weighted_triplet_loss(F.normalize(x), labels)
        assert loss.item() == pytest.approx(row["float64"]["loss"], rel=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pairing_gap_with_the_published_slip(dtype):
    """In float32 the published code gives an image a distance to itself, whose root the slip takes: see 64 bits."""
    for row in EXPECTED["mmn_TriLoss_4chunks"]["rows"]:
        x, labels = loss_batch(**row["batch"], chunks=row["chunks"])
        x = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
        visible, visible_middle, infrared, infrared_middle = x.chunk(4)
        views = torch.cat([visible, infrared]), torch.cat([visible_middle, infrared_middle])
        modalities = torch.arange(2).repeat_interleave(len(visible))
        loss = pairing_gap(*views, torch.tensor(labels).chunk(2)[0], modalities, mode="peer")
        loss.backward()
        assert loss.item() == pytest.approx(row["float64"]["loss"], rel=1e-5)
        assert x.grad.double().norm().item() == pytest.approx(row["float64"]["grad_l2"], rel=1e-5)
        np.testing.assert_allclose(x.grad[0, :3].numpy(), row["float64"]["grad_0_3"], rtol=1e-4)
