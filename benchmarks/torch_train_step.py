"""One training step of DARTS_V2's network in plain PyTorch, one module per edge, to measure `train_step.py` against.

Needs `torch`, in an environment of its own; it is no dependency of the project. Prints one JSON line.
"""

import argparse
import json
import pathlib
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from benchmarks.measure import seconds_since_process_start

CELLS = json.loads((pathlib.Path(__file__).parent.parent / "genotypes" / "conv" / "DARTS_V2.json").read_text())


def relu_conv_bn(cin, cout):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))


class Halve(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.even = nn.Conv2d(cin, cout // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(cin, cout // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def separable(c, k, stride, dilation, rounds):
    layers = []
    for i in range(rounds):
        layers += [nn.ReLU(), nn.Conv2d(c, c, k, 1 if i else stride, dilation * (k // 2), dilation, c, bias=False)]
        layers += [nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c)]
    return nn.Sequential(*layers)


def operation(name, c, stride):
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else Halve(c, c)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    kind, size = name.rsplit("_", 1)
    return separable(c, int(size[0]), stride, *((1, 2) if kind == "sep_conv" else (2, 1)))


class Cell(nn.Module):
    def __init__(self, cpp, cp, c, reduction, before):
        super().__init__()
        self.pre0 = Halve(cpp, c) if before else relu_conv_bn(cpp, c)
        self.pre1 = relu_conv_bn(cp, c)
        self.entries = CELLS["reduce" if reduction else "normal"]
        self.ops = nn.ModuleList(operation(op, c, 2 if reduction and s < 2 else 1) for op, s in self.entries)

    def forward(self, s0, s1, drop):
        states = [self.pre0(s0), self.pre1(s1)]
        for i in range(0, len(self.ops), 2):
            parts = []
            for op, (_, source) in zip(self.ops[i : i + 2], self.entries[i : i + 2]):
                y = op(states[source])
                if drop and not isinstance(op, nn.Identity):
                    y = y / (1 - drop) * torch.empty(len(y), 1, 1, 1).bernoulli_(1 - drop)
                parts.append(y)
            states.append(parts[0] + parts[1])
        return torch.cat(states[2:], 1)


class Network(nn.Module):
    def __init__(self, c, layers, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        cpp = cp = 3 * c
        self.cells, before, self.auxiliary_after = nn.ModuleList(), False, 2 * layers // 3
        for i in range(layers):
            reduction = i in (layers // 3, 2 * layers // 3)
            c *= 2 if reduction else 1
            self.cells.append(Cell(cpp, cp, c, reduction, before))
            cpp, cp, before = cp, 4 * c, reduction
            if i == self.auxiliary_after:
                head = [nn.ReLU(), nn.AvgPool2d(5, 3), nn.Conv2d(cp, 128, 1, bias=False), nn.BatchNorm2d(128)]
                head += [nn.ReLU(), nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU(), nn.Flatten()]
                self.auxiliary = nn.Sequential(*head, nn.Linear(768, classes))
        self.classifier = nn.Linear(cp, classes)

    def forward(self, x, drop):
        s0 = s1 = self.stem(x)
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, drop)
            if i == self.auxiliary_after:
                auxiliary = self.auxiliary(s1)
        return self.classifier(s1.mean((2, 3))), auxiliary


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=36)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(2)
    net = Network(args.init_channels, args.layers)
    sgd = torch.optim.SGD(net.parameters(), 0.025, 0.9, weight_decay=3e-4)
    times = []
    for step in range(args.steps + 1):
        x, y = torch.randn(args.batch_size, 3, 32, 32), torch.randint(0, 10, (args.batch_size,))
        start = time.perf_counter()
        sgd.zero_grad()
        logits, auxiliary = net(x, 0.1)
        (F.cross_entropy(logits, y) + 0.4 * F.cross_entropy(auxiliary, y)).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        sgd.step()
        times.append(time.perf_counter() - start)
        if step == 0:
            first = seconds_since_process_start()
    line = {"program": "plain PyTorch", "step": "train", "median_seconds": round(statistics.median(times[1:]), 3)}
    line["seconds"] = [round(t, 3) for t in times[1:]]
    line["parameters"] = sum(p.numel() for p in net.parameters())
    line["first_step_done_after_seconds"] = round(first, 1)
    line["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(line))


if __name__ == "__main__":
    main()
