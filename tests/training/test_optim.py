import pytest
import torch
from torch import nn

from vireid.methods.base import Method
from vireid.training.optim import OptimizerConfig, ScheduleConfig, build_optimizer, set_learning_rate


@pytest.mark.parametrize(
    ("epoch", "scale"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (19, 1.0), (20, 0.1), (49, 0.1), (50, 0.01), (79, 0.01)],
)
def test_agw_step_is_the_published_schedule(epoch, scale):
    assert ScheduleConfig(name="agw_step").scale(epoch, 80) == pytest.approx(scale)


def test_step_uses_its_own_milestones():
    schedule = ScheduleConfig(name="step", warmup_epochs=0, milestones=(2, 4), gamma=0.5)
    assert [schedule.scale(epoch, 6) for epoch in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_cosine_warms_up_and_falls_by_the_step():
    schedule = ScheduleConfig(name="cosine", warmup_epochs=2, floor=0.1)
    assert schedule.scale(0, 10) == pytest.approx(0.1)
    assert schedule.scale(1, 10) == pytest.approx(0.55)
    assert schedule.scale(2, 10) == pytest.approx(1.0)
    assert schedule.scale(5, 10, fraction=1.0) == pytest.approx(0.55)  # half way between epochs 2 and 10
    assert schedule.scale(9, 10, fraction=1.0) == pytest.approx(0.1)


def test_cosine_without_warmup_starts_at_the_full_rate():
    assert ScheduleConfig(name="cosine", warmup_epochs=0).scale(0, 5) == pytest.approx(1.0)


class Parts(Method):
    def __init__(self):
        super().__init__()
        self.trunk, self.head = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, batch):
        raise AssertionError("not needed here")

    embed = forward

    def parameter_groups(self):
        return [
            {"params": list(self.trunk.parameters()), "lr_scale": 0.1},
            {"params": list(self.head.parameters()), "lr_scale": 1.0},
        ]


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_every_group_has_its_share_of_the_rate_and_the_same_decay(name, kind):
    optimizer = build_optimizer(Parts(), OptimizerConfig(name=name, lr=0.2, weight_decay=0.03))
    assert isinstance(optimizer, kind)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.2])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.03, 0.03]
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])


def test_sgd_is_nesterov_momentum_by_default():
    (group, _) = build_optimizer(Parts(), OptimizerConfig()).param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 5e-4)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_part_may_learn_later_and_lie_otherwise_in_memory(name):
    """As the stages of a method and a resumed run do; the steps are those of PyTorch's plain loop."""
    torch.manual_seed(0)
    gradients = torch.randn(4, 2, 2, 2, 3, 3)

    def train(layout, plain):
        parameters = [nn.Parameter(torch.ones(2, 2, 3, 3).contiguous(memory_format=layout)) for _ in range(2)]
        method = Parts()
        method.trunk, method.head = (nn.ParameterList([parameter]) for parameter in parameters)
        optimizer = build_optimizer(method, OptimizerConfig(name=name, lr=0.1))
        for group in optimizer.param_groups:
            group["foreach"] = group["foreach"] and not plain
        optimizer.param_groups[0]["params"] += optimizer.param_groups.pop()["params"]
        for step, pair in enumerate(gradients):
            for parameter, gradient in zip(parameters[: 1 + step // 2], pair, strict=False):
                parameter.grad = gradient.clone()
            optimizer.step()
        return torch.stack([parameter.detach() for parameter in parameters])

    expected = train(torch.contiguous_format, plain=True)
    assert not torch.equal(expected[1], torch.ones(2, 2, 3, 3))
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(train(layout, plain=False), expected)
