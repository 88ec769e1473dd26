import warnings

import pytest
import torch

from vireid.training.guard import LossGuard, TrainingDiverged


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_stops_training_and_names_the_loss(value):
    with pytest.raises(TrainingDiverged, match=r"'triplet' became .* at epoch 3, step 7"):
        LossGuard().check({"identity": 1.0, "triplet": value}, "epoch 3, step 7")


def test_a_loss_that_sits_still_is_reported_once():
    guard = LossGuard(window=5)
    with pytest.warns(UserWarning, match=r"'triplet' has stayed at 0\.3 for 5 steps") as caught:
        for step in range(20):
            guard.check({"identity": 5.0 - step / 10, "triplet": 0.3}, f"step {step}")
    assert len(caught) == 1


def test_moving_and_finished_losses_are_not_reported():
    guard = LossGuard(window=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(20):
            guard.check({"identity": 1.0 - step / 100, "solved": 0.0}, f"step {step}")


def test_weights_that_no_loss_has_seen_yet_are_looked_at():
    layer = torch.nn.Linear(2, 2)
    guard = LossGuard()
    guard.check_weights(layer, "epoch 1")
    with torch.no_grad():
        layer.bias[1] = torch.inf
    with pytest.raises(TrainingDiverged, match="weight 'bias' is no longer finite after epoch 2; lower"):
        guard.check_weights(layer, "epoch 2")
