"""A folder of images, one sub-folder for each class: python run.py (needs the extra `images`)"""

from pathlib import Path

import numpy as np
from PIL import Image

import automl

rng = np.random.default_rng(0)
for label in ("bars", "dots"):
    folder = Path("pictures") / label
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(60):
        pixels = rng.integers(0, 60, (16, 16), dtype=np.uint8)
        if label == "bars":
            pixels[:, int(rng.integers(16))] = 255
        else:
            pixels[2::5, 2::5] = 255
        Image.fromarray(pixels).save(folder / f"{k}.png")

Path("space.yaml").write_text("""study: pictures
model: convnet
data: pictures
metric: val_accuracy
epochs: 4
space:
  width: [8]
  lr: {float: [3e-3, 3e-2], log: true}
budget: {trials: 2}
finalists: none
""")
study = automl.search("space.yaml")
print(study.leaderboard())
print(automl.load(study.path).predict(np.asarray(Image.open("pictures/bars/0.png"))[None, None]))  # [B, 1, H, W]
