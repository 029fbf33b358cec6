"""A Hydra program whose sweep runs with early stopping, resuming and several jobs at once.

python train.py                                               one run, as ever
python train.py -m                                            the sweep of conf/config.yaml
python train.py -m hydra.sweep.dir=multirun/DATE/TIME         go on with one that was ended
"""

import hydra
import numpy as np
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import automl


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    x, y = load_digits(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x / 16, y, test_size=0.25, random_state=0)
    model = (
        MLPClassifier((cfg.model.width,), learning_rate_init=cfg.model.lr)
        if cfg.model.name == "mlp"
        else SGDClassifier(learning_rate="constant", eta0=cfg.model.lr)
    )
    accuracy = 0.0
    for _ in range(cfg.epochs):
        model.partial_fit(x_train, y_train, classes=np.arange(10))
        accuracy = float(model.score(x_val, y_val))
        automl.report(accuracy=accuracy)  # does nothing in a single run
    return accuracy


if __name__ == "__main__":
    main()
