"""Initial weights of a small ViT for comparisons: `python benchmarks/small_vit.py OUTPUT.safetensors [--data ROOT]`.

From random weights no ViT learns to match people within the steps that a CPU can do, and the package ships none. This
one learns to put images where the shipped model, a ResNet-18, puts them: for each image of a batch, the softmax over
the batch of its cosines to the shipped model's embeddings shall equal that of the shipped model's own. It sees the
near-infrared part of the people that the shipped model was trained on, so that both start from the same people.

Shapes: N images, B images of a batch.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

import vireid
from vireid.atomic import replacing
from vireid.data import synthvi
from vireid.data.augment import AugmentConfig, augment
from vireid.data.cache import DecodedImages
from vireid.evaluation.extract import extract
from vireid.models.precision import fastest_precision, resolve_device
from vireid.models.vision_transformer import VisionTransformer

BACKBONE, HEADS, GRID = "vit_tiny_patch16_224", 6, (10, 5)
HEIGHT, WIDTH = 128, 64
BATCH, RATE, WEIGHT_DECAY, TEMPERATURE = 128, 1e-3, 0.05, 0.07
AUGMENTATION = AugmentConfig(pad=5, flip=0.5, jitter=1.0, jitter_strength=0.15, erase=0.3, erase_area=(0.02, 0.2))


def teach(samples, device):
    """The shipped model's embeddings of all samples, `(N, 512)`."""
    embedder = vireid.load("default", device=str(device))
    images = DecodedImages.build([sample.path for sample in samples], embedder.height, embedder.width)
    modalities = np.array([sample.modality for sample in samples])
    precision = fastest_precision(device)
    return torch.from_numpy(extract(embedder.method, images, modalities, device=device, precision=precision))


def agreement_loss(student, teacher):
    """Cross-entropy between the two distributions over the batch; rows `(B, D)` of length 1."""
    wanted = (teacher @ teacher.T / TEMPERATURE).softmax(1)
    return -(wanted * (student @ teacher.T / TEMPERATURE).log_softmax(1)).sum(1).mean()


def train(samples, steps, seed, device):
    torch.manual_seed(seed)
    targets = teach(samples, device).to(device)
    images = DecodedImages.build([sample.path for sample in samples], HEIGHT, WIDTH)
    modalities = torch.tensor([int(sample.modality) for sample in samples], device=device)
    vit = VisionTransformer(BACKBONE, weights="none", heads=HEADS, grid=GRID, dropout=0.0, drop_path=0.0)
    vit = vit.to(device).train()
    head = nn.Linear(vit.width, targets.shape[1]).to(device)
    optimizer = torch.optim.AdamW([*vit.parameters(), *head.parameters()], lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    generator, rng = torch.Generator(device).manual_seed(seed), np.random.default_rng(seed)
    half = fastest_precision(device) == "bf16-mixed"
    losses = []
    for _ in (bar := tqdm(range(steps), unit="step")):
        chosen = rng.choice(len(samples), BATCH, replace=False)
        pixels = augment(images.gather(chosen).to(device), modalities[chosen], AUGMENTATION, generator)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            rows = head(vit(pixels)[:, 0])
        loss = agreement_loss(F.normalize(rows.float()), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vit.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        bar.set_postfix_str(f"loss {losses[-1]:.3f}")
    return vit, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data/synthvi-default"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    samples = synthvi.load(synthvi.Config(root=options.data, part="nir", train_ids="all"))
    vit, losses = train(samples, options.steps, options.seed, resolve_device(options.device))
    state = {name: value.contiguous().cpu() for name, value in vit.state_dict().items()}
    with replacing(options.output) as partial:
        save_file(state, partial)
    report = {"backbone": BACKBONE, "heads": HEADS, "grid": GRID, "images": len(samples), "steps": options.steps}
    print(json.dumps({**report, "first_loss": losses[0], "last_losses": sum(losses[-50:]) / len(losses[-50:])}))


if __name__ == "__main__":
    main()
