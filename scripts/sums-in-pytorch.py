"""What each layer of an exported network.py sums of given codes: python3 sums-in-pytorch.py EXPORT CODES.

CODES/layers.json names for each layer its module, the shape [N, H, W, C] of its codes, and the files of codes and of
sums: int32 in this machine's order, the channel last.
"""

import json
import sys
from array import array
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[1])
import network  # noqa: E402  (the exported file)

folder = Path(sys.argv[2])
layers = network.multiplying(network.load())
with torch.no_grad():
    for entry in json.loads((folder / "layers.json").read_text()):
        content = bytearray((folder / entry["codes"]).read_bytes())
        codes = torch.frombuffer(content, dtype=torch.int32).view(entry["shape"]).permute(0, 3, 1, 2).long()
        sums = layers[entry["module"]].sums(codes).permute(0, 2, 3, 1).flatten().tolist()
        (folder / entry["sums"]).write_bytes(array("i", sums).tobytes())
