"""The model card of a shared segmenter: what a stranger must know before using it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroduet.atomic import replacing
from neuroduet.sharing import Rights, cell, front_matter, quoted

TAGS = ("behaviour", "pose", "action-segmentation")

CARD = """---
{head}---

# {model}

A segmenter of behaviour (`{model}`) fitted with `neuroduet` {version}: it says of every
frame which of {count} classes the animal is in.

Classes: {classes}.

| setting | value |
| --- | --- |
| frames | {shape} |
| features | {features} |
| frames averaged into one | {pool} |
| frames that answers are averaged over | {smooth} |
| seed | {seed} |

## How to load

```python
from neuroduet.actions import Segmenter

segmenter = Segmenter.from_pretrained({source})
classes = segmenter.predict([recording])
```

A recording has the keypoints or features of the training data, in the same order and units.

## Limits

- It knows these classes and no others, and gives every frame one of them.
- Other cameras, frame rates, keypoints or species than those of its training data need a new fit.

## Cite

- Blau et al., *A study of animal action segmentation algorithms across supervised, unsupervised,
  and semi-supervised learning paradigms*, 2024, [arXiv:2407.16727](https://arxiv.org/abs/2407.16727)

Licence of the data: {data_licence}. Licence of the model: {licence}.
"""


def write_card(folder: Path, said: Mapping[str, Any], rights: Rights, source: str) -> None:
    """Write ``README.md`` beside a saved segmenter.

    Args:
        folder: Folder of the segmenter.
        said: Its description, as in ``segmenter.json``.
        rights: Licences and data sets.
        source: What to open it by.
    """
    layout = {
        1: "{} features",
        2: "{} keypoints of {} numbers",
        3: "{} animals of {} keypoints of {} numbers",
    }[len(said["shape"])]
    text = CARD.format(
        head=front_matter(rights, [*TAGS, said["model"]]),
        count=len(said["classes"]),
        classes=", ".join(cell(name) for name in said["classes"]),
        shape=layout.format(*said["shape"]),
        features=said["features"]["kind"],
        licence=cell(rights.licence or "not stated"),
        data_licence=cell(rights.data_licence or "not stated"),
        source=quoted(source),
        **{key: said[key] for key in ("model", "version", "pool", "smooth", "seed")},
    )
    with replacing(folder / "README.md") as path:
        path.write_text(text, encoding="utf-8")
