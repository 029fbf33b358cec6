"""Do work and memory of a sparse layer fall with its density? CPU time of a training step, against a dense layer.

OMP_NUM_THREADS=1 python benchmarks/sparse_mlp.py            about a minute
"""

import time

import torch
from torch import nn

from automl.models.sparse_mlp import BlockLinear

CASES = [(1024, 16), (1024, 32), (2048, 32), (4096, 32), (1024, 1)]
DENSITIES = (0.5, 0.25, 0.1, 0.05)
BATCH = 64


def seconds(layers: list[nn.Module], width: int, repeats: int = 5) -> list[float]:
    """Least CPU time of a forward and backward pass of each layer, interleaved."""
    x = torch.randn(BATCH, width, requires_grad=True)
    best = [float("inf")] * len(layers)
    for _ in range(repeats):
        for k, layer in enumerate(layers):
            start = time.process_time()
            layer(x).sum().backward()
            best[k] = min(best[k], time.process_time() - start)
    return best


def main() -> None:
    torch.set_num_threads(1)
    print("| width | block | density | parameters | memory of dense | ms | time of dense |")
    print("|---|---|---|---|---|---|---|")
    for width, block in CASES:
        densities = DENSITIES if block > 1 else (0.05, 0.01)
        layers: list[nn.Module] = [nn.Linear(width, width), *(BlockLinear(width, width, d, block) for d in densities)]
        times = seconds(layers, width)
        dense = sum(p.numel() for p in layers[0].parameters())
        print(f"| {width} | dense | 1 | {dense:,} | 100 % | {times[0] * 1e3:.2f} | 100 % |")
        for density, layer, spent in zip(densities, layers[1:], times[1:], strict=True):
            size = sum(p.numel() for p in layer.parameters())
            shares = f"{size / dense:.0%} | {spent * 1e3:.2f} | {spent / times[0]:.0%}"
            print(f"| {width} | {block} | {density} | {size:,} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
