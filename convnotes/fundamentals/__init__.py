"""The source's opening considerations: size, number, stride, padding, initialisation, scales, transfer."""
