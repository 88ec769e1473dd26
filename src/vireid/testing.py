"""What every method must do, as checks that any method file can be put through: one of this package or your own.

    for check in CHECKS:
        check(small("mylab.mymethod"))

Each check is a plain function that returns nothing, or raises `CheckFailed` with one line: what was found and how to
mend it. They run in seconds on a CPU, on drawn pictures and on the smallest backbone that a method has, untrained.

Shapes: N images, B images, D embedding size, H and W image height and width in pixels.
"""

import io
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_args

import torch
from pydantic import BaseModel
from torch import Tensor

from vireid.config import find_module, from_dict
from vireid.errors import InputError
from vireid.methods.base import Method
from vireid.sample import Batch, Modality

EPOCHS = 6
IDENTITIES = 4
HEIGHT, WIDTH = 64, 32
# What a method is built with where it has an option of that name: small, without a download and without chance.
SMALLEST = {
    "weights": "none",
    "trunk_lr_scale": 1.0,
    "parts": 2,
    "dropout": 0.0,
    "drop_path": 0.0,
    "progressive_epochs": 2,
}
BACKBONES = {"resnet": "resnet18", "vit": "test_vit"}  # by how the name of the default one begins


class CheckFailed(AssertionError):
    """A method lacks what every method must have; the message says what was found and how to mend it."""


@dataclass(frozen=True)
class Small:
    """A method file with the options to be checked; made by `small`."""

    module: ModuleType
    options: Any

    def build(self, seed: int = 0) -> Method:
        """The untrained network, in train mode and in its last epoch, when all of its parts are at work."""
        torch.manual_seed(seed)
        method = self.module.build(self.options, IDENTITIES)
        _require(
            isinstance(method, Method),
            f"build(config, num_identities) returned {type(method).__name__}; return a subclass of "
            "vireid.methods.base.Method",
        )
        method.start_epoch(EPOCHS - 1, EPOCHS)
        trained: Method = method.train()
        return trained


Check = Callable[[Small], None]


@dataclass(frozen=True)
class Outcome:
    """What came of one check: the property, and what is wrong, which is empty if nothing is."""

    what: str
    fault: str


def small(name: str, changes: Mapping[str, Any] | None = None) -> Small:
    """A method at its smallest.

    Args:
        name: as `method.name` in a config: `agw`, or `mylab.mymethod` for the file mylab/mymethod.py.
        changes: options by their dotted keys, for example `{"method.dfw.enabled": True}`.

    Raises:
        InputError: there is no such file, it cannot be imported, or an option does not exist or fit.
    """
    fields = find_module("method", name).Config.model_fields
    needed = [key for key, field in fields.items() if field.is_required()]
    if needed:
        raise InputError(f"{name}: Config has no default for {', '.join(needed)}; give every option one")
    options = {key: value for key, value in SMALLEST.items() if key in fields}
    if "backbone" in fields:
        default = str(fields["backbone"].default)
        options["backbone"] = next((tiny for family, tiny in BACKBONES.items() if default.startswith(family)), default)
    wanted = {"method": {"name": name, **options}, "data": {"name": "synthvi"}}
    method = from_dict(wanted).override(changes or {}).method
    return Small(method.module, method.options)


