import numpy as np
import torch

from automl.fused.tensors import device_rng, rng


def made(size, keys, limits, scales):
    """`[K, *size]` for keys `[2, K]`, as `lanes.Masks` asks for them."""
    flip, times = keys.unsqueeze(2)
    words = rng.table(torch.Size(size), torch.device("cpu")).unsqueeze(0)
    out = torch.empty(keys.shape[1], words.shape[1], dtype=torch.int32)
    return rng.keep_mask(words, flip, times, limits.view(-1, 1), scales.view(-1, 1), out).view(-1, *size)


def mask(seed, step, layer, shape, p=0.3):
    limits, scales = rng.thresholds(np.full(1, p))
    keys = rng.step_keys([seed], [step], 1, [layer])[0, 0]
    return made(shape, keys, limits, scales)[0]


def test_keep_rate_and_scale_are_those_asked_for():
    for p in (0.05, 0.3, 0.9):
        m = mask(5, 9, "drop", (400, 500), p)
        kept = (m > 0).double().mean().item()
        assert abs(kept - (1 - p)) < 4 * (p * (1 - p) / m.numel()) ** 0.5
        assert torch.allclose(m[m > 0], torch.tensor(1 / (1 - p)))


def test_zero_drops_nothing_and_one_drops_everything():
    assert (mask(1, 1, "a", (64, 64), 0.0) == 1).all()
    assert (mask(1, 1, "a", (64, 64), 1.0) == 0).all()


def test_masks_of_lanes_steps_and_layers_are_unrelated():
    base = mask(0, 0, "a", (256, 256)) > 0
    others = [mask(1, 0, "a", (256, 256)), mask(0, 1, "a", (256, 256)), mask(0, 0, "b", (256, 256))]
    for other in others:
        correlation = np.corrcoef(base.flatten().numpy(), (other > 0).flatten().numpy())[0, 1]
        assert abs(correlation) < 5 / 256
    neighbours = np.corrcoef(base[:, 1:].flatten().numpy(), base[:, :-1].flatten().numpy())[0, 1]
    assert abs(neighbours) < 5 / 256


def test_elements_agree_over_many_steps_as_often_as_chance():
    limits, scales = rng.thresholds(np.full(4000, 0.5))
    keys = rng.step_keys([7], [0], 4000, ["a"])[:, 0, :, 0].T.contiguous()
    kept = made((8, 16), keys, limits, scales) > 0
    signs = kept.flatten(1).double() * 2 - 1
    assert signs.mean(0).abs().max() < 4.5 / 4000**0.5
    pairs = (signs.T @ signs / 4000 - torch.eye(128)).abs()
    assert pairs.max() < 5 / 4000**0.5  # 8128 pairs
    assert pairs.square().mean().sqrt() < 1.05 / 4000**0.5
    triples = (signs[:, :-2] * signs[:, 1:-1] * signs[:, 2:]).mean(0).abs().max()
    assert triples < 4.5 / 4000**0.5
    counts = kept.flatten(1).sum(1).double()
    assert abs(counts.var().item() / 32 - 1) < 0.12  # binomial: n p (1 - p) = 32


def test_a_lane_draws_the_same_mask_in_any_slot_and_beside_any_companions():
    limits, scales = rng.thresholds(np.array([0.1, 0.5, 0.3]))
    keys = rng.step_keys([8, 9, 5], [3, 4, 9], 2, ["x", "drop"])[0, 1]
    together = made((10, 20), keys, limits, scales)
    assert torch.equal(together[2], mask(5, 9, "drop", (10, 20)))


def test_a_wider_padded_tensor_has_the_narrow_mask_in_its_corner():
    assert torch.equal(mask(3, 7, "a", (8, 64))[:, :24], mask(3, 7, "a", (8, 24)))


def test_permutations_are_permutations_of_their_own_lane_and_epoch():
    orders = rng.permutations([1, 2, 1], [0, 0, 1], 1000, "cpu")
    assert torch.equal(orders.sort(1).values, torch.arange(1000).expand(3, -1))
    assert torch.equal(orders[1], rng.permutations([2], [0], 1000, "cpu")[0])
    assert (orders[0] == orders[1]).float().mean() < 0.01
    assert (orders[0] == orders[2]).float().mean() < 0.01


def test_first_positions_of_many_orders_are_uniform():
    first = rng.permutations(list(range(20000)), [0] * 20000, 10, "cpu")[:, 0]
    counts = torch.bincount(first, minlength=10).double()
    assert ((counts - 2000) ** 2 / 2000).sum() < 30  # chi-square, 9 degrees of freedom: P < 5e-4


def test_a_device_makes_the_same_keys_orders_and_words_itself():
    """In int64, as torch has no uint64 arithmetic everywhere."""
    seeds, first, layers = [0, 1, 2**63 - 1, 2**64 - 1, 12345678901234567], [0, 5, 10**6, 3, 0], ["a", "drop"]
    cpu = torch.device("cpu")
    ours = device_rng.step_keys(rng._streams(seeds, layers), first, 7, cpu)
    assert torch.equal(ours, rng.step_keys(seeds, first, 7, layers))
    for samples in (1, 2, 3, 1437, 65537):
        ours = device_rng.permutations(rng._order_keys(seeds, [0, 1, 2, 3, 4]), samples, cpu)
        assert torch.equal(ours, rng.permutations(seeds, [0, 1, 2, 3, 4], samples, cpu))
    assert torch.equal(device_rng.table(5, 77, cpu), rng._table(5, 77, "cpu"))
