"""Move the poolings of SqueezeNet between its blocks: the parameters stay, the multiply-adds and the maps do not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import traitlets
from torch import nn

from convnotes import checks, plots
from convnotes.compression.squeezenet import Fire, SqueezeNet
from convnotes.geometry import output_size
from convnotes.widgets.base import Widget, checking, panels

FIRST = (1, 4, 8)  # version 1.0: after conv 1, fire 4 and fire 8


class PoolPlacer(Widget):
    """SqueezeNet 1.0 with its three poolings at places that can be changed, and what that costs, layer by layer.

    A layer is the first convolution, one of eight fire blocks, or the convolution to the classes: conv 1, fire 2 to
    fire 9, conv 10. The maps are what the convolutions write, those inside the fire blocks included.

    Args:
        pixels: height and width of the image, from 64 to 512.
        **state: `pools`, the numbers of the three layers behind which a pooling stands, rising, from 1 to 9.

    Raises:
        ValueError, TypeError: for another number of poolings, and for numbers out of range or not rising.

    Example:
        >>> from convnotes.widgets import PoolPlacer
        >>> widget = PoolPlacer(pools=[1, 3, 5])  # where version 1.1 has them
        >>> widget.sides()
        [109, 54, 54, 27, 27, 13, 13, 13, 13, 13]
        >>> widget.macs(), PoolPlacer().macs()
        (494451744, 818924576)
    """

    module = "pool_placer"
    by_hand = "the three poolings can be moved"

    layers: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    side = traitlets.Int().tag(sync=True)  # of the map behind conv 1
    pools: traitlets.List[int] = traitlets.List().tag(sync=True)

    def __init__(self, pixels: int = 224, **state: Any) -> None:
        checks.whole("pixels", pixels, 64, 512)
        net = SqueezeNet("1_0", device="meta")
        parts = [net.features[0], *(part for part in net.features if isinstance(part, Fire)), net.classifier[1]]
        layers = [_counted(number, part) for number, part in enumerate(parts, 1)]
        first, _ = output_size((pixels, pixels), 7, 2, 0, 1)
        super().__init__(layers=layers, side=first, **({"pools": list(FIRST)} | state))

    @checking("pools")
    def _check_pools(self, name: str, value: Any) -> list[int]:
        pools = checks.wholes(name, list(value), len(FIRST), most=len(self.layers) - 1)
        if any(one >= other for one, other in pairwise(pools)):
            raise ValueError(f"{name} must rise, got {list(pools)}")
        return list(pools)

    def sides(self) -> list[int]:
        """Height and width of the map that each layer writes."""
        side, found = self.side, []
        for number in range(1, len(self.layers) + 1):
            found.append(side)
            if number in self.pools:
                side = -(-(side - 3) // 2) + 1  # 3×3, stride 2, ceil_mode
        return found

    def macs(self) -> int:
        """Multiply-adds of the network."""
        return sum(self._each("weights"))

    def values(self) -> int:
        """How many values the convolutions write."""
        return sum(self._each("values"))

    def network(self) -> SqueezeNet:
        """The network with its poolings as they stand, without storage for its parameters (device "meta")."""
        net = SqueezeNet("1_0", device="meta")
        pool = next(part for part in net.features if isinstance(part, nn.MaxPool2d))
        kept = [part for part in net.features if not isinstance(part, nn.MaxPool2d)]  # conv 1, ReLU, the fire blocks
        parts = kept[:2]
        for number, part in enumerate([None, *kept[2:]], 1):
            parts += [part] if part is not None else []
            parts += [pool] if number in self.pools else []
        net.features = nn.Sequential(*parts)
        return net

    def _each(self, count: str) -> Iterator[int]:
        return (layer[count] * side**2 for layer, side in zip(self.layers, self.sides(), strict=True))

    def _after(self) -> str:
        return ", ".join(self.layers[number - 1]["name"] for number in self.pools)

    def _describe(self) -> str:
        return f"SqueezeNet 1.0, poolings after {self._after()}"

    def _alt(self) -> str:
        return (
            f"the ten layers of SqueezeNet 1.0, maps of {self.sides()[0]} to {self.sides()[-1]} positions per side: "
            f"{self.macs() / 1e6:.0f} million multiply-adds, {self.values() / 1e6:.1f} million values written."
        )

    def _picture(self) -> bytes:
        axes = panels(1, 3, (8.6, 2.8))
        names = [layer["name"] for layer in self.layers]
        shown = (self.sides(), self._each("values"), self._each("weights"))
        titles = ("side of the map", "values written, M", "multiply-adds, M")
        for ax, values, title, scale, colour in zip(
            axes, shown, titles, (1, 1e6, 1e6), ("input", "output", "kernel"), strict=True
        ):
            with plots.style():
                ax.barh(names, [value / scale for value in values], color=plots.PALETTE[colour])
                ax.invert_yaxis()
                ax.set_title(title)
        return plots.save(axes[0])


def _counted(number: int, part: nn.Module) -> dict[str, Any]:
    """A layer with its parameters, and its weights and values for each position of the map."""
    convolutions = [module for module in part.modules() if isinstance(module, nn.Conv2d)]
    return {
        "name": f"{'fire' if isinstance(part, Fire) else 'conv'} {number}",
        "parameters": sum(p.numel() for p in part.parameters()),
        "weights": sum(conv.weight.numel() for conv in convolutions),
        "values": sum(conv.out_channels for conv in convolutions),
    }
