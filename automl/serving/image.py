"""A folder that a small container image is built from: a saved model, this package as it is here, and its server.

DIR/  Dockerfile         a slim Python, the packages that serving needs, a user without rights, a health check
      requirements.txt   those packages in the versions that are installed here
      package/automl/    the code that has checked the model
      model/             the bundle
      README.md          how to build and run it
"""

import re
import shutil
from importlib import metadata
from pathlib import Path

from automl.bundle import files as bundle_files
from automl.bundle.loading import load
from automl.core import files
from automl.errors import EnvironmentProblem

NEEDED = (
    *("torch", "numpy", "pandas", "pyarrow", "scipy", "safetensors", "pydantic", "PyYAML", "typer", "rich", "psutil"),
    *("fastapi", "uvicorn", "httptools", "uvloop", "orjson", "prometheus-client"),
)
"""Distributions that loading and serving a model need; what these need follows."""
ONNX = ("onnxruntime",)
"""For models that are ONNX networks."""
PYTHON = "3.12"
DOCKERFILE = """\
FROM python:{python}-slim

# The CPU build of PyTorch is much smaller: give the index that its installation page names for CPUs.
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app/package OMP_NUM_THREADS=1
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir ${{TORCH_INDEX:+--index-url "$TORCH_INDEX"}} {torch} \\
 && pip install --no-cache-dir -r requirements.txt

RUN useradd --system --uid 10001 --no-create-home automl \\
 && mkdir /state && chown automl /state
COPY package/ package/
COPY model/ model/

USER automl
VOLUME /state
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \\
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]

ENTRYPOINT ["python", "-c", "from automl.cli import main; main()", "serve", "--state", "/state"]
CMD ["{name}=model", "--host", "0.0.0.0"]
"""
README = """\
# {name} as a container

Build (with PyTorch's CPU build, if you give its package index, which its installation page names):

    docker build -t {name} --build-arg TORCH_INDEX=... .

Make a key once (it is shown once; the volume keeps its hash), then serve:

    docker run --rm -v {name}-state:/state {name} --new-key
    docker run -d -p 8000:8000 -v {name}-state:/state {name}

Ask:

    curl -sS localhost:8000/v1/models -H 'Authorization: Bearer KEY'

The server runs as a user without rights (uid 10001) and writes to /state only: `--read-only --tmpfs /tmp` may be added
to `docker run`. Options of `automl serve` follow the image's name, after `{name}=model --host 0.0.0.0`.
"""


def write(bundle: Path, folder: Path, name: str) -> list[str]:
    """Write the folder; the model is loaded before, so that what is copied is known to answer.

    Args:
        bundle: a study (its winner) or a saved model.
        folder: where; it must be empty, or not there.
        name: of the model, as clients call it.

    Returns:
        The packages of `requirements.txt`.

    Raises:
        BundleError: there is no model, or it is damaged.
        EnvironmentProblem: the folder has something in it, or a package is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise EnvironmentProblem(f"{folder} has something in it already; name an empty folder")
    load(bundle)
    source = bundle_files.find(bundle)
    wanted = (*NEEDED, *(ONNX if any(source.rglob(bundle_files.NETWORK)) else ()))
    pins = [f"{one}=={version(one)}" for one in wanted]
    name = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-") or "model"
    files.empty(folder)
    files.copy(source, folder / "model")
    code = Path(__file__).resolve().parents[1]
    shutil.copytree(code, folder / "package" / code.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n")
    (folder / "Dockerfile").write_text(DOCKERFILE.format(python=PYTHON, torch=pins[0], name=name))
    (folder / "README.md").write_text(README.format(name=name))
    (folder / ".dockerignore").write_text("README.md\n**/__pycache__\n")
    return pins


def version(distribution: str) -> str:
    """The installed version of a distribution, without what marks a build (`2.9.0+cpu` -> `2.9.0`).

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError as error:
        extra = "onnx" if distribution in ONNX else "serve"
        raise EnvironmentProblem(f"{distribution} is not installed: pip install 'automl-search[{extra}]'") from error
