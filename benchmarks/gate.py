"""How much the gate of DFW (Eq. 3 of DFW-SLN) changes a map: `python benchmarks/gate.py OUTPUT.json`.

Runs test images of SynthVI-mini through the shipped model's trunk up to layer3 and takes the means of the response f
and of the gate sigmoid(f M) over strong and weak cells, for several matrices M.
"""

import json
import sys
from pathlib import Path

import torch

from vireid.atomic import write_text
from vireid.data import synthvi
from vireid.data.augment import normalize
from vireid.data.cache import DecodedImages
from vireid.models.feature_weakening import WeakeningConfig, pooled_response, weakening_matrix
from vireid.models.two_stream_resnet import TwoStreamResNet

HEIGHT, WIDTH, IMAGES = 128, 64, 256
MATRICES = {
    "D1, alpha 0.5": WeakeningConfig(matrix="D1", alpha=0.5),
    "D1, alpha 0.2": WeakeningConfig(matrix="D1", alpha=0.2),
    "D2, beta 0.5": WeakeningConfig(matrix="D2", beta=0.5),
    "D3": WeakeningConfig(matrix="D3"),
}


def responses():
    """F of Eq. 1, `(B, 1, h, w)`, for evenly spread test images of both modalities."""
    samples = [sample for sample in synthvi.load(synthvi.Config(part="nir")) if sample.split != "train"]
    chosen = samples[:: max(1, len(samples) // IMAGES)][:IMAGES]
    images = DecodedImages.build([sample.path for sample in chosen], HEIGHT, WIDTH).gather(range(len(chosen)))
    modalities = torch.tensor([sample.modality for sample in chosen])
    trunk = TwoStreamResNet("resnet18", split=2, bn_specific=["layer2", "layer3", "layer4"], weights="default").eval()
    with torch.inference_mode():
        return pooled_response(trunk.stages(normalize(images), modalities, last="layer3"), "channel")


def main(output):
    f = responses()
    rows = []
    for name, config in MATRICES.items():
        matrix = weakening_matrix(f, config)
        strong, gate = matrix < 1, torch.sigmoid(f * matrix)
        rows.append(
            {
                "matrix": name,
                "response_strong": f[strong].mean().item(),
                "response_weak": f[~strong].mean().item(),
                "gate_strong": gate[strong].mean().item(),
                "gate_weak": gate[~strong].mean().item(),
            }
        )
    report = {"images": len(f), "height": HEIGHT, "width": WIDTH, "rows": rows}
    write_text(output, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
