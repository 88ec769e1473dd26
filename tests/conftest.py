"""Shared by all tests."""

import sys

import torch
from absl import logging as absl_logging

# The tests' tensors are small: on a busy machine several threads spend their time waiting for each other.
torch.set_num_threads(1)

# The handler of absl, which tensorboard brings, closes its stream when uvicorn sets up its own logs. Imported while
# pytest captures output, it would hold pytest's file and take it away from every later test.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
