"""What all kinds of clusters are told: nodes, their size, the search; and the token that guards them."""

import os
import re
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from automl.errors import EnvironmentProblem, SpecError
from automl.specfile import grammar
from automl.study.paths import LEDGER

TOKEN = "~/.ray/auth_token"  # where Ray looks for a token by itself
TOKEN_BYTES = 32
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?")


@dataclass(frozen=True)
class Plan:
    """A cluster and the search that runs on it.

    Args:
        name: of the cluster and of its study: small letters, digits and dashes.
        nodes: machines, with the head, which trains too.
        cpus, gpus: of each node.
        spec: the specification to search; empty: only the cluster is started.
        shared: the folder that all nodes see; studies are kept in its folder `studies`.
        setup: shell lines that each node runs first, such as `source /shared/venv/bin/activate`.
        port: of the head.

    Raises:
        SpecError: a value does not fit.
    """

    name: str = "automl"
    nodes: int = 2
    cpus: int = 4
    gpus: int = 0
    spec: str = ""
    shared: str = ""
    setup: tuple[str, ...] = ()
    port: int = 6379

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SpecError(f"--name takes small letters, digits and dashes, at most 50; got {self.name!r}")
        for name, value, least in (("nodes", self.nodes, 1), ("cpus", self.cpus, 1), ("gpus", self.gpus, 0)):
            if value < least:
                raise SpecError(f"--{name} must be {least} or more, got {value}")
        for what, text in (("--spec", self.spec), ("--shared", self.shared), *(("--setup", s) for s in self.setup)):
            if any(not sign.isprintable() for sign in text):
                raise SpecError(f"{what} must be one line without control characters, got {text!r}")
        if self.shared and not self.shared.startswith("/"):
            raise SpecError(f"--shared must be an absolute path, as all nodes see it; got {self.shared!r}")

    @property
    def studies(self) -> str:
        """The folder of studies."""
        return f"{self.shared.rstrip('/')}/studies" if self.shared else "studies"

    @property
    def ledger(self) -> str:
        """The file that is there once the search has begun."""
        return f"{self.studies}/{self.name}/{LEDGER}"

    @property
    def resume(self) -> str:
        """The shell command that goes on with the search, where its ledger is there."""
        return f"automl resume {self.name} --dir {shlex.quote(self.studies)}"

    @property
    def search(self) -> str:
        """The shell command that begins the search."""
        return (
            f"automl search {shlex.quote(self.spec)} --name {self.name} --dir {shlex.quote(self.studies)} "
            "--set executor.name=ray"
        )

    def resources(self) -> str:
        """The options of `ray start` that say what a node has."""
        return f"--num-cpus={self.cpus} --num-gpus={self.gpus}"


def seconds(duration: str) -> int:
    """Seconds of a time limit: with a unit (90s, 30m, 12h, 2d), or Slurm's own 1-12:00:00.

    Raises:
        SpecError: it is no length of time; or a number without a unit, which sbatch reads as minutes.
    """
    if duration.isdecimal():
        raise SpecError(f"--time needs a unit: {duration}m are minutes, as sbatch reads {duration}; {duration}h hours")
    if found := re.fullmatch(r"(?:(\d+)-)?(\d{1,2}):(\d\d):(\d\d)", duration):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        return int(grammar.seconds(duration))
    except ValueError:
        raise SpecError(f"--time takes 30m, 12h, 2d or D-HH:MM:SS, more than 0; got {duration!r}") from None


def token_file(path: str = TOKEN) -> Path:
    """The file with the cluster's token, which is made with mode 600 if it is not there.

    Args:
        path: where; it must be on a file system that knows owners and modes.

    Returns:
        its absolute path.

    Raises:
        EnvironmentProblem: others can read it, it is empty, or it cannot be written.
    """
    file = Path(path).expanduser().absolute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _checked(file)
    except OSError as error:
        raise EnvironmentProblem(f"the token cannot be written to {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secrets.token_hex(TOKEN_BYTES))
    return _checked(file)


def _checked(file: Path) -> Path:
    try:
        about, content = file.stat(), file.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise EnvironmentProblem(f"the token in {file} cannot be read: {error.strerror}") from error
    if about.st_mode & 0o077:
        raise EnvironmentProblem(f"others can read the token in {file}: chmod 600 {file}")
    if not content:
        raise EnvironmentProblem(f"the token in {file} is empty; delete the file, and another one is made")
    return file
