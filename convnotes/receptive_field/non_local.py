"""Non-local operation: every pixel looks at every other pixel, weighted by how alike the two are::

    y[b,:,i] = Σ_j f(q_i, k_j) · g[b,:,j]      i a pixel of the query map, j one of the N pixels of the key map

    "gaussian", "embedded"   f = exp(scale · q_i·k_j) / Σ_j exp(scale · q_i·k_j)
    "dot"                    f = q_i·k_j / N
    "concat"                 f = ReLU(w · [q_i, k_j]) / N

No tensor grows with the square of the number of pixels: softmax uses fused attention (`kernels.attention`), the dot
product uses (q k) g = q (k g), and the concatenation uses sorting (see `_concat`).
Wang, Girshick, Gupta & He, "Non-local neural networks", CVPR 2018, arXiv:1711.07971 ·
chapter receptive_field/non_local.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnotes import checks
from convnotes.fundamentals.layer import Composite
from convnotes.geometry import Factory, IntOrPair, pair
from convnotes.kernels.attention.operator import attention
from convnotes.kernels.transforms import channels_last, one_image, one_node

Mode = Literal["gaussian", "embedded", "dot", "concat"]
Pool = Literal["before", "after"]
_MODES = get_args(Mode)


@one_node
@one_image("query", "key", "value")
def non_local2d(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mode: Mode = "gaussian",
    *,
    scale: float | None = None,
    relation: Tensor | None = None,
) -> Tensor:
    """Relate every pixel of a query map to every pixel of a key map, and average a value map by it → `[B, C, H, W]`.

    All modes take O(N) memory for N key pixels; "dot" takes O(N) time, "concat" O(N log N), the softmax modes O(N²).
    The softmax modes return channels last, the others where `query` has channels last. Second derivatives, batched
    gradients and transformations of `torch.func` compute the softmax modes with all pairs. Wang et al. 2018, section
    3.2.

    Args:
        query: `[B, D, H, W]`; this and the next two may all be without a batch.
        key: `[B, D, H_k, W_k]`.
        value: `[B, C, H_k, W_k]`.
        mode: f of the equation above. "gaussian" and "embedded" are the same function here; they differ in what
            `NonLocal2d` passes to it.
        scale: factor of q·k before the softmax; None is 1, the paper's equation. Only for the softmax modes.
        relation: w `[2·D]` of "concat", its first half for the query. Only for "concat", which needs it.

    Raises:
        TypeError, ValueError: for an unknown mode, a scale or relation that the mode does not have, and for maps whose
            shapes, dtypes or devices do not fit each other.

    Example:
        >>> query, key, value = torch.rand(1, 4, 5, 5), torch.rand(1, 4, 3, 3), torch.ones(1, 2, 3, 3)
        >>> y = non_local2d(query, key, value)
        >>> y.shape, torch.allclose(y, torch.ones(1, 2, 5, 5))
        (torch.Size([1, 2, 5, 5]), True)
    """
    _check(query, key, value, mode, scale, relation)
    q, k, g = query.flatten(2), key.flatten(2), value.flatten(2)  # [B, D, pixels], [B, D, N], [B, C, N]
    last = channels_last(query)
    if mode == "dot":
        y = _dot(q, k, g, last)
    elif relation is not None:  # mode "concat"
        y = _concat(q, k, g, relation)
    else:
        q, k = q.to(g.dtype), k.to(g.dtype)
        y = attention(q, k, g, 1.0 if scale is None else float(scale)).transpose(1, 2)
    if last:
        y = y.transpose(1, 2).contiguous().transpose(1, 2)
    return y.unflatten(2, query.shape[2:])


def _dot(q: Tensor, k: Tensor, g: Tensor, last: bool) -> Tensor:
    """g (kᵀ q) / N from either end, whichever takes fewer multiply-adds: g kᵀ is `[C, D]`, kᵀ q all pairs.

    With channels last it is the transpose of (qᵀ k) gᵀ / N, whose factors and result lie as the maps do.
    """
    (D, places), (C, N) = q.shape[1:], g.shape[1:]
    scale = 1 / torch.as_tensor(N).double() if torch.jit.is_tracing() else 1 / N  # that of a trace is a tensor
    few_pairs = bool(places * N * (D + C) < (places + N) * D * C)  # then they are fewer than the numbers in q and g
    if not last:
        return _chain(g, k.transpose(1, 2), q, scale, last_first=few_pairs)
    return _chain(q.transpose(1, 2), k, g.transpose(1, 2), scale, last_first=not few_pairs).transpose(1, 2)


def _chain(a: Tensor, b: Tensor, c: Tensor, scale: Any, last_first: bool) -> Tensor:
    return a @ _product(b, c, scale) if last_first else _product(a, b, scale) @ c


def _product(a: Tensor, b: Tensor, scale: Any) -> Tensor:
    """scale · a b, scaled before it is rounded: in half precision a sum over all pixels overflows."""
    return torch.baddbmm(a.new_zeros(()), a, b, beta=0, alpha=scale)


def _concat(q: Tensor, k: Tensor, g: Tensor, relation: Tensor) -> Tensor:
    """Σ_j ReLU(a_i + b_j) · g_j / N without the pairs, where w · [q_i, k_j] = a_i + b_j.

    Sort the keys by falling b. Then the keys with b_j > −a_i, those that pixel i sees, are the first m_i, and ::

        Σ_j ReLU(a_i + b_j) · g_j = a_i · S0[m_i] + S1[m_i],     S0[m] = Σ_{j<m} g_j,   S1[m] = Σ_{j<m} b_j · g_j

    so that two running sums serve every pixel. They are taken in float64, because in float32 they lose digits as they
    grow. Of all this torch counts the products with w as multiply-adds, and nothing else.
    """
    exact = torch.float32 if g.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    least = torch.promote_types(g.dtype, torch.float32)
    N, C = k.shape[2], g.shape[1]
    w = relation.to(least).view(2, 1, -1)  # the query's half and the key's
    a, b = ((half @ t.to(least)).to(exact) for half, t in zip(w, (q, k), strict=True))  # [B, 1, pixels], [B, 1, N]
    rising, order = (-b).sort(2)
    captured = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if captured and torch.onnx.is_in_onnx_export():  # ONNX has no search
        m = (rising.unsqueeze(2) < a.unsqueeze(3)).sum(3)
    else:
        m = torch.searchsorted(rising, a)  # how many −b lie below a: [B, 1, pixels]

    factors = F.pad(torch.cat([torch.ones_like(b), -rising], 1) / N, (1, 0))  # [B, 2, 1 + N], 0 for m = 0
    nothing = 0 * (g.detach().sum(2, keepdim=True, dtype=exact) + b.detach().sum(2, keepdim=True))  # or 0 · NaN = NaN
    falling = (g + nothing).gather(2, F.pad(order, (1, 0)).expand(-1, C, -1))  # [B, C, 1 + N]
    sums = (factors[:, :, None] * falling[:, None]).cumsum(3)  # S0 / N and S1 / N: [B, 2, C, 1 + N]
    S0, S1 = sums.gather(3, m[:, :, None].expand(-1, 2, C, -1)).unbind(1)  # [B, C, pixels]
    return torch.addcmul(S1, a, S0).to(g.dtype)


class NonLocal2d(Composite):
    """The non-local block: z = W y + x, `[B, C, H, W]` → the same shape, and at the start z = x.

    y is `non_local2d` of three 1×1 convolutions of x: `theta` for the query, `phi` for the key and `g` for the value.
    In mode "gaussian" query and key are x itself. W is the 1×1 convolution `out`. Wang et al. 2018, sections 3.3 and
    4.1.

    Published code differs in `scale` and `pool`, and weights trained with one are wrong with another: the authors' code
    multiplies by inner_channels^−½ and pools before `phi` and `g`; timm multiplies by channels^−½; several ports do not
    scale, and pool after `phi` and `g`, as in figure 2 of the paper.

    Args:
        channels: C channels of the input.
        inner_channels: channels of `theta`, `phi` and `g`; None is half of `channels`.
        mode: as in `non_local2d`.
        subsample: s, one number or (vertical, horizontal): keys and values are pooled by their maximum over windows of
            s×s pixels, which leaves s² times fewer keys. Rows and columns that fill no window are left out.
        scale: as in `non_local2d`.
        norm: True puts a batch norm after W, whose γ starts at 0; with False, W starts at 0.
        device, dtype: of the parameters.
        pool: "before" pools x, before `phi` and `g`; "after" pools what they give, for s² times their multiply-adds.

    Raises:
        TypeError, ValueError: for a bad argument, for an image smaller than a pooling window, and for an input whose
            shape, dtype or device does not fit.

    Example:
        >>> x = torch.rand(2, 8, 6, 6)
        >>> bool((NonLocal2d(8, subsample=2)(x) == x).all())
        True
    """

    def __init__(
        self,
        channels: int,
        inner_channels: int | None = None,
        mode: Mode = "embedded",
        subsample: IntOrPair = 1,
        scale: float | None = None,
        norm: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        pool: Pool = "before",
    ) -> None:
        checks.flags(norm=norm)
        super().__init__()
        checks.positive(channels=channels)
        inner_channels = inner_channels if inner_channels is not None else max(1, channels // 2)
        checks.positive(inner_channels=inner_channels)
        _check_mode(mode, scale)
        self.channels, self.inner_channels, self.mode, self.scale = channels, inner_channels, mode, scale
        self.subsample, self.pool = pair(subsample, "subsample", 1), checks.one_of("pool", pool, get_args(Pool))
        kw = Factory(device=device, dtype=dtype)
        if mode != "gaussian":
            self.theta, self.phi = (nn.Conv2d(channels, inner_channels, 1, **kw) for _ in range(2))
        self.g = nn.Conv2d(channels, inner_channels, 1, **kw)
        self.out = nn.Conv2d(inner_channels, channels, 1, bias=not norm, **kw)
        self.norm = nn.BatchNorm2d(channels, **kw) if norm else nn.Identity()
        self.relation = nn.Parameter(torch.empty(2 * inner_channels, **kw)) if mode == "concat" else None
        self._start()

    @property
    def starts_at_zero(self) -> tuple[str]:
        """The part that `initialise` leaves at 0, so that the block starts as the identity."""
        return ("norm",) if isinstance(self.norm, nn.BatchNorm2d) else ("out",)

    def _start(self) -> None:
        for name in self.starts_at_zero:
            for parameter in getattr(self, name).parameters():
                nn.init.zeros_(parameter)
        if self.relation is not None:
            bound = self.relation.numel() ** -0.5  # as a torch.nn.Linear to one number draws its weight
            nn.init.uniform_(self.relation, -bound, bound)

    @one_image("input")
    def forward(self, input: Tensor) -> Tensor:
        checks.images("NonLocal2d", input, self.g.weight, self.channels, least=self.subsample)
        source = self._pooled(input) if self.pool == "before" else input
        query, key = (input, source) if self.mode == "gaussian" else (self.theta(input), self.phi(source))
        value = self.g(source)
        if self.pool == "after":
            key, value = self._pooled(key), self._pooled(value)
        y = non_local2d(query, key, value, self.mode, scale=self.scale, relation=self.relation)
        return input + self.norm(self.out(y))

    def _pooled(self, map: Tensor) -> Tensor:
        return map if self.subsample == (1, 1) else F.max_pool2d(map, self.subsample)

    def reach(self) -> tuple[tuple[float, float, int], tuple[float, float, int]]:
        """Every pixel sees the whole image, however large: for `convnotes.measure.receptive_field`."""
        return (math.inf, math.inf, 1), (math.inf, math.inf, 1)

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, inner_channels={self.inner_channels}, mode={self.mode!r}, subsample={self.subsample}, "
            f"scale={self.scale}, norm={isinstance(self.norm, nn.BatchNorm2d)}"
            + ("" if self.pool == "before" else f", pool={self.pool!r}")
        )


def _check_mode(mode: str, scale: float | None) -> None:
    checks.one_of("mode", mode, _MODES)
    if scale is None:
        return
    if mode not in ("gaussian", "embedded"):
        raise ValueError(f'scale belongs to the softmax of "gaussian" and "embedded", got scale={scale} for {mode!r}')
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise TypeError(f"scale must be a number or None, got {type(scale).__name__}")
    checks.number("scale", scale, "(-inf, inf)")


def _check(query: Tensor, key: Tensor, value: Tensor, mode: str, scale: float | None, relation: Tensor | None) -> None:
    _check_mode(mode, scale)
    maps = {"query": query, "key": key, "value": value}
    given = maps if relation is None else {**maps, "relation": relation}
    for name, tensor in given.items():
        checks.instance(f"{name} of non_local2d", tensor, Tensor, "a tensor")
        checks.dense(f"{name} of non_local2d", tensor)
    dtypes = {tensor.dtype for tensor in given.values()}
    needed = None
    if any(tensor.dim() != 4 for tensor in maps.values()):
        needed = "maps [B, D, H, W], [B, D, H_k, W_k] and [B, C, H_k, W_k]"
    elif not query.shape[0] == key.shape[0] == value.shape[0]:
        needed = "one batch in all maps"
    elif query.shape[1] != key.shape[1]:
        needed = "as many channels in key as in query"
    elif key.shape[2:] != value.shape[2:]:
        needed = "the same height and width in key and value"
    elif any(size < 1 for size in (query.shape[1], *value.shape[1:])):
        needed = "at least one key and one channel in each map"
    elif (relation is None) == (mode == "concat"):
        needed = f'relation in mode "concat" and in no other, here {mode!r}'
    elif relation is not None and (relation.dim() != 1 or relation.shape[0] != 2 * query.shape[1]):
        needed = f"relation [{2 * query.shape[1]}], twice the channels of query"
    elif len({tensor.device for tensor in given.values()}) > 1:
        needed = "all tensors on one device"
    elif not query.is_floating_point() or (len(dtypes) > 1 and not torch.is_autocast_enabled(query.device.type)):
        needed = "all tensors of one floating dtype"
    if needed is not None:
        got = ", ".join(f"{name} {tuple(t.shape)} of {t.dtype} on {t.device}" for name, t in given.items())
        raise ValueError(f"non_local2d needs {needed}, got {got}")
