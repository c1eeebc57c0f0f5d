"""What the Python side of bench/peers.mjs shares: tensors from files, timing as the other columns are timed, CUDA graphs, and lines of JSON for its leader.

A step is timed by device events as means of three, the median of the samples is told (on the CPU: by the wall, one step a sample); memory is the most that
PyTorch's allocator held. A figure is printed only behind the check that its caller makes.
"""

import json
import statistics
import struct
import time

import numpy
import torch

TYPES = {"F32": numpy.float32, "I32": numpy.int32, "U8": numpy.uint8}


def read_tensors(path, device="cpu"):
    """The tensors of a safetensors file."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header, found = json.loads(content[8 : 8 + length]), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(content[8 + length + begin : 8 + length + end], TYPES[entry["dtype"]])
        found[name] = torch.from_numpy(values.reshape(entry["shape"]).copy()).to(device)
    return found


def report(**line):
    """One result, for the leader; all other output is for people."""
    print(json.dumps(line), flush=True)


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def time_steps(step, device, repeats, warm=3):
    """Milliseconds of a step: the median and the least of the samples."""
    for _ in range(warm):
        step()
    synchronize(device)
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begun.record()
            for _ in range(3):
                step()
            ended.record()
            ended.synchronize()
            times.append(begun.elapsed_time(ended) / 3)
        else:
            begun = time.perf_counter()
            step()
            times.append((time.perf_counter() - begun) * 1e3)
    return {"ms": statistics.median(times), "best": min(times)}


def memory(device):
    """Bytes; None on the CPU, where nobody counts them."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else None


def graphed(step):
    """A whole step, optimiser included, as one CUDA graph: what replays it, and the tensor that it leaves the loss in."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    return graph.replay, loss


def relative(found, expected):
    """The norm of the difference over that of what is expected."""
    found, expected = found.double().flatten(), expected.double().flatten()
    return float((found - expected).norm() / expected.norm())


def require(condition, text):
    if not condition:
        raise SystemExit(f"validation failed: {text}")


def versions():
    found = {"python": ".".join(map(str, __import__("sys").version_info[:3])), "torch": torch.__version__, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
        found["cudnn"] = torch.backends.cudnn.version()
    return found
