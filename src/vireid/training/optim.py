"""Optimisers and learning-rate schedules."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vireid.methods.base import Method


class OptimizerConfig(BaseModel):
    """The optimiser; `lr` is the base rate that a method's `lr_scale` and the schedule multiply."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimizerConfig":
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0; set nesterov to false")
        return self


class ScheduleConfig(BaseModel):
    """How the learning rate moves.

    `agw_step` is the schedule of AGW and its relatives: linear warm-up over 10 epochs, x0.1 at 20 and again at 50.
    `step` takes the same shape with its own `warmup_epochs`, `milestones` and `gamma`. `cosine` warms up linearly
    from `floor` and falls to `floor` along half a cosine, step by step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["agw_step", "step", "cosine"] = "agw_step"
    warmup_epochs: int = Field(10, ge=0)
    milestones: tuple[int, ...] = (20, 50)
    gamma: float = Field(0.1, gt=0, le=1)
    floor: float = Field(0.01, ge=0, le=1)

    def scale(self, epoch: int, epochs: int, fraction: float = 0.0) -> float:
        """Factor on the base rate in `epoch` (0-based) of `epochs`, `fraction` in [0, 1) of it done."""
        if self.name == "cosine":
            done = epoch + fraction
            if done < self.warmup_epochs:
                return self.floor + (1 - self.floor) * done / self.warmup_epochs
            progress = (done - self.warmup_epochs) / max(epochs - self.warmup_epochs, 1e-9)
            return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        warmup, milestones, gamma = self.warmup_epochs, self.milestones, self.gamma
        if self.name == "agw_step":
            warmup, milestones, gamma = 10, (20, 50), 0.1
        if epoch < warmup:
            return (epoch + 1) / warmup
        return gamma ** sum(epoch >= milestone for milestone in milestones)


def build_optimizer(method: Method, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimiser over the method's groups; each keeps its `lr_scale` for `set_learning_rate`.

    Weight decay acts on every trained parameter, those of BatchNorm and GeM included, as in the code of AGW.
    """
    groups = [{**group, "lr": config.lr * group["lr_scale"]} for group in method.parameter_groups()]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, foreach=True)
    return torch.optim.SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        foreach=True,  # fused, it would want a gradient of every parameter from the first step on
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
