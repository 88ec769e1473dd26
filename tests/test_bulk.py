"""Which files `vireid embed` takes."""

from PIL import Image

from vireid.bulk import Crop, find_crops


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 8)).save(path)
    return path


def test_silhouettes_beside_a_manifest_are_no_crops(tmp_path):
    crops = [image(tmp_path / "images" / "cam1" / "0001.png"), image(tmp_path / "masks.png")]
    image(tmp_path / "masks" / "images" / "cam1" / "0001.png")
    found = find_crops(tmp_path)
    assert len(found) == 3  # without a manifest a folder of that name is one like any other
    (tmp_path / "manifest.csv").write_text("path,pid,modality,camid\n")
    found = find_crops(tmp_path)
    assert found == [Crop(path) for path in crops]
