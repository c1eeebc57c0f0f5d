"""What PyTorch's DistributedDataParallel gains from more GPUs, for a side-by-side with bench/scale.mjs.

Float training steps of ResNet18 (peers/networks.py: the network of that bench) on images of 32x32, channels last, with operands in bf16
(autocast) and in tf32, at global batches of 256 and 512: cross-entropy, gradients, SGD with Nesterov's momentum 0.9 and weight decay 5e-4. Images
are on the GPU already; a step is timed by the wall clock over many, the median of five parts. One GPU is timed without DDP. Validates first: the
number of parameters, and that after a step all processes hold the same weights as one process makes of the same batch, batch norm in evaluation mode.
Usage: python3 bench/pytorch-ddp.py [--devices 1,2] [--seconds 2] [--limit 240]
"""

import argparse
import json
import os
import socket
import statistics
import tempfile
import threading
import time

import torch
from torch import distributed, multiprocessing
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from peers.networks import ResNet18

PARAMETERS = 11_173_962


def resnet18():
    torch.manual_seed(1)
    return ResNet18(32, 10)


class Trainer:
    """Steps of one process over its part of the batch."""

    def __init__(self, rank, devices, batch, precision, rate=1e-3, training=True):
        self.bf16 = precision == "bf16"
        self.device = torch.device("cuda", rank)
        network = resnet18().to(self.device, memory_format=torch.channels_last).train(training)
        assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
        together = devices > 1
        self.network = DistributedDataParallel(network, device_ids=[rank], gradient_as_bucket_view=True) if together else network
        self.optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
        drawn = torch.Generator().manual_seed(2)
        part = rank if together else 0
        own = slice(part * batch // devices, (part + 1) * batch // devices)
        images = torch.randn(batch, 3, 32, 32, generator=drawn)[own]
        self.images = images.to(self.device, memory_format=torch.channels_last)
        self.labels = torch.randint(10, (batch,), generator=drawn)[own].to(self.device)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.bf16):
            loss = functional.cross_entropy(self.network(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def weights(self):
        return torch.cat([parameter.detach().flatten().cpu() for parameter in self.network.parameters()])

    def seconds(self, seconds):
        """Of a step; every process does as many."""
        for _ in range(20):
            self.step()
        torch.cuda.synchronize(self.device)
        begun = time.perf_counter()
        for _ in range(10):
            self.step()
        torch.cuda.synchronize(self.device)
        count = torch.tensor([max(1, round(seconds / 5 * 10 / (time.perf_counter() - begun)))], device=self.device)
        if distributed.is_initialized():
            distributed.broadcast(count, 0)
        parts = []
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(int(count)):
                self.step()
            torch.cuda.synchronize(self.device)
            parts.append((time.perf_counter() - begun) / int(count))
        return statistics.median(parts)


def validated(rank, devices, batch, before, alone):
    """How far a step of all is from that of one process, over how far that moves."""
    trainer = Trainer(rank, devices, batch, "tf32", rate=0.1, training=False)
    trainer.step()
    weights = trainer.weights()
    every = [torch.empty_like(weights, device=trainer.device) for _ in range(devices)]
    distributed.all_gather(every, weights.to(trainer.device))
    assert all(torch.equal(every[0], other) for other in every), "the processes hold different weights"
    apart = float((weights - alone).norm() / (alone - before).norm())
    assert apart < 0.05, f"a step of {devices} processes is {apart:.3f} from that of one"
    return apart


def work(rank, devices, port, options):
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.cuda.set_device(rank)
    limit(options.limit)
    alone = {}
    if devices > 1:
        # One process with the whole batch.
        trainer = Trainer(rank, 1, 64, "tf32", rate=0.1, training=False)
        alone["before"] = trainer.weights()
        trainer.step()
        alone["alone"] = trainer.weights()
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        distributed.init_process_group("nccl", rank=rank, world_size=devices)
        apart = validated(rank, devices, 64, **alone)
        if rank == 0:
            print(f"{devices} GPUs: a step is {apart:.1e} from that of one process; the same weights on all", flush=True)
    rates = {}
    for precision in ("bf16", "tf32"):
        for batch in (256, 512):
            seconds = Trainer(rank, devices, batch, precision).seconds(options.seconds)
            rates[f"{precision}, batch {batch}"] = batch / seconds
            if rank == 0:
                gib = torch.cuda.max_memory_allocated(rank) / 2**30
                print(
                    f"{devices} GPU{'s' if devices > 1 else ''}, {precision}, batch {batch}: {1000 * seconds:.2f} ms a step, "
                    f"{batch / seconds:.0f} images/s, {gib:.2f} GiB of a GPU",
                    flush=True,
                )
    if rank == 0:
        with open(options.rates, "w") as file:
            json.dump(rates, file)
    if devices > 1:
        distributed.destroy_process_group()


def limit(seconds):
    """Ends the process, whatever a kernel waits for."""

    def end():
        print(f"stopped after {seconds} s", flush=True)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", default="1,2")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--limit", type=float, default=240)
    options = parser.parse_args()
    options.rates = os.path.join(tempfile.gettempdir(), f"pytorch-ddp-{os.getpid()}.json")
    limit(options.limit)
    print(f"PyTorch {torch.__version__}, {torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}, NCCL {torch.cuda.nccl.version()}", flush=True)
    base = None
    for devices in (int(count) for count in options.devices.split(",")):
        multiprocessing.spawn(work, (devices, free_port(), options), nprocs=devices)
        with open(options.rates) as file:
            rates = json.load(file)
        os.remove(options.rates)
        base = base or rates
        if rates is not base:
            for what, rate in rates.items():
                print(f"{devices} GPUs, {what}: ratio {rate / base[what]:.2f}", flush=True)


if __name__ == "__main__":
    main()
