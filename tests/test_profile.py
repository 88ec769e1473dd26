"""Costs against the published tables of the field, and against hand counts."""

import pytest
import torch
from torch import nn

from vireid.methods import agw, baseline
from vireid.methods.base import Method
from vireid.profile import count_macs, profile


@pytest.mark.parametrize(
    ("method", "parameters", "macs"),
    [
        (lambda: baseline.build(baseline.Config(weights="none", split=2), 395), 23.74, 10.302),
        (lambda: agw.build(agw.Config(weights="none"), 395), 23.55, 10.319),
    ],
    ids=["baseline_split2", "agw"],
)
def test_published_costs_at_288x144(method, parameters, macs):
    cost = profile(method(), height=288, width=144, num_identities=395, repeats=0)
    assert round(cost.parameters / 1e6, 2) == parameters
    assert round(cost.macs_per_pair / 1e9, 3) == macs
    assert cost.classifier_parameters == 395 * 2048
    assert cost.step_seconds is None
    assert cost.embedded_per_second is None


class Small(Method):
    """One layer of each counted kind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1)
        self.bn = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(4, 5)
        self.classifier = nn.Linear(5, 7)

    def forward(self, batch):
        return {"sum": self.classifier(self.embed(batch.images, batch.modalities)).square().sum()}

    def embed(self, images, modalities):
        x = self.linear(self.pool(self.bn(self.conv(images)).relu()).flatten(1))
        return (x[:, :, None] @ x[:, None]).sum(2)  # (B, 5, 1) by (B, 1, 5)

    def parameter_groups(self):
        return [{"params": list(self.parameters()), "lr_scale": 1.0}]


def test_hand_count():
    convolution = 8 * 4 * 4 * 3 * 3 * 3
    batch_norm = 2 * 8 * 4 * 4
    linear = 4 * 5
    product = 5 * 5
    assert count_macs(Small(), 16, 8) == 2 * (convolution + batch_norm + linear + product)


def test_counting_leaves_the_mode_alone():
    method = Small().train()
    before = method.bn.running_mean.clone()
    count_macs(method, 16, 8)
    assert method.training
    assert torch.equal(method.bn.running_mean, before)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_times_and_report(precision):
    options = {"step_images": 16, "embedding_batch": 8, "repeats": 1}
    cost = profile(Small(), height=16, width=8, num_identities=7, precision=precision, **options)
    assert cost.step_seconds > 0
    assert cost.embedded_per_second > 0
    assert cost.classifier_parameters == 5 * 7 + 7
    table = cost.table()
    assert "training step" in table
    assert "images/s" in table
    assert precision in table
    assert cost.to_dict()["macs_per_pair"] == cost.macs_per_pair
