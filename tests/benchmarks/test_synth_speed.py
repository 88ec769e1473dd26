import json
from argparse import Namespace

import pytest
import synth_speed

from vireid.errors import InputError


class Renderer:
    """Takes 10 s to start and `seconds` for each of 20 images of a person."""

    def __init__(self, seconds):
        self.seconds = seconds

    def render(self, people, settings):
        return 20 * people, 10 + 20 * people * self.seconds


def test_start_up_is_in_one_rate_and_not_in_the_other():
    turn = synth_speed.measure(Renderer(0.1), Namespace(identities=5))
    assert turn["rate"] == pytest.approx(36000)
    assert turn["whole"] == pytest.approx(3600 * 200 / 30)
    assert turn["images"] == 300 and turn["seconds"] == pytest.approx(50)


def test_the_ratio_is_taken_turn_by_turn():
    settings = Namespace(identities=5)
    fast, slow = ([synth_speed.measure(Renderer(each), settings) for each in row] for row in ((0.1, 0.2), (0.5, 0.4)))
    report = synth_speed.summarise({"working tree": fast, "before": slow})
    assert report["ratios"] == pytest.approx([5, 2]) and report["ratio"] == pytest.approx(3.5)
    assert report["median"]["before"]["rate"] == pytest.approx((7200 + 9000) / 2)
    json.dumps(report)


def test_a_revision_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="give --against"):
        synth_speed.unpack("no-such-revision", tmp_path)
