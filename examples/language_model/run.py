"""A small language model on a text file: python run.py"""

from pathlib import Path

import automl

Path("text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
Path("space.yaml").write_text("""study: words
model: transformer
data: text.txt
metric: val_loss
epochs: 1
space:
  width: 16
  depth: 1
  heads: 2
  context: 32
  lr: {float: [1e-3, 3e-2], log: true}
budget: {trials: 2}
finalists: none
""")
study = automl.search("space.yaml")
print(study.leaderboard())
