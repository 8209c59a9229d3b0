"""Small networks that the tests of several measures ask."""

import torch
import torch.nn.functional as F
from torch import nn


def conv(inputs, outputs, kernel, **options):
    return nn.Conv2d(inputs, outputs, kernel, **({"padding": kernel // 2} | options))


class Net(nn.Module):
    """A forward as a function of the module and the picture, with the layers that it calls."""

    def __init__(self, run, **layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


def focus(net, x):
    return net.conv(torch.cat([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], 1))


def shuffle(net, x):
    x = net.a(x)
    B, C, H, W = x.shape
    return net.b(x.view(B, 2, C // 2, H, W).transpose(1, 2).reshape(B, C, H, W))


def spatial(net, x):
    x = net.a(x)
    return net.b(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))


def split_channels(net, x):
    return torch.cat([net.a(x), net.b(x)], 1)[:, 1:]


def tokens(net, x):
    x = net.a(x)
    return net.b(net.linear(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape))


def space_to_depth(net, x):
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 1, 4, 5, 2, 3)
    return net.conv(windows.reshape(x.shape[0], -1, x.shape[2] // 2, x.shape[3] // 2))


def window_attention(net, x):
    B, C, H, W = x.shape
    w = x.view(B, C, H // 4, 4, W // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, C)
    w = (w @ w.transpose(1, 2)).softmax(-1) @ w
    return net.conv(w.view(B, H // 4, W // 4, 4, 4, C).permute(0, 5, 1, 3, 2, 4).reshape(B, C, H, W))


def unet(net, x):
    first = net.a(x)
    inner = F.interpolate(net.b(F.max_pool2d(first, 2)), scale_factor=2)
    return net.conv(torch.cat([first, inner], 1))


def padded_by_hand(net, x):
    return x + torch.cat([x.new_zeros(*x.shape[:2], 2, x.shape[3]), x[:, :, :-2]], 2)


def functional(net, x):
    pooled = F.max_pool2d(input=x, kernel_size=2)
    return F.conv2d(input=pooled, weight=net.weight, dilation=(2, 1))


def columns(net, x):
    return net.conv(F.unfold(x, 3, padding=1).view(x.shape[0], -1, *x.shape[2:]))


# name → (network, its receptive field: size, stride, padding)
FIELDS = {
    "focus": (Net(focus, conv=conv(4, 1, 3)), (6, 2, 2)),
    "difference": (Net(lambda net, x: x[:, :, 1:] - x[:, :, :-1]), ((2, 1), 1, 0)),
    "channel shuffle": (Net(shuffle, a=conv(4, 4, 3), b=conv(4, 4, 3)), (5, 1, 2)),
    "spatial attention": (Net(spatial, a=conv(4, 4, 3), b=conv(2, 1, 7)), (9, 1, 4)),
    "some channels": (Net(split_channels, a=conv(1, 1, 7), b=conv(1, 1, 3)), (3, 1, 1)),
    "flattened and back": (Net(tokens, a=conv(1, 4, 3), b=conv(4, 4, 3), linear=nn.Linear(4, 4)), (5, 1, 2)),
    "channels last": (
        Net(lambda net, x: net.conv(net.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)), linear=nn.Linear(3, 3),
            conv=conv(3, 1, 3)),
        (3, 1, 1),
    ),
    "space to depth by hand": (Net(space_to_depth, conv=conv(4, 1, 3)), (6, 2, 2)),
    "pixel unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), conv(4, 1, 3)), (6, 2, 2)),
    "pixel shuffle": (nn.Sequential(conv(1, 4, 3), nn.PixelShuffle(2), conv(1, 1, 3)), (4, 0.5, 2)),
    "halves put together": (Net(lambda net, x: net.conv(torch.cat(x.chunk(2, 2), 2)), conv=conv(1, 1, 3)), (3, 1, 1)),
    "roll": (Net(lambda net, x: x + x.roll(3, 2)), ((4, 1), 1, (3, 0))),
    "pad": (Net(lambda net, x: net.conv(F.pad(x, (1, 2, 3, 4))), conv=nn.Conv2d(1, 1, 3)), (3, 1, (3, 1))),
    "padded by hand": (Net(padded_by_hand), ((3, 1), 1, (2, 0))),
    "circular padding": (nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular"), (5, 1, 2)),
    "keyword arguments": (Net(functional, weight=nn.Parameter(torch.ones(1, 1, 3, 3))), ((10, 6), 2, 0)),
    "unfold": (Net(columns, conv=nn.Conv2d(9, 1, 3)), (5, 1, 1)),
    "lp pooling": (nn.LPPool2d(2, 2), (2, 2, 0)),
    "in place": (Net(lambda net, x: torch.relu_(net.a(x)).add_(net.b(x)), a=conv(2, 1, 3), b=conv(2, 1, 5)), (5, 1, 2)),
    "transposed": (nn.ConvTranspose2d(1, 1, 4, 2, 1), (2, 0.5, 1)),
    "transposed and back": (
        nn.Sequential(nn.ConvTranspose2d(1, 1, (3, 5), (2, 3)), conv(1, 1, 3), nn.MaxPool2d(2)), (3, (1, 2 / 3), 1),
    ),
    "nearest": (nn.Sequential(nn.Upsample(scale_factor=2), conv(1, 1, 3)), (2, 0.5, 1)),
    "repeated": (
        Net(lambda net, x: net.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), conv=conv(1, 1, 3)),
        (2, 0.5, 1),
    ),
    "bilinear": (
        nn.Sequential(conv(1, 1, 3), nn.MaxPool2d(2), conv(1, 1, 3), nn.Upsample(scale_factor=2, mode="bilinear")),
        (10, 1, 5),
    ),
    "bicubic": (nn.Upsample(scale_factor=3, mode="bicubic"), (4, 1 / 3, 2)),
    "four times": (
        nn.Sequential(nn.MaxPool2d(4), conv(1, 1, 3), nn.Upsample(scale_factor=4), conv(1, 1, 5)), (16, 1, 8),
    ),
    "u-net": (Net(unet, a=conv(1, 2, 3), b=conv(2, 2, 3), conv=conv(4, 1, 3)), (10, 1, 5)),
}  # fmt: skip
# Places of one window see the same: the place at a window's border, whose kernel meets two of them, sees the most.
WINDOWS = Net(window_attention, conv=conv(1, 1, 3)), (8, 1, 4)
