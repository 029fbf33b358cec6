"""Ask and tell behind HTTP: trials run wherever clients are.

Start it with: uvicorn service:app. Then POST /ask gives a trial, and POST /tell/NUMBER?loss=0.3 takes its value.
A trial that is never told waits; the study is in a folder, so the service may be restarted.
"""

import threading
from typing import Any

from fastapi import FastAPI, HTTPException

import automl
from automl.errors import AutoMLError

study = automl.Study(
    {"price": automl.Float(1, 50), "layout": ["wide", "narrow"]}, metric="loss", trials=20, path="studies/service"
)
app, lock = FastAPI(), threading.Lock()


@app.post("/ask")
def ask() -> dict[str, Any]:
    with lock:
        trial = study.ask()
    if trial is None:
        raise HTTPException(410, "the budget is used up")
    return {"number": trial.number, "config": dict(trial.config)}


@app.post("/tell/{number}")
def tell(number: int, loss: float) -> dict[str, Any]:
    try:
        with lock:
            record = study.tell(number, loss=loss)
    except AutoMLError as error:
        raise HTTPException(422, str(error)) from None
    return {"number": record.number, "state": record.state}


@app.get("/best")
def best() -> dict[str, Any]:
    found = study.best
    return {} if found is None else {"number": found.number, "config": dict(found.config), "loss": found.loss}
