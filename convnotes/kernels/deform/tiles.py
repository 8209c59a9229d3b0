"""The Triton kernels behind `in_triton`, which says what each one does."""
# fmt: off

from __future__ import annotations

import triton
import triton.language as tl

from convnotes.kernels.gpu.launch import places_of, rows_of


@triton.jit
def _split(move, start, size, DERIVED: tl.constexpr):
    """A position on one axis as (whole pixel, fraction, whether it lies between −1 and `size`).

    At −1 exactly a sample reads no pixel, but it is DERIVED as a position further in.
    """
    move = tl.clamp(move, -3.4028234663852886e38, 3.4028234663852886e38, propagate_nan=tl.PropagateNan.ALL)
    whole = tl.floor(move)
    fraction, pixel = move - whole, whole + start.to(tl.float32)
    inside = (pixel >= -1) & (pixel < size)
    if not DERIVED:
        inside &= (pixel >= 0) | (fraction > 0)
    return pixel, fraction, inside


@triton.jit
def _locate(
    offset, mask, g, u, v, b, i, j, is_place, G, H, W, KH, KW, sy, sx, top, left, dy, dx,
    offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w, MASKED: tl.constexpr,
    DERIVED: tl.constexpr = False,
):
    """Where tap (u, v) of offset group g reads: first pixel (y, x), fractions down and right, inside?, strength."""
    k = u * KW + v
    at = b.to(tl.int64) * offset_b + i.to(tl.int64) * offset_h + j.to(tl.int64) * offset_w
    at += (g * KH * KW + k).to(tl.int64) * 2 * offset_c
    down = tl.load(offset + at, mask=is_place, other=0.0).to(tl.float32)
    right = tl.load(offset + at + offset_c, mask=is_place, other=0.0).to(tl.float32)
    y, below, inside_y = _split(down, i * sy - top + u * dy, H, DERIVED)
    x, beside, inside_x = _split(right, j * sx - left + v * dx, W, DERIVED)
    inside = is_place & inside_y & inside_x
    y, x = tl.where(inside, y, 0.0).to(tl.int32), tl.where(inside, x, 0.0).to(tl.int32)
    strength = tl.full(below.shape, 1.0, tl.float32)
    if MASKED:
        at = b.to(tl.int64) * mask_b + i.to(tl.int64) * mask_h + j.to(tl.int64) * mask_w
        at += (g * KH * KW + k).to(tl.int64) * mask_c
        strength = tl.load(mask + at, mask=is_place, other=0.0).to(tl.float32)
    return y, x, below, beside, inside, strength


@triton.jit
def _pixels(input, base, channel, y, x, inside, is_channel, H, W, input_h, input_w):
    """The four pixels from (y, x) on of each channel and position, 0 outside: `[STEP, PLACES]` each."""
    first = base + y.to(tl.int64) * input_h + x.to(tl.int64) * input_w
    top, bottom = inside & (y >= 0), inside & (y + 1 < H)
    left, right = x >= 0, x + 1 < W
    at = input + channel[:, None] + first[None, :]
    of = is_channel[:, None]
    a = tl.load(at, mask=of & (top & left)[None, :], other=0.0).to(tl.float32)
    b = tl.load(at + input_w, mask=of & (top & right)[None, :], other=0.0).to(tl.float32)
    c = tl.load(at + input_h, mask=of & (bottom & left)[None, :], other=0.0).to(tl.float32)
    d = tl.load(at + input_h + input_w, mask=of & (bottom & right)[None, :], other=0.0).to(tl.float32)
    return a, b, c, d