def drawn_batch(images: int = 2, seed: int = 0) -> Batch:
    """Four people with `images` visible and as many infrared images each: N = 8 x images, 64 x 32 pixels.

    Each identity is a block pattern; the two modalities paint it in different colours and contrasts.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.randn(IDENTITIES, 1, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(9))
    shapes = shapes.repeat_interleave(8, 2).repeat_interleave(8, 3)
    rows = shapes.repeat_interleave(images, 0)
    visible = rows * torch.tensor([1.0, 0.6, -0.3]).view(1, 3, 1, 1)
    infrared = (0.7 * rows + 0.5).expand(-1, 3, -1, -1)
    noise = torch.randn(2 * len(rows), 3, HEIGHT, WIDTH, generator=generator)
    pids = torch.arange(IDENTITIES).repeat_interleave(images).repeat(2)
    modalities = torch.tensor([Modality.VISIBLE] * len(rows) + [Modality.INFRARED] * len(rows))
    return Batch(torch.cat([visible, infrared]) + 0.3 * noise, pids, modalities)


def config_refuses_what_it_does_not_know(method: Small) -> None:
    """Config is frozen, has defaults and refuses unknown keys, in its parts too."""
    method.module.Config()
    for model in _models(method.module.Config):
        wanted = model.model_config.get("frozen") and model.model_config.get("extra") == "forbid"
        _require(
            bool(wanted),
            f"{model.__name__} would let a mistyped key of a config pass in silence; give it "
            'model_config = ConfigDict(frozen=True, extra="forbid")',
        )


def losses_are_finite_scalars(method: Small) -> None:
    """The losses are named, finite float32 scalars, in every epoch."""
    network = method.build()
    for epoch in range(EPOCHS):
        stage = network.start_epoch(epoch, EPOCHS)
        _require(isinstance(stage, str), f"start_epoch returned {stage!r}; return the stage's name, or an empty text")
        _require_losses(network(drawn_batch()), f"in epoch {epoch + 1} of {EPOCHS}")


def gradients_reach_every_parameter(method: Small) -> None:
    """Every trained parameter gets a finite gradient, if not in each epoch then in some.

    A method may go through stages, and rest a part of itself in one of them.
    """
    network = method.build()
    for epoch in range(EPOCHS):
        network.start_epoch(epoch, EPOCHS)
        _total(network(drawn_batch())).backward()  # type: ignore[no-untyped-call]
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    idle = [name for name, parameter in trained.items() if parameter.grad is None]
    _require(
        not idle,
        f"no loss depends on {_some(idle)}; use it in a loss, leave it out, or set requires_grad_(False) on it",
    )
    _require_finite_gradients(network)


def groups_hold_every_parameter_once(method: Small) -> None:
    """parameter_groups holds every trained parameter once, at a rate above 0."""
    network = method.build()
    groups = network.parameter_groups()
    for group in groups:
        _require(
            group.get("lr_scale", 0) > 0,
            f"a group has lr_scale {group.get('lr_scale')}; give it a number above 0, and frozen parameters "
            "requires_grad_(False)",
        )
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    names = {id(parameter): name for name, parameter in network.named_parameters() if parameter.requires_grad}
    missing = [name for key, name in names.items() if key not in listed]
    _require(not missing, f"parameter_groups lacks {_some(missing)}, which would never be trained; add it to a group")
    twice = [name for key, name in names.items() if listed.count(key) > 1]
    _require(not twice, f"parameter_groups holds {_some(twice)} more than once; leave it in one group")
    _require(set(listed) <= set(names), "parameter_groups holds a parameter that is frozen or not the method's own")


def same_seed_gives_same_losses(method: Small) -> None:
    """Two networks of one seed give equal losses."""
    first, second = (method.build()(drawn_batch()) for _ in range(2))
    for name, loss in first.items():
        _require(
            second[name].item() == loss.item(),
            f"loss '{name}' is {loss.item():g} and then {second[name].item():g} after the same torch.manual_seed; draw "
            "chance from torch only, not from random or numpy, and keep nothing outside of the network",
        )


def order_of_the_batch_does_not_matter(method: Small) -> None:
    """The losses of a shuffled batch are those of the ordered one."""
    batch = drawn_batch()
    order = torch.randperm(len(batch.pids), generator=torch.Generator().manual_seed(3))
    ordered, shuffled = method.build()(batch), method.build()(_take(batch, order))
    for name, loss in ordered.items():
        _require(
            math.isclose(shuffled[name].item(), loss.item(), rel_tol=1e-3, abs_tol=1e-9),
            f"loss '{name}' is {loss.item():g}, and {shuffled[name].item():g} with the rows of the batch shuffled; "
            "group by batch.pids and batch.modalities, never by position (if it is chance, such as dropout, switch "
            "that off for the checks)",
        )


def batch_of_one_modality_trains(method: Small) -> None:
    """A batch of only visible or only infrared images gives finite losses and gradients."""
    batch = drawn_batch()
    for modality in Modality:
        network = method.build()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the loss is 0")
            losses = network(_take(batch, batch.modalities == modality))
        _require_losses(
            losses, f"for {modality.name.lower()} images only (vireid.losses.distance.nothing_to_compare helps)"
        )
        _total(losses).backward()  # type: ignore[no-untyped-call]
        _require_finite_gradients(network)


def embeddings_have_length_one(method: Small) -> None:
    """Embeddings are float32 rows of length 1."""
    batch = drawn_batch()
    with torch.no_grad():
        rows = method.build().eval().embed(batch.images, batch.modalities)
    _require(
        rows.ndim == 2 and len(rows) == len(batch.pids) and rows.dtype == torch.float32,
        f"embed gave {_kind(rows)} for {len(batch.pids)} images; give (B, D) float32",
    )
    lengths = rows.norm(dim=1)
    worst = lengths[(lengths - 1).abs().argmax()].item()
    _require(
        abs(worst - 1) < 1e-5,
        f"a row of embed has length {worst:.4g}, expected 1; return F.normalize(embeddings.float())",
    )


def embedding_depends_on_its_image_only(method: Small) -> None:
    """The embedding of an image is the same in any batch: alone, in another order, or with one modality only."""
    batch, network = drawn_batch(), method.build().eval()
    together = _embed(network, batch)
    parts = {
        "alone": torch.tensor([9]),
        "with other images": torch.tensor([9, 0, 15, 3]),
        "without infrared images": (batch.modalities == Modality.VISIBLE).nonzero().squeeze(1),
        "without visible images": (batch.modalities == Modality.INFRARED).nonzero().squeeze(1),
    }
    for words, rows in parts.items():
        difference = (_embed(network, _take(batch, rows)) - together[rows]).abs().max().item()
        _require(
            difference < 1e-5,
            f"embeddings change by {difference:.2g} when images are embedded {words}; in eval mode an embedding may "
            "use nothing of the batch, such as its mean, but its own image and modality",
        )


def saved_weights_give_the_same_embeddings(method: Small) -> None:
    """A network that was saved and loaded again embeds as before."""
    network, batch, file = method.build(seed=1), drawn_batch(), io.BytesIO()
    with torch.no_grad():
        network(batch)  # moves the BatchNorm statistics, which must be saved too
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = method.build(seed=2)
    other.load_state_dict(torch.load(file, weights_only=True))
    _require(
        torch.equal(_embed(network.eval(), batch), _embed(other.eval(), batch)),
        "a loaded network embeds otherwise than the one that was saved; what training moves must be a parameter or "
        "a buffer (register_buffer)",
    )


def trains_in_bf16(method: Small) -> None:
    """Losses and embeddings stay finite float32 under bf16 autocast, with images in channels_last."""
    network = method.build().to(memory_format=torch.channels_last)
    batch = drawn_batch()
    batch = batch._replace(images=batch.images.to(memory_format=torch.channels_last))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = network(batch)
        _require_losses(losses, "under bf16 autocast; vireid.losses.distance.full_precision makes them float32,")
        _total(losses).backward()  # type: ignore[no-untyped-call]
        rows = _embed(network.eval(), batch)
    _require(rows.dtype == torch.float32, f"embed gave {_kind(rows)} under bf16 autocast; end it with .float()")


def learns_four_people_by_heart(method: Small) -> None:
    """40 steps on four drawn people: their images of both modalities find each other, Rank-1 100 % both ways."""
    network, batch = method.build(), drawn_batch()
    optimizer = torch.optim.AdamW(
        [{"params": group["params"], "lr": 1e-3 * group["lr_scale"]} for group in network.parameter_groups()]
    )
    sums: list[float] = []
    found = 0.0
    for step in range(40):
        optimizer.zero_grad()
        total = _total(network(drawn_batch(seed=step)))
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        sums.append(total.item())
        if step % 10 == 9:
            found = _cross_modality_rank1(network, batch)
            if found == 1.0:
                return
    raise CheckFailed(
        f"Rank-1 is {found:.0%} after 40 steps of AdamW at 0.001, and the sum of the losses went from {sums[0]:.3g} to "
        f"{sums[-1]:.3g}; look for a detach() too many, a loss of the wrong sign, or a factor that drowns the others"
    )


CHECKS: tuple[Check, ...] = (
    config_refuses_what_it_does_not_know,
    losses_are_finite_scalars,
    gradients_reach_every_parameter,
    groups_hold_every_parameter_once,
    same_seed_gives_same_losses,
    order_of_the_batch_does_not_matter,
    batch_of_one_modality_trains,
    embeddings_have_length_one,
    embedding_depends_on_its_image_only,
    saved_weights_give_the_same_embeddings,
    trains_in_bf16,
    learns_four_people_by_heart,
)


def outcomes(method: Small) -> Iterator[Outcome]:
    """Run all checks in turn; an error in the method's own code is a fault too, told with its file and line."""
    for check in CHECKS:
        what = (check.__doc__ or "").strip().splitlines()[0].rstrip(".")
        try:
            check(method)
        except (CheckFailed, InputError) as fault:
            yield Outcome(what, str(fault))
        except Exception as error:  # somebody's own code
            yield Outcome(what, _told(error, method.module))
        else:
            yield Outcome(what, "")


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise CheckFailed(fault)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A Config and the models among the types of its options, however deep."""
    yield model
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _models(kind)


def _require_losses(losses: Any, when: str) -> None:
    _require(
        isinstance(losses, dict) and bool(losses),
        f"forward gave {type(losses).__name__} {when}; return a dict of named losses, one at least",
    )
    for name, loss in losses.items():
        _require(
            isinstance(loss, Tensor) and loss.shape == () and loss.dtype == torch.float32,
            f"loss '{name}' is {_kind(loss)} {when}; return a float32 scalar, for example loss.float().mean()",
        )
        _require(
            bool(loss.isfinite()),
            f"loss '{name}' is {loss.item()} {when}; look for a mean of nothing, a division by 0 or a logarithm of 0",
        )


def _require_finite_gradients(network: Method) -> None:
    wrong = [n for n, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    _require(
        not wrong,
        f"the gradient of {_some(wrong)} is not finite though the losses are; look for a root or a norm at 0",
    )


def _total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def _take(batch: Batch, rows: Tensor) -> Batch:
    return Batch(*(None if values is None else values[rows] for values in batch))  # type: ignore[arg-type]


def _embed(network: Method, batch: Batch) -> Tensor:
    with torch.no_grad():
        return network.embed(batch.images, batch.modalities)


def _cross_modality_rank1(network: Method, batch: Batch) -> float:
    embeddings = _embed(network.eval(), batch)
    network.train()
    half = len(embeddings) // 2
    similarity = embeddings[:half] @ embeddings[half:].T
    right = [batch.pids[similarity.argmax(dim)] == batch.pids[:half] for dim in (0, 1)]
    return torch.cat(right).float().mean().item()


def _some(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _told(error: Exception, module: ModuleType) -> str:
    """An exception in one line, with the place in the method's file that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == module.__file__]
    place = f" ({module.__file__}, line {own[-1]})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
