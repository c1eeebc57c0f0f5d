"""Products of matrices of ApproxTorch and of the published program, on the layers that bench/peers/layers.mjs wrote.

Both unfold an image to a matrix before their kernel; that is left out of the times here and part of their steps. Validates first: on every layer, the
unsymmetric small one included, the outputs are this program's to the rounding of their sums, and the gradients those of the exact product.
Usage: python3 bench/peers/layers.py --file layers.safetensors [--approxtorch BUILT] [--published BUILT] [--device cuda]
"""

import argparse
import sys

import torch
from measure import read_tensors, relative, report, require, time_steps
from torch.nn import functional

# Sums above 2^24 in float32, and gradients of operands rounded to tf32's 11 bits.
FORWARD, GRADIENT = 1e-5, 3e-3


def unfolded(x):
    """Codes [N, H, W, C] as windows [N, C·9, H·W]."""
    return functional.unfold(x.float().permute(0, 3, 1, 2), 3, padding=1)


class Layer:
    """One layer's operands by PyTorch's layout, and what this program made of them."""

    def __init__(self, tensors, at):
        self.__dict__.update({name: tensors[f"{at}.{name}"] for name in ("x", "w", "g", "y", "dx", "dw", "products")})
        self.n, self.height, self.width, self.channels = self.x.shape
        self.columns = unfolded(self.x)
        self.rows = self.w.permute(3, 2, 0, 1).reshape(self.channels, -1).float().contiguous()
        self.gradient = self.g.permute(0, 3, 1, 2).reshape(self.n, self.channels, -1).contiguous()

    def check(self, program, y, columns_gradient, rows_gradient):
        """y: [N, O, L]; gradients of the windows and of the rows."""
        size = (self.height, self.width)
        dx = functional.fold(columns_gradient, size, 3, padding=1).permute(0, 2, 3, 1)
        dw = rows_gradient.reshape(self.channels, self.channels, 3, 3).permute(2, 3, 1, 0)
        found = {"y": y.reshape(self.n, self.channels, *size).permute(0, 2, 3, 1), "dx": dx, "dw": dw}
        for name, value in found.items():
            error = relative(value, getattr(self, name))
            limit = FORWARD if name == "y" else GRADIENT
            require(error <= limit, f"{program}: {name} of {tuple(self.x.shape)} differs by {error:.1e}")


def approxtorch_of(folder):
    sys.path.insert(0, folder)
    import approxtorch

    products = approxtorch.nn.bgemm_uint8

    def use(layer):
        columns, rows = layer.columns.requires_grad_(), layer.rows.requires_grad_()
        table = layer.products.t().reshape(-1).float().contiguous()
        codes = columns.detach().to(torch.uint8)

        def forward():
            with torch.no_grad():
                return products.bgemm_uint8(codes, rows, table)

        y = products.bgemm_uint8_ste(columns, rows, table)

        def backward():
            return torch.autograd.grad(y, (columns, rows), layer.gradient, retain_graph=True)

        require(torch.equal(y.detach(), forward()), "ApproxTorch: another result from codes as bytes")
        return forward, backward, y.detach(), backward()

    return use


def published_of(folder):
    sys.path.insert(0, folder)
    from self_ops.ops_py import approx_ops as operations

    def use(layer):
        matrix = layer.columns.detach().transpose(1, 2).reshape(-1, layer.rows.shape[1]).requires_grad_()
        weights = layer.rows.detach().t().contiguous().requires_grad_()
        gradient = layer.gradient.transpose(1, 2).reshape(-1, layer.channels).contiguous()
        padded = torch.zeros(257, 258, dtype=torch.int32, device=layer.x.device)
        padded[:256, :256] = layer.products.t()
        operations.lut_appmult = padded.flatten().cpu().to(torch.uint16).to(layer.x.device)
        a, b = matrix.detach().to(torch.uint8), weights.detach().to(torch.uint8)
        c = torch.zeros(len(a), layer.channels, device=a.device).to(torch.uint32)

        def forward():
            operations.approx_ops.approx_gemm_forward(a, b, c, operations.lut_appmult)
            return c

        y = operations.approx_gemm_baseline_op(matrix, weights)

        def backward():
            return torch.autograd.grad(y, (matrix, weights), gradient, retain_graph=True)

        shape = (layer.n, -1, layer.channels)
        dx, dw = backward()
        dx = dx.reshape(layer.n, -1, matrix.shape[1]).transpose(1, 2)
        return forward, backward, y.detach().reshape(shape).transpose(1, 2), (dx, dw.t())

    return use


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", required=True)
    parser.add_argument("--approxtorch")
    parser.add_argument("--published")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    tensors = read_tensors(options.file, device)
    count = 1 + max(int(name.split(".")[0]) for name in tensors)
    programs = {}
    if options.approxtorch:
        programs["ApproxTorch"] = approxtorch_of(options.approxtorch)
    if options.published:
        programs["published program"] = published_of(options.published)
    # Without either: this program's results against PyTorch's convolution of exact products and the table's errors.
    programs = programs or {"PyTorch": plain}
    for at in range(count):
        for program, use in programs.items():
            layer = Layer(tensors, at)
            forward, backward, y, gradients = use(layer)
            layer.check(program, y, *gradients)
            if at > 0:
                times = [time_steps(step, device, options.repeats)["ms"] for step in (forward, backward)]
                report(layer=at, program=program, forward=times[0], gradients=times[1])


def plain(layer):
    """Products looked up one by one, and the gradients of the exact product."""

    def forward():
        columns, rows = layer.columns.detach().long(), layer.rows.detach().long()
        return torch.stack([layer.products[row[None, :, None], columns].sum(1) for row in rows], 1).float()

    def backward():
        return torch.einsum("nol,ok->nkl", layer.gradient, layer.rows), torch.einsum("nol,nkl->ok", layer.gradient, layer.columns)

    return forward, backward, forward(), backward()


if __name__ == "__main__":
    main()
