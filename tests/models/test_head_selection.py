"""Dynamic attention selection: gates, running means and the class token's way through a block."""

import pytest
import timm
import torch
from torch.nn import functional as F

from vireid.errors import InputError
from vireid.models.head_selection import HeadGate, HeadSelection

HEADS, WIDTH = 4, 64


def random(*shape, seed=1, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


def block():
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_heads=HEADS).blocks[-1].eval()


def selection(keep=2, roles=("shared", "specific"), **options):
    torch.manual_seed(0)
    return HeadSelection(HEADS, WIDTH, roles=roles, keep=keep, **options)


def gate_scoring(*numbers, keep, **options):
    """A gate for heads of one dimension whose scorer is 1: outputs are scores before the softmax."""
    gate = HeadGate(len(numbers), 1, keep=keep, **options)
    with torch.no_grad():
        gate.scorer.fill_(1.0)
    return gate, torch.tensor(numbers).log()[None, :, None]


# Gates


def test_gates_by_hand():
    gate, outputs = gate_scoring(0.5, 0.1, 0.3, 0.1, keep=2)
    # Softmax of the logarithms: 0.5, 0.1, 0.3, 0.1. The best two share the sum 4 as 5 : 3.
    torch.testing.assert_close(gate(outputs), torch.tensor([[2.5, 0.0, 1.5, 0.0]]))


def test_gates_sum_to_the_number_of_heads_over_those_selected_and_are_0_elsewhere():
    gate = HeadGate(12, 8, keep=5)
    gates = gate(random(6, 12, 8))
    best = gate.mean.topk(5).indices
    torch.testing.assert_close(gates.sum(1), torch.full((6,), 12.0))
    assert (gates[:, best] > 0).all()
    assert (gates > 0).sum() == 6 * 5


def test_every_head_is_kept_until_training_began():
    gate = HeadGate(6, 8, keep=2).eval()
    outputs = random(3, 6, 8)
    gates = gate(outputs)
    assert (gates > 0).all()
    torch.testing.assert_close(gates, 6 * (outputs @ gate.scorer).softmax(1))


def test_the_first_batch_sets_the_mean_and_later_ones_move_it_by_a_tenth():
    gate, first = gate_scoring(0.5, 0.1, 0.3, 0.1, keep=2)
    gate(first)
    torch.testing.assert_close(gate.mean, torch.tensor([0.5, 0.1, 0.3, 0.1]))
    second = torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.1, 0.5, 0.1, 0.3]]).log()[:, :, None]
    gates = gate(second)
    torch.testing.assert_close(gate.mean, torch.tensor([0.46, 0.15, 0.28, 0.11]))
    assert gate.batches == 2
    # The ranking is that of the mean, not of this batch.
    assert (gates > 0).tolist() == [[True, False, True, False]] * 2


def test_the_mean_rests_in_evaluation_and_is_saved():
    gate = HeadGate(6, 8, keep=2)
    gate(random(3, 6, 8))
    saved = {name: value.clone() for name, value in gate.state_dict().items()}
    assert set(saved) == {"mean", "batches", "scorer"}
    gates = gate.eval()(random(3, 6, 8, seed=2))
    assert all(torch.equal(value, saved[name]) for name, value in gate.state_dict().items())
    other = HeadGate(6, 8, keep=2).eval()
    other.load_state_dict(saved)
    assert torch.equal(other(random(3, 6, 8, seed=2)), gates)


def test_per_sample_ranks_by_each_images_own_scores():
    gate, outputs = gate_scoring(0.6, 0.2, 0.2, keep=1, per_sample=True)
    both = torch.cat([outputs, outputs.flip(1)])
    torch.testing.assert_close(gate(both), torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 3.0]]))


def test_the_scorer_gets_a_gradient_and_masked_heads_get_none():
    gate = HeadGate(6, 8, keep=3)
    outputs = random(4, 6, 8).requires_grad_()
    seen = gate(outputs)[:, :, None] * outputs
    (seen * random(4, 6, 8, seed=2)).sum().backward()
    kept = torch.zeros(6, dtype=torch.bool).index_fill(0, gate.mean.topk(3).indices, True)
    assert (outputs.grad[:, ~kept] == 0).all()
    assert (outputs.grad[:, kept] != 0).any(2).all()
    assert gate.scorer.grad.abs().sum() > 0


