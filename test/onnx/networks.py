"""Networks as PyTorch exports them to ONNX, with the logits that PyTorch computes.

    python3 networks.py fixtures FOLDER   the files beside this script: digits (batch norms kept), transformer (for one
                                          image), mobile (batch norms folded)
    python3 networks.py all FOLDER        every network here, by several opsets, for one image and for any number

Weights are random, but for `digits`, which is trained on the digits of this program (raw / 16). Images are numbers that
any language makes anew: element i of three images is ((73·i + 11) mod 97) / 48 − 1. Made with PyTorch 1.13.
"""

import copy
import csv
import gzip
import json
import os
import sys
import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F

IMAGES = 3


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        conv = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Identity() if same else nn.Sequential(*conv)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """Residual blocks; batch norms that the exporter folds."""

    def __init__(self, channels=3, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(width, width, 1), Block(width, 12, 2))
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        x = self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8, 8, 1)
        self.layer2 = Block(8, 12, 2)
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean([2, 3]))


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, 4, 1)
        self.fc2 = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(self.avgpool(x)))))


def unit(inputs, outputs, kernel, stride, groups, activation):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), activation())


class Mobile(nn.Module):
    """Depthwise convolutions, ReLU6, hard swish, SiLU, squeeze and excitation, dropout."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            unit(3, 8, 3, 2, 1, nn.Hardswish),
            unit(8, 16, 1, 1, 1, nn.ReLU6),
            unit(16, 16, 5, 2, 16, nn.SiLU),
            Squeeze(16),
            nn.Conv2d(16, 12, 1, bias=False),
            nn.BatchNorm2d(12),
        )
        self.classifier = nn.Sequential(nn.Linear(12, 20), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(20, 7))

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class Vgg(nn.Module):
    """An image that is flattened for linear layers; a log-softmax at the end."""

    def __init__(self):
        super().__init__()
        convs = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*convs, nn.AvgPool2d(2, ceil_mode=True))
        self.classifier = nn.Sequential(nn.Linear(8 * 3 * 2, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x):
        return F.log_softmax(self.classifier(torch.flatten(self.features(x), 1)), 1)


class Dense(nn.Module):
    """Batch norms before convolutions, which stay; concatenations; pools with padding; more activations."""

    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv1 = nn.Conv2d(6, 4, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(10, eps=1e-3, momentum=0.03)
        self.conv2 = nn.Conv2d(10, 4, (3, 1), 1, (1, 0), bias=False)
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.pool2 = nn.AvgPool2d(3, 1, 1)
        self.act = nn.LeakyReLU(0.1)
        self.pre = nn.PReLU(14)
        self.fc = nn.Linear(14, 10)

    def forward(self, x):
        x = self.conv0(x)
        x = torch.cat([x, self.conv1(F.relu(self.norm1(x)))], 1)
        x = torch.cat([x, self.conv2(self.act(self.norm2(x)))], 1)
        x = self.pool2(self.pool(self.pre(x)))
        x = F.elu(x) + torch.tanh(x) - torch.sigmoid(x) * x.abs()
        return self.fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        depth = width // self.heads
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, depth).permute(2, 0, 3, 1, 4).unbind(0)
        shares = ((q @ k.transpose(-2, -1)) * depth**-0.5).softmax(dim=-1)
        return self.proj((shares @ v).transpose(1, 2).reshape(n, tokens, width))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.gamma = nn.Parameter(torch.randn(width) * 0.3 + 1)

    def forward(self, x):
        x = x + self.gamma * self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """A class token, positions, layer norms, attention, GELU."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.proj = nn.Conv2d(3, width, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 17, width) * 0.1)
        self.blocks = nn.Sequential(TransformerBlock(width, heads), TransformerBlock(width, heads))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class TokensFirst(nn.Module):
    """PyTorch's own attention, which has tokens before images and joins both for its linear layers."""

    def __init__(self, width=16):
        super().__init__()
        self.proj = nn.Conv2d(3, width, 4, 4)
        self.attn = nn.MultiheadAttention(width, 2)
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        x = self.proj(x).flatten(2).permute(2, 0, 1)
        x = self.norm(x + self.attn(x, x, x, need_weights=False)[0])
        return self.fc(F.gelu(x.mean(0)))


class ConvNeXt(nn.Module):
    """Channels last in between; a scale per channel."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 2, 2)
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.randn(width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = (self.gamma * self.fc2(F.gelu(self.fc1(y)))).permute(0, 3, 1, 2)
        return self.head((x + y).mean([-2, -1]))


class Shuffle(nn.Module):
    """Parts of channels, a shuffle of them, uneven padding, a clip, a convolution that gives the logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1)
        self.conv2 = nn.Conv2d(4, 4, 3, 1, 1, groups=4)
        self.head = nn.Conv2d(8, 10, 1)

    def forward(self, x):
        a, b = F.relu(self.conv1(x)).chunk(2, 1)
        x = torch.cat([a, self.conv2(b)], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = torch.clamp(F.pad(x, (1, 0, 2, 1)), -0.5, 0.7)
        return F.adaptive_avg_pool2d(F.relu(self.head(x)), 1).flatten(1)


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 20)
        self.bn = nn.BatchNorm1d(20)
        self.fc2 = nn.Linear(20, 10)

    def forward(self, x):
        return self.fc2(F.softplus(self.bn(self.fc1(x.view(x.shape[0], -1)))))


