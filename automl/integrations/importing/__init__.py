"""Studies of other programs become studies of ours: Optuna's storages, W&B and Ax exports, tables."""
