"""Started by torchrun in test_loop.py: trains in two processes and saves what each of them holds at the end."""

import sys
from pathlib import Path

import torch
from test_loop import Linear, make_data, settings

from vireid.data.augment import AugmentConfig
from vireid.training.loop import launch_fabric, train

folder = Path(sys.argv[1])
fabric = launch_fabric("cpu", "32-true")
torch.manual_seed(fabric.global_rank)  # the ranks start apart; DDP has to bring them together
method = Linear()
changes = {"identities": 2}
train(method, make_data(), settings(**changes), AugmentConfig(), fabric, folder, metadata={"method": "linear"})
torch.save(method.state_dict(), folder / f"rank{fabric.global_rank}.pt")