@triton.jit
def forward(
    input, offset, mask, weight, result,
    C, c, O, groups, G, run, H, W, KH, KW, h, w, places, sy, sx, top, left, dy, dx, row_tiles,
    input_b, input_c, input_h, input_w, offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w,
    result_b, result_c, result_h, result_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, STEP: tl.constexpr, MASKED: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):
    """One tile of outputs × positions; `weight` `[K, c, groups·O]`."""
    row, is_row, group, tile = rows_of(row_tiles, groups, O, ROWS)
    p, b, i, j = places_of(tile.to(tl.int64) * PLACES, h, w, PLACES, WIDE)
    is_place = p < places
    base = b.to(tl.int64) * input_b
    sums = tl.zeros([ROWS, PLACES], tl.float32)
    for u in range(KH):
        for v in range(KW):
            for start in range(0, c, run):
                g = (group * c + start) // (C // G)
                y, x, below, beside, inside, strength = _locate(
                    offset, mask, g, u, v, b, i, j, is_place, G, H, W, KH, KW, sy, sx, top, left, dy, dx,
                    offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w, MASKED,
                )
                above, below = (1 - below) * strength, below * strength
                for step in range(0, run, STEP):
                    m = step + tl.arange(0, STEP)
                    is_channel = m < run
                    channel = (start + m).to(tl.int64)
                    p00, p01, p10, p11 = _pixels(
                        input, base, (channel + group * c) * input_c, y, x, inside, is_channel, H, W, input_h, input_w
                    )
                    upper = p00 * (1 - beside)[None, :] + p01 * beside[None, :]
                    lower = p10 * (1 - beside)[None, :] + p11 * beside[None, :]
                    sample = upper * above[None, :] + lower * below[None, :]
                    at = ((u * KW + v) * c + channel)[None, :] * (O * groups) + row[:, None]
                    factor = tl.load(weight + at, mask=is_row[:, None] & is_channel[None, :], other=0.0)
                    sums = tl.dot(factor.to(FACTOR), sample.to(FACTOR), sums, input_precision=PRECISION)
    place = b.to(tl.int64) * result_b + i.to(tl.int64) * result_h + j.to(tl.int64) * result_w
    tl.store(result + row[:, None] * result_c + place[None, :], sums, mask=is_row[:, None] & is_place[None, :])


@triton.jit
def aggregate(
    input, offset, mask, result,
    C, c, O, groups, G, run, H, W, KH, KW, h, w, places, sy, sx, top, left, dy, dx, steps,
    input_b, input_c, input_h, input_w, offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w,
    result_b, result_c, result_h, result_w,
    PLACES: tl.constexpr, STEP: tl.constexpr, MASKED: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):
    """STEP channels of one offset group at PLACES positions: the sum of their samples, no weight and no columns."""
    program = tl.program_id(0)
    step, rest = program % steps, program // steps
    g, tile = rest % G, rest // G
    p, b, i, j = places_of(tile.to(tl.int64) * PLACES, h, w, PLACES, WIDE)
    is_place = p < places
    n = step * STEP + tl.arange(0, STEP)
    is_channel, channel = n < run, (g * run + n).to(tl.int64)
    base = b.to(tl.int64) * input_b
    sums = tl.zeros([STEP, PLACES], tl.float32)
    for u in range(KH):
        for v in range(KW):
            y, x, below, beside, inside, strength = _locate(
                offset, mask, g, u, v, b, i, j, is_place, G, H, W, KH, KW, sy, sx, top, left, dy, dx,
                offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w, MASKED,
            )
            above, below = (1 - below) * strength, below * strength
            p00, p01, p10, p11 = _pixels(
                input, base, channel * input_c, y, x, inside, is_channel, H, W, input_h, input_w
            )
            upper = p00 * (1 - beside)[None, :] + p01 * beside[None, :]
            lower = p10 * (1 - beside)[None, :] + p11 * beside[None, :]
            sums += upper * above[None, :] + lower * below[None, :]
    place = b.to(tl.int64) * result_b + i.to(tl.int64) * result_h + j.to(tl.int64) * result_w
    tl.store(result + channel[:, None] * result_c + place[None, :], sums, mask=is_channel[:, None] & is_place[None, :])


