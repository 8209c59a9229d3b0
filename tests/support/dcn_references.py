"""The arithmetic of the authors' DCNv3 and DCNv4, written down once more, in their layouts and for tests only.

`dcnv3` follows the plain PyTorch by which they test: shares of a padded image, `grid_sample`, the paddings the other
way round. `dcnv4` follows the kernel for CUDA: pixels, four corners that are looked up, all in one tensor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def dcnv3(
    input: Tensor, offset: Tensor, mask: Tensor, kernel, stride, padding, dilation, groups, scale, remove_center=False
) -> Tensor:
    """`[B, H, W, C]`, `[B, h, w, G·K·2]` and `[B, h, w, G·K]` → `[B, h, w, C]`."""
    (KH, KW), (sy, sx), (dy, dx) = kernel, stride, dilation
    pad_h, pad_w = padding
    padded = F.pad(input, (0, 0, pad_h, pad_h, pad_w, pad_w))  # the columns by pad_h
    H, W = padded.shape[1:3]
    h, w = offset.shape[1:3]
    kind = dict(dtype=input.dtype)
    middle_y, middle_x = (dy * (KH - 1)) // 2, (dx * (KW - 1)) // 2
    centre_y = (middle_y + 0.5 + sy * torch.arange(h, **kind)).view(1, h, 1, 1, 1) / H
    centre_x = (middle_x + 0.5 + sx * torch.arange(w, **kind)).view(1, 1, w, 1, 1) / W
    columns = (dx * torch.arange(KW, **kind) - middle_x).repeat_interleave(KH)  # the column is the slow index
    rows = (dy * torch.arange(KH, **kind) - middle_y).repeat(KW)
    if remove_center:
        kept = [n for n in range(KH * KW) if n != (KH * KW - 1) // 2]
        columns, rows = columns[kept], rows[kept]
    moves = offset.unflatten(3, (groups, -1, 2))  # [B, h, w, G, K, (x, y)]
    x = centre_x + columns / W * scale + moves[..., 0] * scale / W
    y = centre_y + rows / H * scale + moves[..., 1] * scale / H
    strength, sums = mask.unflatten(3, (groups, -1)), []
    for g, image in enumerate(padded.permute(0, 3, 1, 2).chunk(groups, 1)):
        grid = 2 * torch.stack([x[:, :, :, g], y[:, :, :, g]], -1).flatten(1, 2) - 1  # [B, h·w, K, 2]
        samples = F.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)
        sums.append((samples * strength[:, :, :, g].flatten(1, 2).unsqueeze(1)).sum(3).unflatten(2, (h, w)))
    return torch.cat(sums, 1).permute(0, 2, 3, 1)


def dcnv4(
    input: Tensor, offset_mask: Tensor, kernel, stride, padding, dilation, groups, scale, remove_center=False
) -> Tensor:
    """`[B, H, W, C]` and `[B, h, w, 8·⌈3·G·K/8⌉]` → `[B, h, w, C]`."""
    (KH, KW), (sy, sx), (dy, dx), (pad_h, pad_w) = kernel, stride, dilation, padding
    B, H, W, C = input.shape
    h, w = offset_mask.shape[1:3]
    K = KH * KW - int(remove_center)
    half_w, half_h = (dx * (KW - 1)) >> 1, (dy * (KH - 1)) >> 1
    start_w = half_w - pad_w + torch.arange(w, dtype=input.dtype).view(1, w) * sx - half_w * scale
    start_h = half_h - pad_h + torch.arange(h, dtype=input.dtype).view(h, 1) * sy - half_h * scale
    images, sums = torch.arange(B).view(B, 1, 1), []
    for g in range(groups):
        own, value, total = offset_mask[..., 3 * K * g :], input[..., g * C // groups : (g + 1) * C // groups], 0
        at, k = 0, 2 * K
        for i in range(KW):
            for j in range(KH):
                if remove_center and i == KW // 2 and j == KH // 2:
                    continue
                w_im = start_w + (i * dx + own[..., at]) * scale
                h_im = start_h + (j * dy + own[..., at + 1]) * scale
                low_w, low_h = w_im.detach().floor(), h_im.detach().floor()
                lw, lh = w_im - low_w, h_im - low_h
                sample = 0
                for m, part in ((0, 1 - lh), (1, lh)):
                    for n, share in ((0, 1 - lw), (1, lw)):
                        row, column = (low_h + m).long(), (low_w + n).long()
                        there = (row >= 0) & (row < H) & (column >= 0) & (column < W)
                        pixel = value[images, row.clamp(0, H - 1), column.clamp(0, W - 1)]
                        sample = sample + (part * share * there).unsqueeze(-1) * pixel
                total = total + own[..., k].unsqueeze(-1) * sample
                at, k = at + 2, k + 1
        sums.append(total)
    return torch.cat(sums, 3)


def packed(offset: Tensor, mask: Tensor, groups: int) -> Tensor:
    """DCNv3's two tensors as DCNv4's one: the offsets, then the masks of each group, and numbers of no use."""
    own = [offset.unflatten(3, (groups, -1)), mask.unflatten(3, (groups, -1))]
    together = torch.cat(own, 4).flatten(3)
    return torch.cat([together, torch.full_like(together[..., : -together.shape[3] % 8], 7.0)], 3)
