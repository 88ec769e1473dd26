"""Every option of a method is connected to something: changing it changes the losses or the embeddings.

Whether the change is the right one is tested method by method; a key that is read and then forgotten is found here.
"""

import json
from functools import cache
from importlib import import_module

import pytest
import torch

from vireid.testing import EPOCHS, IDENTITIES, SMALLEST, drawn_batch

VIT = {"backbone": "test_vit", "grid": (5, 2), "progressive_epochs": 2}
RESNET = {"backbone": "resnet18"}
CONSISTENCY = {"consistency": {"weight": 0.5}}
MMD = {"consistency": {"weight": 0.5, "kind": "mmd"}}
PLUG_INS = [
    {"dfw": {"enabled": True}},
    CONSISTENCY,
    (CONSISTENCY, {"consistency": {"weight": 0.5, "kind": "coral"}}),
    (CONSISTENCY, MMD),
    (CONSISTENCY, {"consistency": {"weight": 0.5, "scope": "identity"}}),
    (CONSISTENCY, {"consistency": {"weight": 0.5, "ramp_epochs": 60}}),
    (MMD, {"consistency": {"weight": 0.5, "kind": "mmd", "margin": 0.02}}),
]
# Of each method; a pair is an option and what it is compared with where that is not the default.
OPTIONS = {
    "baseline": [({"pool": "gem"}, {"gem_p": 5.0, "pool": "gem"}), {"margin": 2.0}, *PLUG_INS],
    "agw": [{"gem_p": 5.0}, {"learn_p": True}, {"nl_width": 4}, {"bn_specific": ["layer2"]}, *PLUG_INS],
    "mmn": [
        {"split": 3},
        {"bn_specific": ["layer2"]},
        {"parts": 1},
        {"margin": 2.0},
        {"fuse": "middle"},
        {"fuse": "sum"},
        {"train_head": True},
        {"loss": {"pairing_gap": 1.0}},
    ],
    "psmg": [
        {"split": 1, "bn_specific": []},
        {"bn_specific": ["layer2"]},
        {"granularities": (1, 3)},
        {"gem_p": 5.0},
        {"part_pool": "gem"},
        {"part_dim": None},
        {"middle": "off"},
        {"fuse": "middle"},
        {"fuse": "sum"},
        {"margin": 2.0},
        {"center_margin": 20.0},
        *PLUG_INS,
    ],
    "emif": [
        {"split": 3},
        {"bn_specific": ["layer2"]},
        {"gem_p": 5.0},
        {"intra": {"branch": "head"}},
        {"intra": {"weight": 0.1}},
        {"intra": {"margin": 2.0}},
        {"intra": {"compactness": 2.0}},
        {"intra": {"distill": 1.0}},
        *PLUG_INS[1:],
    ],
    "pmt": [
        {"stride": 16},
        {"grid": (3, 3)},
        {"heads": 4},
        {"dropout": 0.5},
        {"drop_path": 0.9},
        {"progressive_epochs": EPOCHS},
        {"margin": 2.0},
    ],
    "cm_dasn": [
        {"stride": 16},
        {"heads": 4},
        {"progressive_epochs": EPOCHS, "dasm": {"start": 1.0}},
        {"dasm": {"k": 2}},
        {"dasm": {"blocks": 2}},
        {"dasm": {"select": "per_sample"}},
        {"dasm": {"alternate": "off"}},
        {"dasm": {"start": 0.9}},
        {"dasm": {"roles": "shared"}},
        {"align": {"taps": (1, 6)}},
        {"align": {"strips": (1, 2)}},
        {"align": {"stages": "all"}},
        {"align": {"kind": "mmd"}},
        {"margin": 2.0},
        {"test_feature": "plain"},
        {"test_feature": "concat"},
    ],
}


def facts(name, options):
    """Losses by epoch, the number of trained values and embeddings after a little training."""
    module = import_module(f"vireid.methods.{name}")
    trunk = VIT if name in ("pmt", "cm_dasn") else RESNET
    known = {key: value for key, value in SMALLEST.items() if key in module.Config.model_fields}
    torch.manual_seed(0)
    method = module.build(module.Config(**{**known, **trunk, **options}), IDENTITIES).train()
    optimizer = torch.optim.SGD([{"params": g["params"], "lr": 0.01} for g in method.parameter_groups()])
    losses = []
    for epoch in (0, EPOCHS - 3, EPOCHS - 2, EPOCHS - 1):
        torch.manual_seed(epoch)
        method.start_epoch(epoch, EPOCHS)
        found = method(drawn_batch(seed=epoch))
        losses.append({key: value.item() for key, value in found.items()})
        optimizer.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        optimizer.step()
    batch = drawn_batch()
    with torch.no_grad():
        embeddings = method.eval().embed(batch.images, batch.modalities)
    return losses, sum(p.numel() for p in method.parameters() if p.requires_grad), embeddings.numpy().round(5).tolist()


CASES = [
    (name, *(case if isinstance(case, tuple) else ({}, case))) for name, cases in OPTIONS.items() for case in cases
]


@cache
def reference(name, options):
    return facts(name, json.loads(options))


@pytest.mark.parametrize(("name", "plain", "options"), CASES, ids=str)
def test_an_option_changes_what_a_method_does(name, plain, options):
    assert facts(name, options) != reference(name, json.dumps(plain))