@triton.jit
def by_samples(
    grad, input, offset, mask, weight, by_offset, by_mask, total, columns, weights, index,
    C, c, O, groups, G, run, H, W, KH, KW, h, w, places, sy, sx, top, left, dy, dx,
    grad_b, grad_c, grad_h, grad_w,
    input_b, input_c, input_h, input_w, offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w,
    PLACES: tl.constexpr, OUTPUTS: tl.constexpr, COLLECTED: tl.constexpr, ATOMIC: tl.constexpr, SUMMED: tl.constexpr,
    STEP: tl.constexpr, MASKED: tl.constexpr, WIDE: tl.constexpr, FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):
    """One tap of one offset group at PLACES positions; `weight` `[K, groups·O, c]`, `total` `[B, C, H, W]`.

    Where samples were SUMMED without a weight, the gradient of an output is that of its samples.
    """
    program = tl.program_id(0)
    k, rest = program % (KH * KW), program // (KH * KW)
    g, tile = rest % G, rest // G
    u, v = k // KW, k % KW
    p, b, i, j = places_of(tile.to(tl.int64) * PLACES, h, w, PLACES, WIDE)
    is_place = p < places
    y, x, below, beside, inside, strength = _locate(
        offset, mask, g, u, v, b, i, j, is_place, G, H, W, KH, KW, sy, sx, top, left, dy, dx,
        offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w, MASKED, True,
    )
    above, left_part = 1 - below, 1 - beside
    base, sent = b.to(tl.int64) * input_b, b.to(tl.int64) * grad_b + i.to(tl.int64) * grad_h + j.to(tl.int64) * grad_w
    picture = b.to(tl.int64) * C * H * W + y.to(tl.int64) * W + x
    sample = (p.to(tl.int64) * KH * KW + k) * G + g  # its number, in [B, h, w, K, G]
    by_y, by_x, by_m = tl.zeros([PLACES], tl.float32), tl.zeros([PLACES], tl.float32), tl.zeros([PLACES], tl.float32)
    share = C // G
    for start in range(0, share, run):
        group = (g * share + start) // c
        for step in range(0, run, STEP):
            n = step + tl.arange(0, STEP)
            is_channel = n < run
            channel = (g * share + start + n).to(tl.int64)  # of the image
            if SUMMED:
                at = grad + channel[:, None] * grad_c + sent[None, :]
                q = tl.load(at, mask=is_channel[:, None] & is_place[None, :], other=0.0).to(tl.float32)
            else:
                q = tl.zeros([STEP, PLACES], tl.float32)
                for first in range(0, O, OUTPUTS):
                    o = first + tl.arange(0, OUTPUTS)
                    is_output, row = o < O, (group * O + o).to(tl.int64)
                    at = row[:, None] * grad_c + sent[None, :]
                    came = tl.load(grad + at, mask=is_output[:, None] & is_place[None, :], other=0.0)
                    at = (k.to(tl.int64) * (groups * O) + row)[None, :] * c + (channel - group * c)[:, None]
                    factor = tl.load(weight + at, mask=is_channel[:, None] & is_output[None, :], other=0.0)
                    q = tl.dot(factor.to(FACTOR), came.to(FACTOR), q, input_precision=PRECISION)
            p00, p01, p10, p11 = _pixels(
                input, base, channel * input_c, y, x, inside, is_channel, H, W, input_h, input_w
            )
            upper = p00 * left_part[None, :] + p01 * beside[None, :]
            lower = p10 * left_part[None, :] + p11 * beside[None, :]
            by_m += tl.sum(q * (upper * above[None, :] + lower * below[None, :]), 0)
            by_y += tl.sum(q * (lower - upper), 0)
            by_x += tl.sum(q * ((p01 - p00) * above[None, :] + (p11 - p10) * below[None, :]), 0)
            if COLLECTED:
                at = sample[None, :] * share + (start + n).to(tl.int64)[:, None]
                tl.store(columns + at, q, mask=is_channel[:, None] & is_place[None, :])
            if ATOMIC:
                q = q * strength[None, :]
                at = total + channel[:, None] * (H * W) + picture[None, :]
                up, down = inside & (y >= 0), inside & (y + 1 < H)
                of, is_left, is_right = is_channel[:, None], x >= 0, x + 1 < W
                corner = q * (above * left_part)[None, :]
                tl.atomic_add(at, corner, mask=of & (up & is_left)[None, :], sem="relaxed")
                corner = q * (above * beside)[None, :]
                tl.atomic_add(at + 1, corner, mask=of & (up & is_right)[None, :], sem="relaxed")
                corner = q * (below * left_part)[None, :]
                tl.atomic_add(at + W, corner, mask=of & (down & is_left)[None, :], sem="relaxed")
                corner = q * (below * beside)[None, :]
                tl.atomic_add(at + W + 1, corner, mask=of & (down & is_right)[None, :], sem="relaxed")
    at = ((b.to(tl.int64) * G + g) * KH * KW + k) * h * w + i * w + j
    if MASKED:
        tl.store(by_mask + at, by_m, mask=is_place)
    at += (b.to(tl.int64) * G + g) * KH * KW * h * w + k * h * w
    tl.store(by_offset + at, by_y * strength, mask=is_place)
    tl.store(by_offset + at + h * w, by_x * strength, mask=is_place)
    if COLLECTED:
        frame = (b.to(tl.int64) * (H + 2) + y + 1) * (W + 2) + x + 1
        outside = b.to(tl.int64) * (H + 2) * (W + 2) + W + 1  # the frame, from the end of a row to the next one
        row = tl.where(inside, frame, outside) * G + g
        at = sample * 4
        above, below = above * strength, below * strength
        tl.store(weights + at, above * left_part, mask=is_place)
        tl.store(weights + at + 1, above * beside, mask=is_place)
        tl.store(weights + at + 2, below * left_part, mask=is_place)
        tl.store(weights + at + 3, below * beside, mask=is_place)
        tl.store(index + at, row, mask=is_place)
        tl.store(index + at + 1, row + G, mask=is_place)
        tl.store(index + at + 2, row + (W + 2) * G, mask=is_place)
        tl.store(index + at + 3, row + (W + 3) * G, mask=is_place)


