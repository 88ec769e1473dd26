"""Shared by all tests."""

import torch

# The tests' tensors are small: on a busy machine several threads spend their time waiting for each other.
torch.set_num_threads(1)
