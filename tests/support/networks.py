"""Small networks."""

import torch
from torch import nn


def deep(width: int = 12, layers: int = 12, nonlinearity: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    convs = [nn.Conv2d(width if n else 3, width, 3, padding=1, stride=2 if n == 5 else 1) for n in range(layers)]
    hidden = [part for conv in convs for part in (conv, nonlinearity())]
    return nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 5))


def small(classes: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, classes),
    ).double()  # fmt: skip


def trained() -> nn.Module:
    """A small network whose norms have seen data."""
    net = small()
    net(torch.randn(16, 1, 11, 7, dtype=torch.float64))
    return net
