"""Costs against the published tables of the field, and against hand counts."""

import pytest
import torch
from torch import nn

from vireid.costs.macs import count_macs
from vireid.costs.measure import Setting, compare, count
from vireid.methods import agw, baseline
from vireid.methods.base import Method


def compared(methods, setting):
    return compare(methods, [count(method, setting) for method in methods], setting)


def profile(method, setting):
    return compared([method], setting)[0].profile


@pytest.mark.parametrize(
    ("method", "parameters", "macs"),
    [
        (lambda: baseline.build(baseline.Config(weights="none", split=2), 395), 23.74, 10.302),
        (lambda: agw.build(agw.Config(weights="none"), 395), 23.55, 10.319),
    ],
    ids=["baseline_split2", "agw"],
)
def test_published_costs_at_288x144(method, parameters, macs):
    cost = profile(method(), Setting(288, 144, 395, repeats=0))
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


class WithBranch(Small):
    """A layer of its own for training, and a frozen factor of the embedding."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Linear(5, 3)
        self.factor = nn.Parameter(torch.ones(5), requires_grad=False)

    def embed(self, images, modalities):
        return self.factor * super().embed(images, modalities)


def test_what_only_training_needs_is_counted_apart():
    method = WithBranch().train()
    small, cost = profile(Small(), Setting(8, 8, 7, repeats=0)), profile(method, Setting(8, 8, 7, repeats=0))
    assert small.training_parameters == 0
    assert cost.training_parameters == 5 * 3 + 3
    assert cost.parameters == small.parameters + 5
    assert cost.classifier_parameters == small.classifier_parameters
    assert method.training
    assert not method.factor.requires_grad


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
def test_times(precision):
    setting = Setting(16, 8, 7, step_images=16, embedding_batch=8, repeats=1, precision=precision)
    cost = profile(Small(), setting)
    assert cost.step_seconds > 0
    assert cost.embedded_per_second > 0
    assert cost.classifier_parameters == 5 * 7 + 7
    assert (cost.step_images, cost.embedding_batch, cost.precision) == (16, 8, precision)


class Clocked(Method):
    """Takes the seconds it is told to, on a clock that only it moves; notes who ran when."""

    def __init__(self, name, seconds, clock, order):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.name, self.seconds, self.clock, self.order = name, iter(seconds), clock, order

    def forward(self, batch):
        return {"sum": self._pass(len(batch.images)).sum()}

    def embed(self, images, modalities):
        return self._pass(len(images))

    def _pass(self, size):
        if size > 2:  # counting takes a pair
            self.clock[0] += next(self.seconds)
            self.order.append(self.name)
        return self.weight.expand(size, 1)

    def parameter_groups(self):
        return [{"params": [self.weight], "lr_scale": 1.0}]


def test_methods_take_turns_and_ratios_are_of_the_same_round(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr("vireid.costs.measure.time.perf_counter", lambda: clock[0])

    def turns(*timed):
        """A round to warm up, then the timed ones; each turn begins with a run that is not timed."""
        return [seconds for each in (100, *timed) for seconds in (100, each)]

    first = Clocked("a", turns(1, 2, 4) + turns(2, 2, 8), clock, order)
    second = Clocked("b", turns(3, 2, 4) + turns(4, 4, 2), clock, order)
    reference, other = compared([first, second], Setting(16, 8, 7, step_images=16, embedding_batch=8))
    assert order == ["a", "a", "b", "b"] * 8  # four rounds of steps, four of embedding
    assert (reference.profile.step_seconds, other.profile.step_seconds) == (2, 3)
    assert (reference.step_ratio, other.step_ratio) == (1, 1)  # median of 3, 1 and 1, not 3 / 2
    assert (reference.profile.embedded_per_second, other.profile.embedded_per_second) == (4, 2)
    assert (reference.embed_ratio, other.embed_ratio) == (1, 0.5)  # median of 2/4, 2/4 and 8/2


def test_a_count_has_no_ratios():
    (counted,) = compared([Small()], Setting(16, 8, 7, repeats=0))
    assert counted.step_ratio is None and counted.embed_ratio is None


class Watched(Small):
    """Keeps each training batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch)
        return super().forward(batch)


@pytest.mark.parametrize(("images", "per_identity"), [(4, 1), (8, 2), (12, 3), (16, 4), (32, 4)])
def test_a_training_step_has_negatives(images, per_identity):
    method = Watched()
    compared([method], Setting(16, 8, 7, step_images=images, embedding_batch=8, repeats=1))
    visible, infrared = method.seen[0].pids.chunk(2)
    assert torch.equal(visible, infrared)
    assert method.seen[0].modalities.tolist() == [0] * (images // 2) + [1] * (images // 2)
    counts = visible.unique(return_counts=True)[1]
    assert len(counts) >= 2 and counts.max() == per_identity