@triton.jit
def by_weight(
    grad, input, offset, mask, partial,
    C, c, O, groups, G, run, H, W, KH, KW, h, w, places, sy, sx, top, left, dy, dx, part, row_tiles, steps, tiles,
    grad_b, grad_c, grad_h, grad_w,
    input_b, input_c, input_h, input_w, offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w,
    ROWS: tl.constexpr, PLACES: tl.constexpr, STEP: tl.constexpr, MASKED: tl.constexpr, WIDE: tl.constexpr,
    FACTOR: tl.constexpr, PRECISION: tl.constexpr,
):
    """One tap of some outputs × channels of one run, summed over some positions; `partial` `[parts, O, c, K]`."""
    program = tl.program_id(0)
    tile, which = program % tiles, program // tiles
    block, rest = tile % row_tiles, tile // row_tiles
    k, rest = rest % (KH * KW), rest // (KH * KW)
    step, rest = rest % steps, rest // steps
    group, start = rest % groups, rest // groups * run
    u, v = k // KW, k % KW
    g = (group * c + start) // (C // G)
    n = block * ROWS + tl.arange(0, ROWS)
    is_output, row = n < O, (group * O + n).to(tl.int64)
    n = step * STEP + tl.arange(0, STEP)
    is_channel, channel = n < run, (start + n).to(tl.int64)
    sums = tl.zeros([ROWS, STEP], tl.float32)
    for first in range(0, part, PLACES):
        p, b, i, j = places_of(which.to(tl.int64) * part + first, h, w, PLACES, WIDE)
        is_place = p < places
        y, x, below, beside, inside, strength = _locate(
            offset, mask, g, u, v, b, i, j, is_place, G, H, W, KH, KW, sy, sx, top, left, dy, dx,
            offset_b, offset_c, offset_h, offset_w, mask_b, mask_c, mask_h, mask_w, MASKED,
        )
        above, below = (1 - below) * strength, below * strength
        p00, p01, p10, p11 = _pixels(
            input, b.to(tl.int64) * input_b, (channel + group * c) * input_c, y, x, inside, is_channel,
            H, W, input_h, input_w,
        )
        upper = p00 * (1 - beside)[None, :] + p01 * beside[None, :]
        lower = p10 * (1 - beside)[None, :] + p11 * beside[None, :]
        sample = upper * above[None, :] + lower * below[None, :]
        at = b.to(tl.int64) * grad_b + i.to(tl.int64) * grad_h + j.to(tl.int64) * grad_w
        came = tl.load(
            grad + row[:, None] * grad_c + at[None, :], mask=is_output[:, None] & is_place[None, :], other=0.0
        )
        sums = tl.dot(came.to(FACTOR), tl.trans(sample).to(FACTOR), sums, input_precision=PRECISION)
    at = (which.to(tl.int64) * (groups * O) + row)[:, None] * c + channel[None, :]
    tl.store(partial + at * (KH * KW) + k, sums, mask=is_output[:, None] & is_channel[None, :])
