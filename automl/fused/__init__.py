"""Fused trials: many trials train as one batched model, each with its own hyperparameters, seed and schedule.

`engine.Engine` is the interface; it knows no studies, workers or spec files, and nothing here may import them.
"""
