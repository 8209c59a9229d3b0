"""Deformable aggregation, the operator of DCNv3 and DCNv4: samples are summed with weights that the input predicts::

    y[b,c,i,j] = Σ_{u,v} m[b,g,u,v,i,j] · x̃[b, c, ŷ, x̂]                                g: the group of channel c
    ŷ = i·s − p + r + a·(u·d − r + Δy),   r = ⌊d·(KH − 1)/2⌋                           x̂ likewise

x̃ is the image interpolated bilinearly, 0 outside; a is `offset_scale`. A deformable convolution has weights w[o,c,u,v]
beside its masks; this one has none: 1×1 kernels before and after it mix the channels. DCNv3 takes the softmax of the
masks over the taps, DCNv4 takes them as they are.
Wang et al., "InternImage", CVPR 2023, arXiv:2211.05778, equation 2; Xiong et al., "Efficient deformable ConvNets",
CVPR 2024, arXiv:2401.06197, section 3 · chapter beyond/deformable_aggregation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.beyond.dcn_layouts import tap_count
from convnotes.beyond.dynamic import in_format_of
from convnotes.fundamentals.activation import ActLayer, activation
from convnotes.fundamentals.depthwise import DepthwiseConv2d
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import Factory, IntOrPair, Padding, Pair, pair, resolve_padding
from convnotes.kernels.aggregate.operator import aggregate
from convnotes.kernels.aggregate.sampling import Taps
from convnotes.kernels.transforms import one_image, one_node


@one_node
@one_image("input", "offset", "mask")
def deform_aggregate2d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    offset_scale: float = 1.0,
    remove_center: bool = False,
) -> Tensor:
    """Sum samples at predicted positions with predicted weights: `[B, C, H, W]` → `[B, C, H_out, W_out]`.

    Sizes are those of `torch.nn.functional.conv2d`; the samples, their derivatives and what an infinite offset or a NaN
    gives are those of `deform_conv2d`. With K taps, KH·KW or one less with `remove_center`, tap (u, v) has the number
    u·KW + v, less 1 behind a middle that is left out. Both memory formats are read and written as they lie;
    `channels_last` is the faster one. Samples are summed in float32 at least, and no columns are stored.

    `from_dcnv3` and `from_dcnv4` turn what the authors' operators are given into these arguments.

    Args:
        input: images `[B, C, H, W]`, or one, `[C, H, W]`; offset and mask then have no batch either.
        offset: `[B, 2·K·G, H_out, W_out]`: channel g·2K + 2k is Δy of tap k, the next one Δx, in units of
            `offset_scale` pixels.
        mask: `[B, K·G, H_out, W_out]`: channel g·K + k is m, used as it is.
        kernel_size: (height, width) of the grid of taps.
        stride, padding, dilation: as in `torch.nn.functional.conv2d`.
        groups: G groups of C/G neighbouring channels, each with offsets and masks of its own.
        offset_scale: by how much the grid and the offsets are spread around the middle tap.
        remove_center: whether the middle tap is left out; the kernel must then be odd.

    Raises:
        TypeError, ValueError: for an argument, a shape, a dtype or a device that does not fit.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 1, 4)
        >>> offset = torch.zeros(1, 2, 1, 4)
        >>> offset[:, 1] = 0.5
        >>> deform_aggregate2d(x, offset, torch.full((1, 1, 1, 4), 2.0), 1)
        tensor([[[[1., 3., 5., 3.]]]])
    """
    kernel = KH, KW = pair(kernel_size, "kernel_size", 1)
    (sy, sx), (dy, dx) = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    K, scale = tap_count(kernel, remove_center), checks.number("offset_scale", offset_scale, "(0, inf)")
    checks.tensor("input of deform_aggregate2d", input, "BCHW")
    B, C = input.shape[:2]
    checks.divides("groups", groups, channels=C)
    size = input.new_empty(0, 0, KH, KW)  # for its shape alone
    h, w = checks.size_after("deform_aggregate2d", input, size, stride, padding, dilation)
    checks.tensor("offset of deform_aggregate2d", offset, (B, 2 * K * groups, h, w), input)
    checks.tensor("mask of deform_aggregate2d", mask, (B, K * groups, h, w), input)
    (top, _), (left, _) = resolve_padding(padding, kernel, (dy, dx), (sy, sx))
    narrow = None
    if remove_center or scale != 1:
        if offset.dtype in (torch.float16, torch.bfloat16):  # too coarse for positions
            narrow = offset.dtype
            input, offset, mask = input.float(), offset.float(), mask.float()
        if remove_center and torch.onnx.is_in_onnx_export():  # ONNX counts on a whole kernel
            offset, mask, remove_center = _with_middle(offset, groups, 2), _with_middle(mask, groups, 1), False
        offset, kernel, (dy, dx) = _placed(offset, kernel, (dy, dx), groups, scale, remove_center)
    out = aggregate(input, offset, mask, Taps(kernel, (sy, sx), (top, left), (dy, dx)))
    return in_format_of(input, out if narrow is None else out.to(narrow))


def _placed(
    offset: Tensor, kernel: Pair, dilation: Pair, groups: int, scale: float, remove_center: bool
) -> tuple[Tensor, Pair, Pair]:
    """The offsets in pixels from the taps of a kernel with a dilation, and these two.

    Without the middle the taps are those of a kernel of one row whose taps all lie on its first one.
    """
    (KH, KW), (dy, dx) = kernel, dilation
    half_y, half_x = dy * (KH - 1) // 2, dx * (KW - 1) // 2
    grid = [(u * dy - half_y, v * dx - half_x) for u in range(KH) for v in range(KW)]
    if remove_center:
        del grid[len(grid) // 2]
        moves = [(half_y + scale * y, half_x + scale * x) for y, x in grid]
        kernel, dilation = (1, len(grid)), (0, 0)
    else:
        moves = [((scale - 1) * y, (scale - 1) * x) for y, x in grid]
    added = torch.tensor(moves, dtype=offset.dtype, device=offset.device).repeat(groups, 1)
    return torch.add(added.view(-1, 1, 1), offset, alpha=scale), kernel, dilation


def _with_middle(map: Tensor, groups: int, channels: int) -> Tensor:
    """The map, with `channels` of zeros for the middle tap of each group."""
    before, behind = map.unflatten(1, (groups, 2, -1)).unbind(2)
    return torch.cat([F.pad(before, (0, 0, 0, 0, 0, channels)), behind], 2).flatten(1, 2)


class DeformableAggregation2d(
    Composite, shown="channels kernel_size stride dilation groups offset_scale remove_center softmax predictor_size"
):
    """`deform_aggregate2d` of offsets and masks that it predicts, between two 1×1 kernels.

    `[B, C, H, W]` → `[B, C, ⌈H/stride⌉, ⌈W/stride⌉]`. `conv_offset`, a 1×1 kernel, predicts the offsets and the masks
    of a position from its pixel, or from what a depthwise kernel makes of its neighbours. It starts at 0: all samples
    then lie on the grid, and masks are 1/K after a softmax, 0 without one. `DCNv3` and `DCNv4` are this layer with
    their authors' choices, but for the option `center_feature_scale`; `from_dcn_state` brings weights of theirs.

    `convnotes.measure.cost` counts the multiply-adds of the convolutions; the K products per output, sample by sample,
    come on top.

    Args:
        channels: C channels of input and output.
        kernel_size: sides of the grid of taps, odd; the padding keeps the size at stride 1.
        stride, dilation: as in `torch.nn.Conv2d`.
        groups: G groups of C/G neighbouring channels, each with offsets and masks of its own.
        offset_scale: by how much the grid and the offsets are spread around the middle tap.
        remove_center: whether the middle tap is left out.
        softmax: whether the masks of a group are a softmax over its taps; else they have no bounds.
        predictor_size: odd sides of the depthwise kernel before `conv_offset`; None: there is none.
        act_layer: makes the activation behind that kernel and a layer norm; None: there is neither.
        projections: whether there are 1×1 kernels before and after the aggregation.
        device, dtype: of the parameters.

    Raises:
        TypeError, ValueError: for a bad argument, and for an input whose shape, dtype or device does not fit.

    Example:
        >>> layer, x = DeformableAggregation2d(8, groups=2, projections=False), torch.rand(1, 8, 9, 5)
        >>> mean = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
        >>> torch.allclose(layer(x), mean, atol=1e-6)
        True
    """

    starts_at_zero = ("conv_offset",)  # parts that `initialise` leaves at 0

    def __init__(
        self,
        channels: int,
        kernel_size: IntOrPair = 3,
        stride: IntOrPair = 1,
        dilation: IntOrPair = 1,
        groups: int = 4,
        offset_scale: float = 1.0,
        remove_center: bool = False,
        softmax: bool = True,
        predictor_size: IntOrPair | None = 3,
        act_layer: ActLayer | None = nn.GELU,
        projections: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.positive(channels=channels)
        checks.divides("groups", groups, channels=channels)
        self.channels, self.groups, self.softmax, self.remove_center = channels, groups, softmax, remove_center
        self.kernel_size, self.offset_scale = (
            _odd("kernel_size", kernel_size),
            checks.number("offset_scale", offset_scale, "(-inf, inf)"),
        )
        self.stride, self.dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
        self.padding = (self.dilation[0] * (self.kernel_size[0] // 2), self.dilation[1] * (self.kernel_size[1] // 2))
        self.taps = tap_count(self.kernel_size, remove_center)
        checks.number("offset_scale", offset_scale, "(0, inf)")
        self.predictor_size = None if predictor_size is None else _odd("predictor_size", predictor_size)
        kw, at_once = Factory(device=device, dtype=dtype), self.stride
        self.depthwise: nn.Conv2d | None = None
        self.norm: nn.LayerNorm | None = None
        self.act: nn.Module | None = None
        if self.predictor_size is not None:
            half = (self.predictor_size[0] // 2, self.predictor_size[1] // 2)
            self.depthwise = DepthwiseConv2d(
                channels, channels, self.predictor_size, self.stride, half, groups=channels, **kw
            )
            at_once = (1, 1)
            if act_layer is not None:
                self.norm, self.act = nn.LayerNorm(channels, eps=1e-6, **kw), activation(act_layer)
        self.conv_offset = nn.Conv2d(channels, 3 * groups * self.taps, 1, at_once, **kw)
        self.value_proj = nn.Conv2d(channels, channels, 1, **kw) if projections else None
        self.output_proj = nn.Conv2d(channels, channels, 1, **kw) if projections else None
        self._start()

    def _start(self) -> None:
        for conv in (self.value_proj, self.output_proj):
            if conv is not None:
                nn.init.xavier_uniform_(conv.weight)
        nn.init.zeros_(self.conv_offset.weight)
        for conv in (self.value_proj, self.output_proj, self.conv_offset):
            if conv is not None and conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def predict(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The offset and the mask that `deform_aggregate2d` is given for this input `[B, C, H, W]`."""
        x = input if self.depthwise is None else self.depthwise(input)
        if self.norm is not None and self.act is not None:
            x = self.act(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        predicted, offsets = self.conv_offset(x), 2 * self.groups * self.taps
        mask = predicted[:, offsets:]
        if self.softmax:
            mask = mask.unflatten(1, (self.groups, self.taps)).softmax(2).flatten(1, 2)
        return predicted[:, :offsets], mask

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images(type(self).__name__, input, self.conv_offset.weight, self.channels, least=1)
        value = input if self.value_proj is None else self.value_proj(input)
        offset, mask = self.predict(input)
        y = deform_aggregate2d(
            *(value, offset, mask, self.kernel_size),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            offset_scale=self.offset_scale,
            remove_center=self.remove_center,
        )
        return y if self.output_proj is None else self.output_proj(y)


def _odd(name: str, value: IntOrPair) -> Pair:
    sides = pair(value, name, 1)
    if not sides[0] % 2 or not sides[1] % 2:
        raise ValueError(f"{name} must be odd, got {value!r}")
    return sides
