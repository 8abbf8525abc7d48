"""zsmld: tag images with any words.

    words ──labels──► label embeddings (L,E) ──┐
                                               ▼
    files ──images──► image tokens (B,T,C) ──► decoder ──► logits (B,L) ──► scores ──► evaluation or prediction
                                               ▲
                             training fits it on the seen labels only

The vocabulary is an argument of the model, never hidden state and never the shape of a parameter. Shape letters,
the same everywhere: B images, T image tokens, C backbone width, L labels, E label-embedding width, D decoder
width, H heads, F feed-forward width.
"""

from __future__ import annotations

__version__ = "0.1.0"
