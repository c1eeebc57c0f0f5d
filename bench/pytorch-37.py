"""The published formulation of one layer's phase-1 step in PyTorch, for a side-by-side with bench/layer-step.mjs.

1 + P(P+1)/2 float convolutions of bit planes forward (37 for P = 8), the ordinary backward pass of the exact product, and the inner
products for theta. As in layer-step.mjs the bit planes are given as floats, so their extraction costs nothing here. Validates first.
Usage: python3 bench/pytorch-37.py [--threads 2] [--batch 32] [--size 32] [--channels 64] [--columns 8] [--repeats 5]
"""

import argparse
import statistics
import time

import torch
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight


def planes(codes, count):
    return [((codes >> bit) & 1).float() for bit in range(count)]


def forward(x, w, x_planes, w_planes, theta):
    """Output and, per column, the sum of its partial products' convolutions."""
    y = conv2d(x, w, padding=1)
    sums = []
    for column, share in enumerate(theta):
        total = None
        for i in range(column + 1):
            product = conv2d(x_planes[column - i], w_planes[i], padding=1)
            total = product if total is None else total.add_(product)
        y.sub_(total, alpha=float(share) * 2**column)
        sums.append(total)
    return y, sums


def backward(x, w, g, sums):
    dx = conv2d_input(x.shape, w, g, padding=1)
    dw = conv2d_weight(x, w.shape, g, padding=1)
    dtheta = [-(2**column) * torch.dot(g.flatten(), total.flatten()) for column, total in enumerate(sums)]
    return dx, dw, dtheta


def operands(batch, size, channels, columns, generator):
    x = torch.randint(0, 256, (batch, channels, size, size), generator=generator)
    w = torch.randint(0, 256, (channels, channels, 3, 3), generator=generator)
    theta = torch.rand(columns, generator=generator)
    g = torch.rand((batch, channels, size, size), generator=generator) - 0.5
    return x, w, theta, g


def validate(columns, generator):
    """Against the product table of the trained multiplier, product by product."""
    x, w, theta, _ = operands(1, 4, 3, columns, generator)
    table = torch.arange(256.0)[:, None] * torch.arange(256.0)[None, :]
    for i in range(8):
        for j in range(8):
            if i + j < columns:
                bits = ((torch.arange(256) >> i) & 1)[:, None] * ((torch.arange(256) >> j) & 1)[None, :]
                table -= theta[i + j] * 2 ** (i + j) * bits
    # Padding contributes nothing, which code 0 of x does too.
    patches = torch.nn.functional.unfold(x.float(), 3, padding=1).long()
    expected = torch.stack([table[w[o].reshape(-1, 1), patches[0]].sum(0) for o in range(3)])
    y, _ = forward(x.float(), w.float(), planes(x, columns), planes(w, columns), theta)
    error = (y[0].reshape(3, -1) - expected).norm() / expected.norm()
    if not error < 1e-6:
        raise SystemExit(f"validation failed: relative error {error:.1e}")
    print(f"validated product by product: relative error {error:.1e}")


def main():
    parser = argparse.ArgumentParser()
    for name, default in [("threads", 2), ("batch", 32), ("size", 32), ("channels", 64), ("columns", 8), ("repeats", 5)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    generator = torch.Generator().manual_seed(1)
    validate(options.columns, generator)

    x, w, theta, g = operands(options.batch, options.size, options.channels, options.columns, generator)
    x_planes, w_planes = planes(x, options.columns), planes(w, options.columns)
    x, w = x.float(), w.float()
    times = {"forward": [], "backward": [], "layer step": [], "CPU time of the step": []}
    for repeat in range(options.repeats + 1):
        cpu, start = time.process_time(), time.perf_counter()
        _, sums = forward(x, w, x_planes, w_planes, theta)
        middle = time.perf_counter()
        backward(x, w, g, sums)
        end = time.perf_counter()
        if repeat > 0:
            for name, value in zip(times, (middle - start, end - middle, end - start, time.process_time() - cpu)):
                times[name].append(value)
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {options.repeats} runs: median, best")
    for name, values in times.items():
        print(f"  {name:22}{statistics.median(values) * 1e3:7.0f} ms{min(values) * 1e3:7.0f} ms")


if __name__ == "__main__":
    main()
