"""Training steps of bench/peers.mjs in PyTorch: float in several settings, with ApproxTorch's layers, and those of the published program.

Each step is cross-entropy, gradients, SGD with momentum 0.9 and weight decay 5e-4 on the images and from the weights of the files that the leader wrote. A float
step proves itself by the losses of three steps, which must be those of the leader's own float step; a quantised one, whose quantisers are its own, by a first
loss near the float one and by falling.
Usage: python3 bench/peers/training.py float|approxtorch|published --network NAME --folder FILES [--device cuda] [--source BUILT] [--prepare] [--until SECONDS]
"""

import argparse
import json
import logging
import os
import sys
import time

import torch
from measure import graphed, memory, read_tensors, report, require, time_steps, versions
from networks import MODELS, load
from torch.nn import functional

BEGUN = time.monotonic()

# The settings of PyTorch's float steps, what matters most first: precision, compiled, as one CUDA graph.
SETTINGS = [
    ("bf16", True, True),
    ("bf16", False, False),
    ("tf32", False, True),
    ("bf16", False, True),
    ("tf32", True, True),
]
# How far the first loss may be from the leader's (which multiplies in tf32 on a GPU), and its fall over two steps, relative.
TOLERANCE = {"fp32": (1e-4, 0.02), "tf32": (2e-3, 0.1), "bf16": (2e-2, 0.35)}


class Trainer:
    """A network with its optimiser on one batch; `restart` brings it back to the first step, in place, so that graphs stay valid."""

    def __init__(self, network, files, device, channels_last=True):
        self.device = device
        self.weights, self.rate = files["weights"], files["rate"]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(device, memory_format=layout).train()
        self.images = ((files["images"].to(device).float() / 255 - files["mean"]) / files["deviation"]).permute(0, 3, 1, 2)
        self.images = self.images.contiguous(memory_format=layout)
        self.labels = files["labels"].to(device).long()
        more = {"fused": True} if device.type == "cuda" else {}
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(learning, lr=self.rate, momentum=0.9, weight_decay=5e-4, **more)

    def objective(self, images, labels):
        return functional.cross_entropy(self.network(images).float(), labels)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def restart(self):
        with torch.no_grad():
            load(self.network, self.weights)
            for state in self.optimizer.state.values():
                if state.get("momentum_buffer") is not None:
                    state["momentum_buffer"].zero_()


def losses(step, value=None):
    """Of three steps; `value`: the tensor in which a graph leaves the loss."""
    found = []
    for _ in range(3):
        loss = step()
        found.append(float(value if value is not None else loss))
    return found


def check_float(name, found, expected, precision):
    first, fall = TOLERANCE[precision]
    require(abs(found[0] - expected[0]) <= first * expected[0], f"{name}: first loss {found[0]}, expected {expected[0]}")
    gone = expected[0] - expected[2]
    require(gone > 0, f"the losses {expected} do not fall, so they prove nothing")
    limit = fall * gone + first * expected[0] * 0.5
    require(abs(found[0] - found[2] - gone) <= limit, f"{name}: losses {found}, expected {expected}")


def float_steps(options, files, device):
    """PyTorch's own steps; each setting is a row."""
    on_gpu = device.type == "cuda"
    settings = SETTINGS if on_gpu else [("fp32", False, False), *([("fp32", True, False)] if options.compile else [])]
    if options.prepare:
        settings = [setting for setting in settings if setting[1]]
    for precision, compiled, graph in settings:
        name = f"{precision}, {'compiled' if compiled else 'eager'}{', one graph' if graph else ''}"
        if time.monotonic() - BEGUN > options.until:
            report(skipped=f"PyTorch, {name}", reason="out of time")
            continue
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        network = MODELS[options.network](files["size"], files["classes"])
        trainer = Trainer(network, files, device)
        trainer.restart()
        if precision == "bf16":
            objective = trainer.objective

            def objective_in_bf16(images, labels):
                with torch.autocast("cuda", torch.bfloat16):
                    return objective(images, labels)

            trainer.objective = objective_in_bf16
        if compiled:
            torch._dynamo.reset()
            trainer.objective = torch.compile(trainer.objective, fullgraph=True, dynamic=False)
        begun = time.perf_counter()
        trainer.step()
        ready = time.perf_counter() - begun
        if options.prepare:
            report(prepared=name, seconds=ready)
            continue
        run, value = graphed(trainer.step) if graph else (trainer.step, None)
        trainer.restart()
        found = losses(run, value)
        try:
            check_float(name, found, files["losses"], precision)
        except SystemExit as problem:  # the other settings may be right
            report(skipped=f"PyTorch, {name}", reason=str(problem))
            continue
        times = time_steps(run, device, options.repeats, warm=5)
        report(stage="float", program="PyTorch", settings=name, memory=memory(device), losses=found, seconds=ready, **times)
        del run, value, trainer, network


def check_quantized(name, found, expected):
    require(all(loss == loss and abs(loss) < 1e4 for loss in found), f"{name}: losses {found} are not finite")
    require(abs(found[0] - expected[0]) <= 0.15 * expected[0], f"{name}: first loss {found[0]}, in float {expected[0]}")
    require(found[2] < found[0], f"{name}: losses {found} do not fall")


def timed_quantized(trainer, options, files, device, row):
    """A step that is not a float one: eager, and as one graph where the program lets itself be captured; the faster is told."""
    found = losses(trainer.step)
    check_quantized(row["program"], found, files["losses"])
    times = time_steps(trainer.step, device, options.repeats)
    settings = row.pop("settings")
    report(**row, settings=f"{settings}, eager", memory=memory(device), losses=found, **times)
    if device.type != "cuda":
        return
    try:
        run, _ = graphed(trainer.step)
    except Exception as problem:  # a program that reads back or allocates by itself cannot be captured
        report(skipped=f"{row['program']}, one graph", reason=str(problem).splitlines()[0][:120])
        return
    report(**row, settings=f"{settings}, one graph", memory=memory(device), losses=found, **time_steps(run, device, options.repeats))


