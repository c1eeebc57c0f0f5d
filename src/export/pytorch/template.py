"""TITLE"""

import argparse
import ast
import hashlib
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).resolve().parent


class ProductTable:
    """The products AxM(w, x) of all pairs of operands, by their bit patterns.

    A signed multiplier takes two's complement (of 8 bits the pattern 255 is -1), an unsigned one
    takes the patterns as they are.
    """

    def __init__(self, name, signed=False):
        self.products = read_npy(HERE / "tables" / f"{name}.npy").long()
        weights, activations = self.products.shape
        self.weights = operands(weights, signed)
        self.activations = operands(activations, signed)


def operands(count, signed):
    """The integers that the patterns 0 ... count - 1 stand for."""
    patterns = torch.arange(count)
    return torch.where(patterns < count // 2, patterns, patterns - count) if signed else patterns


def read_npy(path):
    """A matrix of little-endian int32 in NumPy's file format."""
    data = path.read_bytes()
    start = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:start].decode("latin1"))
    assert header["descr"] == "<i4" and not header["fortran_order"], path
    return torch.frombuffer(bytearray(data[start:]), dtype=torch.int32).reshape(header["shape"])


class AxMConv2d(nn.Module):
    """A convolution of integers, each product looked up in the table of a multiplier.

    The input is rounded to codes, which are operands of the multiplier. An output is its scale times

        sum of  AxM(w, x) - w_zero * x - x_zero * (w - w_zero)  over the taps inside the image

    With exact products that is the sum of (w - w_zero) * (x - x_zero). A tap outside the image adds
    nothing: an approximate product of a code for 0 would.

    own_zero: the pattern of a weight; what the multiplier does wrong with it is taken off each product.
    """

    def __init__(self, multiplier, inputs, outputs, kernel_size, stride=1, padding=0, dilation=1, groups=1,
                 bias=False, own_zero=None):
        super().__init__()
        self.multiplier = multiplier
        self.own_zero = own_zero
        self.kernel_size, self.stride = pair(kernel_size), pair(stride)
        self.padding, self.dilation, self.groups = pair(padding), pair(dilation), groups
        # Bit patterns of the weights, as hardware stores them.
        shape = (outputs, inputs // groups, *self.kernel_size)
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.uint8))
        # A zero point of weights may lie between two codes.
        self.register_buffer("weight_scale", torch.ones(outputs))
        self.register_buffer("weight_zero", torch.zeros(outputs))
        self.register_buffer("input_scale", torch.ones(()))
        self.register_buffer("input_zero", torch.zeros(()))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self, x):
        sums = self.sums(self.quantise(x))
        scale = self.input_scale.double() * self.weight_scale.double() / self.step()
        y = (sums.double() * scale.view(-1, 1, 1)).float()
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)

    def quantise(self, x):
        """Codes of a float32 tensor, of the same shape."""
        codes = torch.round(x / self.input_scale) + self.input_zero
        low, high = self.multiplier.activations.min().item(), self.multiplier.activations.max().item()
        return codes.clamp(low, high).long()

    def sums(self, codes):
        """Integer sums [N, outputs, H', W'] of codes [N, inputs, H, W]; in halves where step() is 2."""
        outside = len(self.multiplier.activations)  # the pattern of no operand, for taps outside the image
        outputs, taps = len(self.weight), self.weight[0].numel()
        down, across = self.padding
        patterns = F.pad(codes % outside, (across, across, down, down), value=outside)
        # unfold takes no integers; float32 holds these exactly.
        columns = F.unfold(patterns.float(), self.kernel_size, self.dilation, 0, self.stride).long()
        columns = columns.view(len(codes), self.groups, taps, -1).permute(2, 0, 3, 1)
        columns = columns + torch.arange(self.groups) * (outside + 1)
        # Some taps at once: as many as a few megabytes hold.
        some = max(1, 2**19 // (outputs * max(outside, columns[0].numel() // self.groups)))
        total = 0
        for first in range(0, taps, some):
            rows = self.rows(first, min(first + some, taps))
            index = columns[first : first + some] + torch.arange(len(rows)).view(-1, 1, 1, 1) * rows.shape[1]
            added = rows.flatten(0, 1).index_select(0, index.flatten())
            total = total + added.view(len(rows), -1, rows.shape[2]).sum(0)
        height, width = (
            (size - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation
            in zip(patterns.shape[2:], self.kernel_size, self.stride, self.dilation)
        )
        return total.view(len(codes), height, width, outputs).permute(0, 3, 1, 2)

    def rows(self, first, end):
        """What taps add to each output of their group, by the pattern of x.

        Shape [taps, groups * (patterns + 1), outputs per group]; the last pattern is that of no operand.
        """
        step, x_zero, x = self.step(), int(self.input_zero), self.multiplier.activations
        patterns = self.weight.flatten(1)[:, first:end].long().t().reshape(end - first, self.groups, -1, 1)
        w = step * self.multiplier.weights[patterns]
        w_zero = (step * self.weight_zero).long().view(self.groups, -1, 1)
        rows = step * self.multiplier.products[patterns.squeeze(-1)] - w_zero * x - x_zero * (w - w_zero)
        if self.own_zero is not None:
            zero = self.multiplier.weights[self.own_zero]
            rows = rows - step * (self.multiplier.products[self.own_zero] - zero * x)
        return F.pad(rows, (0, 1)).transpose(2, 3).flatten(1, 2)

    def step(self):
        """2 where weights have their zero between two codes."""
        return 1 if torch.equal(self.weight_zero, self.weight_zero.floor()) else 2


class AxMLinear(AxMConv2d):
    """A linear layer over the last axis: a convolution of 1x1."""

    def __init__(self, multiplier, inputs, outputs, bias=True, own_zero=None):
        super().__init__(multiplier, inputs, outputs, 1, bias=bias, own_zero=own_zero)

    def forward(self, x):
        y = super().forward(x.reshape(-1, x.shape[-1], 1, 1))
        return y.reshape(*x.shape[:-1], -1)


def pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


class BatchNorm(nn.Module):
    """Batch normalisation with stored statistics, in the order of rounding that gives equal codes."""

    def __init__(self, channels, eps=1e-5, axis=1):
        super().__init__()
        self.eps, self.axis = torch.tensor(eps), axis
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        inverse = 1 / torch.sqrt(self.running_var.double() + self.eps.double())
        factor = (self.weight.double() * inverse).float()
        shape = [1] * x.dim()
        shape[self.axis] = -1
        return (x - self.running_mean.view(shape)) * factor.view(shape) + self.bias.view(shape)


# NETWORK


def load():
    network = Network()
    network.load_state_dict(torch.load(HERE / "weights.pth", weights_only=True))
    return network.eval()


def batches(count, size=20):
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def multiplying(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, AxMConv2d)}


class Comparison:
    """A layer beside what the program computed: its codes are compared, and the program's go on.

    So a code that is rounded to the other side changes nothing behind it, and each layer is compared
    by itself.
    """

    def __init__(self, name, layer, codes, sums):
        self.name, self.layer = name, layer
        self.codes, self.sums = codes, sums
        self.ties, self.problem = torch.zeros(len(codes)), None
        self.own_quantise, self.own_sums = layer.quantise, layer.sums
        layer.quantise, layer.sums = self.quantise, self.compare_sums

    def quantise(self, x):
        own = self.own_quantise(x)
        codes = self.layer.multiplier.activations[self.codes.long()].view(own.shape)
        differ = own != codes
        # A tie: the quotient lies on the boundary of the two codes, and float32 rounded it to one side.
        quotient = (x / self.layer.input_scale + self.layer.input_zero).double()
        tie = differ & ((own - codes).abs() == 1) & ((quotient - (own + codes) / 2).abs() < 1e-3)
        self.ties += tie.reshape(len(self.codes), -1).sum(1)
        self.note("code", own, codes, differ & ~tie)
        return codes

    def compare_sums(self, codes):
        own = self.own_sums(codes)
        sums = self.sums.long().view(own.shape)
        self.note("sum", own, sums, own != sums)
        return own

    def note(self, what, own, expected, differ):
        if self.problem is None and differ.any():
            at = tuple(int(one) for one in differ.nonzero()[0])
            count = f"{int(differ.sum())} of {differ.numel()} {what}s differ"
            self.problem = f"{self.name}: {count}, first at {at}: {own[at]} here, {expected[at]} expected"

    def end(self):
        self.layer.quantise, self.layer.sums = self.own_quantise, self.own_sums


def check(network, golden):
    """Compares layer by layer, then the logits of all images; 0 where all is equal, else 1."""
    followed, limit = golden["followed"].numel(), 1e-5 * max(1.0, golden["logits"].abs().max().item())
    comparisons = [
        Comparison(name, layer, golden["codes"][name], golden["sums"][name])
        for name, layer in multiplying(network).items()
    ]
    alone = network(golden["images"][:followed])
    for comparison in comparisons:
        comparison.end()
    problem = next((one.problem for one in comparisons if one.problem), None)
    if problem is not None:
        print(f"not equal: {problem} (image, channel, row, column)")
        return 1
    ties = sum((one.ties for one in comparisons), torch.zeros(followed))
    codes = sum(one.codes.numel() for one in comparisons)
    sums = sum(one.sums.numel() for one in comparisons)
    print(f"{len(comparisons)} layers, {followed} images: {codes:,} codes and {sums:,} sums equal", end="")
    print(f" but for {int(ties.sum())} codes on a tie of float32" if ties.any() else "")
    if not (alone - golden["logits"][:followed]).abs().max().item() <= limit:
        print("not equal: logits of the program's own codes")
        return 1
    return check_whole(network, golden, limit, ties)


def check_whole(network, golden, limit, ties):
    logits = classify(network, golden["images"])
    far = (logits - golden["logits"]).abs().amax(1)
    different = [image for image, one in enumerate(far.tolist()) if not one <= limit]
    same = int((logits.argmax(1) == golden["logits"].argmax(1)).sum())
    equal = len(logits) - len(different)
    print(f"{len(logits)} images from pixels to logits: {equal} equal, {same} of the same class,", end=" ")
    print(f"largest difference {far.max().item():.1e}, limit {limit:.1e}")
    # A code on a tie changes what follows. Of images that were not followed nobody knows their ties.
    for image in different:
        if ties[image] == 0 if image < len(ties) else EXACT:
            print(f"not equal: image {image}, without a code on a tie")
            return 1
    changed = changed_files()
    if changed:
        print(f"not equal: {changed[0]} is not the file that was exported, though no image shows it")
        return 1
    print(f"equal but for ties, the first in image {different[0]}" if different else "equal")
    return 0


def changed_files():
    """Tables, weights and stored results that are no longer as they were exported, by export.json."""
    record = HERE / "export.json"
    if not record.exists():
        print("without export.json: entries of tables that no image needs are not compared")
        return []
    files = json.loads(record.read_text())["files"]
    return [name for name in files if name != "network.py" and digest(HERE / name) != files[name]]


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def classify(network, images):
    return torch.cat([network(images[part]) for part in batches(len(images))])


def accuracy(network, golden):
    labels = golden["labels"].long()
    right = (classify(network, golden["images"]).argmax(1) == labels).sum().item()
    expected = (golden["logits"].argmax(1) == labels).sum().item()
    print(f"{right} of {len(labels)} test images are classified right; in the program {expected}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", action="store_true", help="classify the stored test images")
    arguments = parser.parse_args()
    golden = torch.load(HERE / "golden.pth", weights_only=True)
    with torch.no_grad():
        return (accuracy if arguments.accuracy else check)(load(), golden)


if __name__ == "__main__":
    sys.exit(main())
