"""The MCP server: tools that read, and with `write` tools that start, stop and judge, within an allowance."""

import csv
import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.agents.allowance import Allowance
from automl.agents.commands import LONGEST_S, run
from automl.errors import EnvironmentProblem, SpecError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from automl.specfile import Spec

INSTRUCTIONS = """automl searches hyperparameters of PyTorch models. Write a space.yaml (`spaces` and `validate` help),
`plan` it, `start` it in the background, look at `status` and `top`, and `judge` whether a candidate is really better
than a baseline before you keep it: one run decides nothing. An error is a JSON document with a stable code."""


@dataclass(frozen=True)
class Tools:
    """The tools. Each docstring is what an agent reads.

    Args:
        root: the folder that specifications and tables lie in; nothing outside it is read or started.
        dir: the folder that holds the studies, below `root`.
        allowance: what searches and judgements may use together.
        code: whether specifications may name code: a command, a training function, a model or data of a module.
    """

    root: Path
    dir: Path
    allowance: Allowance
    code: bool = False

    def _run(
        self, command: str, *words: str, ok: tuple[int, ...] = (0,), limit_s: float = LONGEST_S, **options: Any
    ) -> dict[str, Any]:
        return run(command, *words, options=options, cwd=self.root, ok=ok, limit_s=limit_s)

    # -- tools that read -------------------------------------------------------------------------------------------

    def spaces(self, name: str | None = None) -> dict[str, Any]:
        """List the ready-made search spaces; with a name, its YAML, as an example of a specification."""
        return self._run("spaces", *([name] if name else []))

    def strategies(self) -> dict[str, Any]:
        """List the strategies and stoppers with their options."""
        return self._run("strategies")

    def validate(self, spec: str, set: list[str] | None = None) -> dict[str, Any]:
        """Check a space.yaml. Every mistake is reported with line and column. `set`: changes, KEY=VALUE each."""
        return self._run("validate", self._inside(spec), set=set)

    def plan(self, spec: str, set: list[str] | None = None) -> dict[str, Any]:
        """Say what a search would do: budget, size of the space, rows, weights, seconds of one batch."""
        self._allowed(spec, set)
        return self._run("search", self._inside(spec), dry_run=True, set=set)

    def data(self, source: str, target: str | None = None) -> dict[str, Any]:
        """Say how a table (or a specification's data) is understood: roles of columns, baselines, warnings."""
        if (self.root / source).suffix in (".yaml", ".yml", ""):
            self._allowed(source, None)
        return self._run("data", self._inside(source), target=target, dir=self.dir)

    def status(self, study: str) -> dict[str, Any]:
        """Say whether a search runs, how far it is, and what is best so far."""
        return self._run("status", self._study(study), dir=self.dir)

    def top(
        self, study: str, rows: int = 20, where: list[str] | None = None, sort: str | None = None
    ) -> dict[str, Any]:
        """The leaderboard. `where`: conditions such as "lr<1e-3"; `sort`: a column, with - before it: descending."""
        return self._run("top", self._study(study), rows=rows, where=where, sort=sort, dir=self.dir)

    def show(self, study: str, trial: int) -> dict[str, Any]:
        """One trial: config, curve, metrics, and why it ended."""
        return self._run("show", self._study(study), str(trial), dir=self.dir)

    def compare(self, studies: list[str]) -> dict[str, Any]:
        """Compare studies at the same number of epochs."""
        return self._run("compare", *map(self._study, studies), dir=self.dir)

    def predict(
        self, study: str, rows: list[dict[str, str | float | bool | None]], proba: bool = False
    ) -> dict[str, Any]:
        """Predict rows, {column: value} each, with the winner of a study. `proba`: probabilities of classes too."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.csv"
            with file.open("w", newline="", encoding="utf-8") as out:
                writer = csv.DictWriter(out, names)
                writer.writeheader()
                writer.writerows(rows)
            return self._run("predict", self._study(study), str(file), proba=proba, dir=self.dir)

    def allowance_left(self) -> dict[str, Any]:
        """How many runs and seconds are left for searches and judgements."""
        return {"schema": 1, "left": asdict(self.allowance.left())}

    # -- tools that write ------------------------------------------------------------------------------------------

    def start(
        self, spec: str, trials: int, time_s: float, name: str | None = None, set: list[str] | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Begin a search in the background; `trials`, its finalists' runs and `time_s` count for the allowance."""
        read = self._allowed(spec, set)
        if own := [one for one in set or () if one.strip().startswith("budget")]:
            raise SpecError(f"set: {own[0]}: the budget is what trials and time_s say")
        if trials < 1 or time_s < 1:
            raise SpecError("trials and time_s: at least 1")
        finals = read.finalists["top"] * read.finalists["seeds"] if read.finalists else 0
        self.allowance.grant(trials + finals, time_s)
        return self._run(
            "start", self._inside(spec), trials=trials, time=f"{time_s:g}s", name=name, set=set, seed=seed, dir=self.dir
        )

    def stop(self, study: str) -> dict[str, Any]:
        """Stop a search that runs; what it has is saved."""
        return self._run("stop", self._study(study), dir=self.dir)

    def edit(
        self, study: str, stop: list[int] | None = None, pin: list[int] | None = None, pause: bool = False,
        resume: bool = False, narrow: list[str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Change a search that runs: end trials, keep some from being ended, pause, narrow a range (lr=1e-4..1e-2)."""
        return self._run(
            "edit", self._study(study), stop=stop, pin=pin, pause=pause, resume=resume, narrow=narrow, dir=self.dir
        )

    def judge(
        self, baseline: str, candidate: str, study: str | None = None, seeds: int = 8, campaign: str = "agent",
        time_s: float = 600,
    ) -> dict[str, Any]:  # fmt: skip
        """Is the candidate better? Two space.yaml of one config each, or with `study` the numbers of two of its trials.

        Takes 2 * seeds runs and `time_s` seconds from the allowance, and ends after `time_s` seconds. "better" is
        true, false, or null (the seeds do not decide it). Look at "adjusted_p" when you have compared many.
        """
        if study is None:
            for spec in (baseline, candidate):
                self._allowed(spec, None)
            words = [self._inside(baseline), self._inside(candidate)]
        else:
            words = [self._study(study), baseline, candidate]
        if not 3 <= seeds <= 16 or time_s < 1:
            raise SpecError("seeds: from 3 to 16; time_s: at least 1")
        self.allowance.grant(2 * seeds, time_s)
        return self._run("judge", *words, seeds=seeds, campaign=campaign, dir=self.dir, ok=(0, 1, 6), limit_s=time_s)

    # -- limits ----------------------------------------------------------------------------------------------------

    def _inside(self, name: str) -> str:
        """The name of a file below the root, or of a ready-made space.

        Raises:
            SpecError: it is outside.
        """
        if not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            raise SpecError(f"{name!r} is outside {self.root}, the folder that this server works in")
        return name

    def _study(self, name: str) -> str:
        if name != Path(name).name or name in ("", ".", ".."):
            raise SpecError(f"{name!r} is not the name of a study, a folder in {self.dir}")
        return name

    def _allowed(self, spec: str, changes: list[str] | None) -> "Spec":
        """The specification, if it may be started here.

        Raises:
            SpecError: it names code, another machine, or data outside the root.
        """
        from automl import specfile

        sets = dict(one.partition("=")[::2] for one in changes or ())
        file = self._inside(spec)
        path = self.root / file
        read = specfile.read(path if path.is_file() else file, overrides=sets, gpus=lambda: 10**6)
        named = [key for key, value in (("train", read.train), ("command", read.command)) if value]
        named += [key for key, value in (("model", read.model), ("data", read.data)) if ":" in (value or "")]
        if named and not self.code:
            raise SpecError(f"{spec}: names code ({', '.join(named)}); the person who started this server allows that "
                            "with --code")  # fmt: skip
        if (read.executor or {}).get("name", "local") not in ("local", "inline"):
            raise SpecError(f"{spec}: executor: only local and inline are allowed here")
        if read.data and ":" not in read.data and (read.folder / read.data).exists():
            self._inside(str((read.folder / read.data).resolve()))
        return read


READ = ("spaces", "strategies", "validate", "plan", "data", "status", "top", "show", "compare", "predict",
        "allowance_left")  # fmt: skip
WRITE = ("start", "stop", "edit", "judge")


def server(tools: Tools, *, write: bool) -> "MCPServer[Any]":
    """The server with the tools that read, and with `write` those that write.

    Raises:
        EnvironmentProblem: the extra `mcp` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise EnvironmentProblem("automl mcp needs the extra `mcp`: pip install 'automl-search[mcp]'") from error
    from automl.version import __version__

    made: MCPServer[Any] = MCPServer("automl", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    for name in (*READ, *(WRITE if write else ())):
        hints = ToolAnnotations(read_only_hint=name in READ, destructive_hint=False, open_world_hint=False)
        made.add_tool(_in_thread(getattr(tools, name)), name=name, annotations=hints)
    return made


def _in_thread(tool: Callable[..., Mapping[str, Any]]) -> Callable[..., Any]:
    """The tool as a coroutine that leaves the server free while its command runs; the result is one JSON document."""
    import functools
    import json

    import anyio
    from mcp.types import CallToolResult, TextContent

    from automl.agents.commands import CommandFailed
    from automl.errors import AutoMLError

    @functools.wraps(tool)
    async def call(**arguments: Any) -> CallToolResult:
        try:
            made = dict(await anyio.to_thread.run_sync(partial(tool, **arguments)))
        except CommandFailed as error:
            made = json.loads(str(error))
        except AutoMLError as error:
            refusal = {"code": "refused", "message": str(error), "exit_code": error.exit_code}
            made = {"schema": 1, "ok": False, "error": refusal}
        text = json.dumps(made, ensure_ascii=False)
        failed = "error" in made or made.get("ok") is False
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)

    call.__annotations__["return"] = CallToolResult
    call.__signature__ = inspect.signature(tool).replace(return_annotation=CallToolResult)  # type: ignore[attr-defined]
    return call