def product_table(files):
    """The products of the multiplier by (w, x); that of a truncation is the same by (x, w)."""
    products = torch.arange(256)[:, None] * torch.arange(256)[None, :]
    for i, row in enumerate(files["removed"]):
        for j, removed in enumerate(row):
            bits = ((torch.arange(256) >> i) & 1)[:, None] * ((torch.arange(256) >> j) & 1)[None, :]
            products = products - int(removed) * 2 ** (i + j) * bits
    return products


def approxtorch_step(options, files, device):
    """ApproxTorch's convolutions, linear layers exact as it leaves them; fp32 with tf32 products, its fastest setting that is as precise."""
    sys.path.insert(0, options.source)
    import approxtorch

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    table = product_table(files).t().reshape(-1).float().to(device)
    network = MODELS[options.network](files["size"], files["classes"])
    load(network, files["weights"])
    # Before the first convolution is asked for, as this program trains it too.
    network = approxtorch.convert_model(network, table, qtype="uint8", grad="ste", ignore_first_conv=False)
    layers = [layer for layer in network.modules() if type(layer).__name__ == "Conv2d_uint8"]
    require(len(layers) == files["convolutions"], f"{len(layers)} approximate layers, expected {files['convolutions']}")
    trainer = Trainer(network, files, device, channels_last=False)
    # Ranges settle at the activations' first: they begin at 0 … 1 and move by a twentieth a step.
    for layer in layers:
        layer.scale_momentum = 1.0
    with torch.no_grad():
        trainer.objective(trainer.images, trainer.labels)
    for layer in layers:
        layer.scale_momentum = 0.05
    row = {"stage": "3", "program": "ApproxTorch", "settings": "tf32, uint8, straight-through"}
    timed_quantized(trainer, options, files, device, row)


def published_steps(options, files, device):
    """Steps of the published program's two phases, as its drivers set them up, but in tf32 and with cuDNN's search for kernels: its network, quantisers, kernels."""
    os.chdir(options.source)
    sys.path.insert(0, options.source)
    logging.disable(logging.CRITICAL)
    from models.cifar10.resnet import resnet18

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for stage in options.stages.split(","):
        if stage == "1":
            from quant.quant_model import QuantModel
        else:
            from quant.quant_model_lut import QuantModel
            from self_ops.ops_py import approx_ops as operations

            padded = torch.zeros(257, 258, dtype=torch.int32)
            padded[:256, :256] = product_table(files).t()
            operations.lut_appmult = padded.flatten().to(torch.uint16).to(device)
        network = resnet18()
        load(network, files["weights"])
        settings = ({"n_bits": 8, "channel_wise": True}, {"n_bits": 8, "channel_wise": False})
        model = QuantModel(network, "cifar10", *settings).to(device)
        images = ((files["images"].to(device).float() / 255 - files["mean"]) / files["deviation"]).permute(0, 3, 1, 2).contiguous()
        # Post-training ranges of one batch, then clips that learn, as its phase 0 leaves them.
        model.set_app_state(weight_quant=True, act_quant=True, use_appmult=False)
        model.switch_train_eval_mode(train_mode=True)
        with torch.no_grad():
            model(images)
        model.prepare_quantization_aware_training()
        model.to(device)
        with torch.no_grad():
            for layer in model.quant_layers:
                for quantizer in (layer.weight_quantizer, layer.act_quantizer):
                    for factor in (quantizer.observer.upper_bound_factor, quantizer.observer.lower_bound_factor):
                        factor.fill_(files["clip"])
        model.prepare_trainappmult(use_homogeneous_appmult=True, num_max_discard_cols=files["columns"], num_init_discard_cols=files["columns"] // 2)
        model.set_fixed_appmult(use_fixed_appmult=stage == "3")
        model.compute_macs(images[:1])
        model.switch_train_eval_mode(train_mode=True)
        trainer = Trainer(model, files, device, channels_last=False)
        if stage == "1":
            inner = trainer.objective
            trainer.objective = lambda images, labels: inner(images, labels) + 0.3 * model.compute_hardware_loss()
        row = {"stage": stage, "program": "published program", "settings": "tf32"}
        expected = dict(files, losses=[loss + (0.3 if stage == "1" else 0) for loss in files["losses"]])
        timed_quantized(trainer, options, expected, device, row)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["float", "approxtorch", "published"])
    parser.add_argument("--network", choices=MODELS, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--source")
    parser.add_argument("--stages", default="1,3", help="of the published program; one at a time counts memory of its own")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--until", type=float, default=600)
    parser.add_argument("--prepare", action="store_true", help="compile, for PyTorch's cache, and time nothing")
    parser.add_argument("--compile", action="store_true", help="also compiled on the CPU")
    options = parser.parse_args()
    device = torch.device(options.device)
    tensors = read_tensors(os.path.join(options.folder, "problem.safetensors"))
    with open(os.path.join(options.folder, "problem.json")) as file:
        files = json.load(file)
    weights = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("weights.")}
    files |= {"weights": weights, "images": tensors["images"], "labels": tensors["labels"]}
    if options.source:
        options.source = os.path.abspath(options.source)
    report(versions=versions())
    {"float": float_steps, "approxtorch": approxtorch_step, "published": published_steps}[options.task](options, files, device)


if __name__ == "__main__":
    main()