# The way through a block


def slow_reference(layer, tokens, row, gates):
    """Block by block and head by head, for one image; `tokens (N, D)`, `row (D,)`, `gates (H,)`."""
    normed = layer.norm1(torch.cat([row[None], tokens[1:]]))
    query, key, value = layer.attn.qkv(normed).chunk(3, 1)
    size = WIDTH // HEADS
    heads = []
    for h in range(HEADS):
        part = slice(h * size, (h + 1) * size)
        shares = (key[:, part] @ query[0, part] / size**0.5).softmax(0)
        heads.append(gates[h] * (shares @ value[:, part]))
    row = row + layer.attn.proj(torch.cat(heads))
    return row + layer.mlp(layer.norm2(row))


@pytest.mark.parametrize("other_row", [False, True])
def test_the_gated_class_token_equals_a_slow_reference(other_row):
    layer, select = block(), selection()
    tokens = random(3, 7, WIDTH)
    row = random(3, WIDTH, seed=2) if other_row else tokens[:, 0]
    gates = []
    select.gates["shared"].register_forward_hook(lambda module, args, output: gates.append(output))
    with torch.no_grad():
        plain, rows = select(layer, tokens, {"shared": row})
        expected = [slow_reference(layer, *image) for image in zip(tokens, row, gates[0], strict=True)]
        torch.testing.assert_close(plain, layer(tokens))
    torch.testing.assert_close(rows["shared"], torch.stack(expected))


def test_all_heads_with_equal_scores_give_the_plain_block():
    layer, select = block(), selection(keep=HEADS)
    for gate in select.gates.values():
        torch.nn.init.zeros_(gate.scorer)
    tokens = random(3, 7, WIDTH)
    with torch.no_grad():
        plain, rows = select(layer, tokens, {"shared": tokens[:, 0], "specific": tokens[:, 0]})
    for row in rows.values():
        torch.testing.assert_close(row, plain[:, 0], rtol=0, atol=1e-6)


def test_each_role_has_its_own_scores_and_only_the_wanted_one_moves():
    layer, select = block(), selection()
    tokens = random(3, 7, WIDTH)
    _, rows = select(layer, tokens, {"specific": tokens[:, 0]})
    assert list(rows) == ["specific"]
    assert (select.gate("specific").batches, select.gate("shared").batches) == (1, 0)


def test_gradients_reach_the_scorers_and_the_blocks_own_weights():
    layer, select = block().train(), selection()
    tokens = random(3, 7, WIDTH)
    _, rows = select(layer, tokens, {"shared": tokens[:, 0]})
    (rows["shared"] * random(3, WIDTH, seed=2)).sum().backward()
    assert select.gates["shared"].scorer.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


def test_bf16_scores_in_full_precision():
    layer, select = block(), selection()
    tokens = random(3, 7, WIDTH)
    dtypes = []
    select.gates["shared"].register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, rows = select(layer, tokens, {"shared": tokens[:, 0]})
    assert dtypes == [torch.float32]
    assert rows["shared"].isfinite().all()


def test_parameters_are_one_vector_per_role():
    assert sum(p.numel() for p in HeadSelection(12, 768, roles=("shared", "specific")).parameters()) == 2 * 64


def test_half_of_the_heads_by_default_and_never_more_than_there_are():
    assert [HeadSelection(h, 8 * h, roles=("shared",)).gates["shared"].keep for h in (1, 2, 3, 12)] == [1, 1, 1, 6]
    with pytest.raises(InputError, match=r"method\.dasm\.k is 6, but the backbone has 4 heads"):
        selection(keep=6)


def test_a_block_of_timm_has_nothing_else():
    """No gate or norm between the heads and their projection, and the usual scale."""
    layer = block()
    assert layer.attn.gate is None and isinstance(layer.attn.norm, torch.nn.Identity)
    query = random(1, HEADS, 3, WIDTH // HEADS)
    scores = query @ query.transpose(2, 3) * layer.attn.scale
    torch.testing.assert_close(F.scaled_dot_product_attention(query, query, query), scores.softmax(3) @ query)