class Windows(nn.Module):
    """Shifted windows, which are joined with the images, and the merging of patches, as in Swin."""

    def __init__(self, width=8, window=4):
        super().__init__()
        self.window = window
        self.proj = nn.Conv2d(3, width, 2, 2)
        self.attn = Attention(width, 2)
        self.norm = nn.LayerNorm(width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x):
        x = self.proj(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        s = self.window
        y = torch.roll(x, (-2, -2), (1, 2)).view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5)
        y = self.attn(self.norm(y.reshape(-1, s * s, c)))
        y = y.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        x = x + torch.roll(y, (2, 2), (1, 2))
        x = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).flatten(3)
        return self.head(self.reduction(x).mean((1, 2)))


NETWORKS = {
    'resnet': (ResNet, (3, 16, 16)),
    'mobile': (Mobile, (3, 16, 16)),
    'vgg': (Vgg, (1, 12, 9)),
    'dense': (Dense, (3, 17, 13)),
    'transformer': (Transformer, (3, 16, 16)),
    'tokens-first': (TokensFirst, (3, 16, 16)),
    'convnext': (ConvNeXt, (3, 16, 16)),
    'shuffle': (Shuffle, (3, 8, 8)),
    'perceptron': (Perceptron, (1, 8, 8)),
    'windows': (Windows, (3, 16, 16)),
}


def images(shape):
    count = IMAGES * shape[0] * shape[1] * shape[2]
    return torch.tensor([((73 * i + 11) % 97) / 48 - 1 for i in range(count)]).view(IMAGES, *shape)


def randomised(network):
    """Weights that tell images apart; statistics, scales and shifts of which no two vectors are equal."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            module.weight.data *= 1.5
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return network


def trained(network):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../data/digits.csv.gz')
    with gzip.open(path, 'rt') as file:
        rows = torch.tensor([[float(value) for value in row] for row in csv.reader(file)])
    x, labels = rows[:, :64].view(-1, 1, 8, 8) / 16, rows[:, 64].long()
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15)
    for _ in range(15):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    return network


def export(network, shape, path, opset, how):
    """How: for one image ('fixed'), for any number ('any'), or so too with batch norms as they were ('unfolded')."""
    mode = torch.onnx.TrainingMode
    network = copy.deepcopy(network)
    for module in network.modules():
        # An export in training mode runs the network, which must leave its statistics as they are.
        if how == 'unfolded' and isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 0.0
    axes = None if how == 'fixed' else {'image': {0: 'n'}, 'logits': {0: 'n'}}
    torch.onnx.export(
        network,
        images(shape)[: 1 if how == 'fixed' else 2],
        path,
        opset_version=opset,
        input_names=['image'],
        output_names=['logits'],
        dynamic_axes=axes,
        training=mode.TRAINING if how == 'unfolded' else mode.EVAL,
        do_constant_folding=how != 'unfolded',
    )


def main(what, folder):
    warnings.filterwarnings('ignore')
    torch.manual_seed(7)
    torch.set_num_threads(1)
    expected = {}
    networks = {name: (randomised(make()), shape) for name, (make, shape) in NETWORKS.items()}
    if what == 'fixtures':
        kept = {name: networks[name] for name in ('transformer', 'mobile')}
        networks = {'digits': (trained(Digits()), (1, 8, 8)), **kept}
    for name, (network, shape) in networks.items():
        network.eval()
        with torch.no_grad():
            logits = network(images(shape)).tolist()
        ways = [(17, {'transformer': 'fixed', 'digits': 'unfolded'}.get(name, 'any'))]
        if what == 'all':
            ways = [(opset, how) for opset in (9, 11, 13, 17) for how in ('fixed', 'any', 'unfolded')]
        for opset, how in ways:
            file = f'{name}.onnx' if what == 'fixtures' else f'{name}-{opset}-{how}.onnx'
            export(network, shape, os.path.join(folder, file), opset, how)
            c, h, w = shape
            expected[file] = {'image': [h, w, c], 'logits': logits}
    with open(os.path.join(folder, 'expected.json'), 'w') as file:
        lines = [f'  {json.dumps(name)}: {json.dumps(value)}' for name, value in expected.items()]
        file.write('{\n' + ',\n'.join(lines) + '\n}\n')


if __name__ == '__main__':
    main(*sys.argv[1:])
