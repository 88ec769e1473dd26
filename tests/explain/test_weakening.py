import numpy as np
import pytest
import torch

from vireid.data.augment import normalize
from vireid.errors import InputError
from vireid.explain.weakening import _peak, weakening_of
from vireid.methods.dfw_sln import Config, build
from vireid.models.feature_weakening import WeakeningConfig, pooled_response, weakening_matrix
from vireid.sample import Modality
from vireid.testing import small

MODALITIES = torch.tensor([Modality.VISIBLE, Modality.INFRARED])


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(0, 256, (2, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_factors_are_the_matrix_that_the_method_applies(pixels):
    method = small("dfw_sln").build().eval()
    found = weakening_of(method, pixels, MODALITIES.numpy())
    with torch.no_grad():
        maps = method.backbone.stages(normalize(pixels), MODALITIES, last="layer3")
        expected = weakening_matrix(pooled_response(maps, "channel"), WeakeningConfig())[:, 0]
    assert found.enabled
    assert list(found.factors) == ["layer3"]
    assert found.factors["layer3"] == pytest.approx(expected.numpy())
    assert set(np.unique(found.factors["layer3"])) == {0.5, 1.0}  # alpha, and cells that stay
    assert len(found.peaks) == 2 and found.separation == 100


def test_a_peak_is_the_middle_of_the_highest_cell_in_pixels():
    focus = torch.zeros(2, 4, 2)
    focus[0, 3, 1] = focus[1, 0, 0] = 1
    # Cells of 16 x 16 pixels in an image of 64 x 32.
    assert _peak(focus, (64, 32)).tolist() == [[56, 24], [8, 8]]


def test_a_method_without_weakening_shows_what_would_be_weakened(pixels):
    found = weakening_of(small("hct").build().eval(), pixels, MODALITIES.numpy())
    assert not found.enabled
    assert len(found.peaks) == 1 and found.separation is None


def test_what_has_no_place_in_the_image_is_refused(pixels):
    with pytest.raises(InputError, match="PMT has none"):
        weakening_of(small("pmt").build().eval(), pixels, MODALITIES.numpy())
    options = Config(backbone="resnet18", weights="none", dfw=WeakeningConfig(pool="spatial"))
    with pytest.raises(InputError, match="expected channel"):
        weakening_of(build(options, 2).eval(), pixels, MODALITIES.numpy())
