"""The quantised adder on the CPU, compiled by numba: eight channels per word of 64 bits (`loops`)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from convnotes.kernels.adder.in_numba import parted, tap_places
from convnotes.kernels.adder.operator import Contraction
from convnotes.kernels.cpu.jobs import run
from convnotes.kernels.quantized_adder import loops


def scores(
    input: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, zero_point: Tensor, contraction: Contraction
) -> Tensor:
    """The scores of `operator`, of float32 images."""
    result = contraction.empty(input, weight)
    if result.numel() == 0:
        return result
    B, (O, C, KH, KW), (H, W) = input.shape[0], weight.shape, result.shape[2:]
    _, _, stride, (top, _, left, _), dilation, G, _ = contraction
    parts, places = tap_places((KH, KW), stride, dilation, (top, left))
    source = parted(input, stride, parts)  # [B, G·C, parts, rows, columns]
    above, before = (-min(0, *(place[axis] for place in places)) for axis in (1, 2))
    rows = H + above + max(place[1] for place in places)
    needed = -(-W // loops.LANES) * loops.LANES + before + max(place[2] for place in places)
    pitch = -(-needed // loops.STEP) * loops.STEP
    M = -(-C // loops.CHANNELS)
    images = loops.Images(C, M, len(parts), source.shape[3], source.shape[4], above, before, rows, pitch)
    plane = len(parts) * rows * pitch
    words = torch.empty(B * G * M * plane, dtype=torch.int64)
    grid = torch.stack((scale, zero_point.to(scale.dtype)))
    threads = torch.get_num_threads()
    run(loops.pack, torch.float32, B * G * M, threads, source, words, grid, images)
    offsets = _offsets(places, M, plane, rows * pitch, pitch, above, before)
    sizes = loops.Sums(B, G, O // G, M * KH * KW, H, W, M * plane, pitch)
    total = result if result.is_contiguous() else torch.empty_like(result, memory_format=torch.contiguous_format)
    jobs = G * -(-B * H * -(-W // loops.LANES) // loops.VECTORS)
    added = F.pad(bias.view(G, -1), (0, -(O // G) % loops.ROWS))
    given = (words, offsets, _packed(weight, G), added, grid, total)
    run(loops.sum_words, torch.float32, jobs, threads, *given, sizes)
    return result if total is result else result.copy_(total)


@functools.lru_cache(1024)
def _offsets(
    places: tuple[tuple[int, int, int], ...], M: int, plane: int, part: int, pitch: int, above: int, before: int
) -> Tensor:
    """Where the words that a kernel sees lie, from the one at its position on: M times all taps."""
    one = torch.tensor([n * part + (y + above) * pitch + x + before for n, y, x in places])
    return (torch.arange(M)[:, None] * plane + one).flatten()


def _packed(weight: Tensor, groups: int) -> Tensor:
    """Bytes `[O, C, KH, KW]` as words `[G, blocks, M·T, ROWS]`, zeros for channels and outputs that are not there."""
    O, C = weight.shape[:2]
    bytes = F.pad(weight.flatten(2), (0, 0, 0, -C % loops.CHANNELS)).unflatten(1, (-1, loops.CHANNELS))
    words = bytes.transpose(2, 3).reshape(-1).view(torch.int64).view(groups, O // groups, -1)  # [G, N, M·T]
    words = F.pad(words, (0, 0, 0, -(O // groups) % loops.ROWS)).unflatten(1, (-1, loops.ROWS))
    return words.transpose(2, 3).contiguous()
