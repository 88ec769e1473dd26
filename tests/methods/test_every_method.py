"""What every method must do; a new one is tested as soon as its file exists."""

import pkgutil
from importlib import import_module

import pytest
import torch
from batches import take

from vireid import methods
from vireid.methods.base import Method
from vireid.sample import Batch, Modality

NAMES = [info.name for info in pkgutil.iter_modules(methods.__path__) if info.name != "base"]
TINY = {"weights": "none", "trunk_lr_scale": 1.0, "parts": 2, "dropout": 0.0, "drop_path": 0.0, "progressive_epochs": 2}
EPOCHS = 6
IDENTITIES = 4
HEIGHT, WIDTH = 64, 32


def module_of(name):
    return import_module(f"vireid.methods.{name}")


def tiny(name, seed=0):
    """The method on the smallest backbone it has, untrained."""
    torch.manual_seed(seed)
    module = module_of(name)
    fields = module.Config.model_fields
    options = {"backbone": "test_vit" if fields["backbone"].default.startswith("vit") else "resnet18", **TINY}
    method = module.build(module.Config(**{key: value for key, value in options.items() if key in fields}), IDENTITIES)
    method.start_epoch(EPOCHS - 1, EPOCHS)
    return method


def toy_batch(images=2, seed=0):
    """Each identity is a block pattern; the two modalities paint it in different colours and contrasts."""
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


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def untrained(name):
    """One instance for the tests that leave it as it is."""
    return tiny(name).eval()


def test_module_has_the_two_public_names_and_says_where_it_is_from(name):
    module = module_of(name)
    assert module.Config.model_config["frozen"]
    assert module.Config.model_config["extra"] == "forbid"
    module.Config()
    assert "https://" in module.__doc__
    assert "ublished" in module.__doc__


def test_losses_are_named_finite_scalars_whose_gradients_reach_every_trained_parameter(name):
    """In some epoch of training: a method may go through stages, and rest a part of itself in one of them."""
    method = tiny(name).train()
    assert isinstance(method, Method)
    for epoch in range(EPOCHS):
        assert isinstance(method.start_epoch(epoch, EPOCHS), str)
        losses = method(toy_batch())
        assert losses
        for loss in losses.values():
            assert loss.shape == ()
            assert loss.isfinite()
            assert loss.dtype == torch.float32
        torch.stack(list(losses.values())).sum().backward()
    for parameter_name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), parameter_name


def test_groups_hold_every_trained_parameter_once(untrained):
    groups = untrained.parameter_groups()
    assert all(group["lr_scale"] > 0 for group in groups)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(p) for p in untrained.parameters() if p.requires_grad}


def test_same_seed_gives_the_same_losses(name):
    first, second = (tiny(name).train()(toy_batch()) for _ in range(2))
    assert {key: loss.item() for key, loss in first.items()} == {key: loss.item() for key, loss in second.items()}


def test_losses_do_not_need_the_blocks_in_order(name):
    """Visible and infrared rows shuffled together give the losses of the ordered batch."""
    batch = toy_batch()
    order = torch.randperm(len(batch.pids), generator=torch.Generator().manual_seed(3))
    ordered = tiny(name).train()(batch)
    shuffled = tiny(name).train()(take(batch, order))
    for key, loss in ordered.items():
        assert shuffled[key].item() == pytest.approx(loss.item(), rel=1e-3), key


@pytest.mark.filterwarnings("ignore:the loss is 0")
@pytest.mark.parametrize("modality", list(Modality), ids=lambda modality: modality.name)
def test_a_batch_of_one_modality_trains(name, modality):
    batch = toy_batch()
    kept = batch.modalities == modality
    method = tiny(name).train()
    losses = method(take(batch, kept))
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_embeddings_are_normalised_rows_that_depend_on_their_image_only(untrained):
    batch = toy_batch()
    order = torch.tensor([9, 0, 15, 3])
    with torch.no_grad():
        together = untrained.embed(batch.images, batch.modalities)
        some = untrained.embed(batch.images[order], batch.modalities[order])
        one = untrained.embed(batch.images[9:10], batch.modalities[9:10])
    assert together.dtype == torch.float32
    assert together.shape[0] == len(batch.pids)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(len(together)))
    torch.testing.assert_close(some, together[order], rtol=0, atol=1e-5)
    torch.testing.assert_close(one, together[9:10], rtol=0, atol=1e-5)


@pytest.mark.parametrize("modality", list(Modality), ids=lambda modality: modality.name)
def test_embeds_batches_of_one_modality(untrained, modality):
    batch = toy_batch()
    kept = batch.modalities == modality
    with torch.no_grad():
        alone = untrained.embed(batch.images[kept], batch.modalities[kept])
        mixed = untrained.embed(batch.images, batch.modalities)[kept]
    torch.testing.assert_close(alone, mixed, rtol=0, atol=1e-5)


def test_saved_weights_give_the_same_embeddings(name, tmp_path):
    method, batch = tiny(name, seed=1).train(), toy_batch()
    with torch.no_grad():
        method(batch)  # moves the BatchNorm statistics, which must be saved too
    torch.save(method.state_dict(), tmp_path / "weights.pt")
    other = tiny(name, seed=2)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.no_grad():
        expected = method.eval().embed(batch.images, batch.modalities)
        assert torch.equal(other.eval().embed(batch.images, batch.modalities), expected)


def test_bf16_autocast_in_channels_last(name):
    method = tiny(name).train().to(memory_format=torch.channels_last)
    batch = toy_batch()
    batch = batch._replace(images=batch.images.to(memory_format=torch.channels_last))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method(batch)
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        torch.stack(list(losses.values())).sum().backward()
        with torch.no_grad():
            assert method.eval().embed(batch.images, batch.modalities).dtype == torch.float32


def test_overfits_four_identities(name):
    """Training images of both modalities find each other: 100 % Rank-1 in both directions."""
    method, batch = tiny(name).train(), toy_batch()
    optimizer = torch.optim.AdamW(
        [{"params": group["params"], "lr": 1e-3 * group["lr_scale"]} for group in method.parameter_groups()]
    )
    for step in range(40):
        optimizer.zero_grad()
        torch.stack(list(method(toy_batch(seed=step)).values())).sum().backward()
        optimizer.step()
        if step % 10 == 9 and cross_modality_rank1(method, batch) == 1.0:
            break
    assert cross_modality_rank1(method, batch) == 1.0


def cross_modality_rank1(method, batch):
    with torch.no_grad():
        embeddings = method.eval().embed(batch.images, batch.modalities)
    method.train()
    half = len(embeddings) // 2
    similarity = embeddings[:half] @ embeddings[half:].T
    right = [batch.pids[similarity.argmax(dim)] == batch.pids[:half] for dim in (0, 1)]
    return torch.cat(right).float().mean().item()
