"""Keep crops in a gallery on disk, with camera and time, and ask where else a person was seen.

Run: pip install 'vireid[search]'
     python 05_gallery.py [GALLERY]    (a folder to write; default: a temporary one, which goes afterwards)
"""

import sys
import tempfile
from pathlib import Path

from vireid.bulk import Crop
from vireid.data import synthvi
from vireid.sample import Modality
from vireid.search import Gallery, Where

# Crops with what is known of each; gallery.add takes a folder or a manifest.csv as well.
samples = [s for s in synthvi.load(synthvi.Config(part="nir")) if s.split == "test" and s.path.stem < "0003"]
people = sorted({sample.pid for sample in samples})[:8]
crops = [
    Crop(s.path, s.modality, pid=str(s.pid), camera=f"camera {s.camid}", time=f"2026-03-01T18:{s.camid:02}:00")
    for s in samples
    if s.pid in people
]

with tempfile.TemporaryDirectory() as folder:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "people"
    gallery = Gallery.open(place) if place.exists() else Gallery.create(place, model="default", device="cpu")
    added = gallery.add(crops)
    print(f"{place.name}: {added.new} new crops, {added.known} known; {gallery.count()} in all")

    query = next(crop for crop in crops if crop.modality is Modality.INFRARED)
    visible = Where(modality=Modality.VISIBLE, cameras=("camera 1", "camera 2"))
    print(f"person {query.pid} by {query.camera}, infrared; where by day?")
    for hit in gallery.search(query.path, k=6, where=visible, modality="infrared"):
        print(f"  {hit.score:.3f}  person {hit.pid:3} {hit.camera} {hit.plain()['time']}")

    again = gallery.add(crops)  # what is there already is not embedded again
    print(f"added once more: {again.new} new, {again.known} known")
