"""Small saved models, and a server in this process that tests ask without a network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import torch

from automl.bundle import io
from automl.data import load
from automl.models import build
from automl.serving.app import Service
from automl.serving.server import Source, adopt
from automl.serving.settings import Settings

CONFIG = {"depth": 1, "width": 8, "norm": "none", "lr": 1e-2}


def flowers(rows: int = 400, shift: float = 0.0) -> pd.DataFrame:
    """A table with numbers, gaps, categories and a date; `shift` moves one of its columns."""
    rng = np.random.default_rng(1)
    size = rng.normal(5 + shift, 2, rows)
    frame = pd.DataFrame(
        {
            "size": size,
            "age": np.where(rng.random(rows) < 0.1, np.nan, rng.integers(1, 90, rows)),
            "colour": rng.choice(["red", "blue", "white"], rows, p=[0.5, 0.4, 0.1]),
            "day": (pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D")).astype(str),
            "constant": "x",
        }
    )
    frame["kind"] = np.where(size + (frame.colour == "red") > 5, "iris", "rose")
    return frame


def saved(folder: Path, data: Any, seed: int = 0, model: str = "mlp", **kwargs: Any) -> Path:
    """A saved model with random weights, made in milliseconds."""
    prepared = load(data, seed=1, **kwargs)
    torch.manual_seed(seed)
    module = build(model)(CONFIG, prepared.inputs, prepared.outputs)
    return io.save(folder, model=model, config=CONFIG, prepared=prepared, state_dict=module.state_dict(),
                   metrics={"val_loss": 0.5})  # fmt: skip


def service(state: Path, *bundles: tuple[str, Path], **settings: Any) -> Service:
    """The parts of a server for (name or name@version, bundle) pairs."""
    made = Settings(str(state), **{"drain_s": 0.0, **settings})
    sources = [Source(name.partition("@")[0], name.partition("@")[2] or None, path) for name, path in bundles]
    adopt(made, sources)
    return Service(made)


@contextlib.asynccontextmanager
async def client(made: Service, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server in this process, while the server lives."""
    async with made.life(made.app):
        transport = httpx.ASGITransport(made.gate, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", **options) as talking:
            yield talking


def ask(made: Service, talk: Callable[[httpx.AsyncClient], Awaitable[Any]], **options: Any) -> Any:
    """Run `talk` with a client, and give what it gives."""

    async def run() -> Any:
        async with client(made, **options) as talking:
            return await talk(talking)

    return asyncio.run(run())
