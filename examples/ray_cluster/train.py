"""Trials on a Ray cluster: python train.py [HOST:PORT] (needs the extra `ray`; without an address, Ray starts here)"""

import sys

import automl


def train(trial: automl.Trial) -> None:
    for step in trial.steps(5):
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)


if __name__ == "__main__":
    executor = {"name": "ray", **({"address": sys.argv[1]} if len(sys.argv) > 1 else {})}
    study = automl.search(
        train, space={"x": automl.Float(0, 1)}, metric="loss", trials=4, workers=1, executor=executor, finalists=None
    )
    print(study.leaderboard())
