"""The shared vocabulary."""

import pytest

from vireid.sample import Direction


def test_directions_of_a_choice_and_in_words():
    assert Direction.of("both") == [Direction.I2V, Direction.V2I]
    assert Direction.of("v2i") == [Direction.V2I]
    with pytest.raises(ValueError):
        Direction.of("v2v")
    assert [direction.words for direction in Direction] == ["infrared to visible", "visible to infrared"]
