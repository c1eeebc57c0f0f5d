"""Float training steps of two networks in PyTorch on the CPU, for a side-by-side with bench/networks.mjs.

ResNet20 (He et al., 2016; three stages of 16, 32 and 64 channels) and a ViT-T/4 (192 channels, 12 blocks, 3 heads, patches of 4x4) on images of
32x32: cross-entropy, gradients, SGD with momentum 0.9 and weight decay 5e-4. Validates first: the number of parameters, and that the loss of a
batch that is learnt again and again falls.
Usage: python3 bench/pytorch-networks.py [--model resnet20|vit-t4] [--batch 64] [--threads 2] [--repeats 5]
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from peers.networks import BasicBlock


def resnet20():
    blocks = []
    for stage, width in enumerate((16, 32, 64)):
        for index in range(3):
            first = index == 0
            blocks.append(BasicBlock(width // 2 if first and stage else width, width, 2 if first and stage else 1))
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        x = x + self.proj((attention @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    def __init__(self, size=32, patch=4, width=192, depth=12, heads=3, classes=10):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(tokens))[:, 0])


MODELS = {"resnet20": (resnet20, 272_474), "vit-t4": (VisionTransformer, 5_362_762)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, default="resnet20")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    build, expected = MODELS[options.model]
    model = build()
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == expected, f"{found} parameters instead of {expected}"
    images = torch.randn(options.batch, 3, 32, 32)
    if options.model == "resnet20":
        model, images = model.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    losses, times = [], []
    for _ in range(options.repeats + 3):
        begun = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter() - begun)
    assert losses[-1] < losses[0], f"the loss does not fall: {losses}"
    median = statistics.median(times[2:])
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {options.model}, batch {options.batch}: "
          f"{1000 * median:.1f} ms a step, {options.batch / median:.0f} images/s")


if __name__ == "__main__":
    main()
