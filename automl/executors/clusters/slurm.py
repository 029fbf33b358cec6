"""Slurm: one batch job with a Ray head and workers, which saves before its limit and puts itself back into the queue.

Slurm sends USR1 to the batch shell `WARNING_S` before the limit (`--signal=B:USR1@...`), and where the site has set
`PreemptParameters=send_user_signal`, also before it preempts. The shell passes it on to the search, which saves and
ends with 143, and calls `scontrol requeue`. A USR1 to one node's step drains that node alone.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl.errors import SpecError
from automl.executors.clusters.plan import Plan, seconds

WARNING_S = 120
ENDED_BY_SIGNAL = 143  # what a search ends with that was told to save
TOO_EARLY = 138  # what a search ends with that was told so before it had begun to listen
SCRIPT = """\
# Ray asks for the token in this file. It is never an argument, nor in this script.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={token} RAY_USAGE_STATS_ENABLED=0
umask 077
{setup}
set -u
search=
warned=
# A process that bash has just begun drops a signal until it runs its program: hence the second.
warn() {{
  warned=1
  if [ -n "$search" ]; then sleep 1; kill -USR1 "$search" 2>/dev/null || true; fi
}}
end() {{
  if [ -z "$search" ]; then exit {ended}; fi
  kill -TERM "$search" 2>/dev/null || true
}}
trap warn USR1
trap end TERM
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# The batch shell runs on the first node. Some sites name a host by a loopback address, which no other node reaches.
ip=$({{ hostname --ip-address; hostname -I; }} 2>/dev/null | tr ' ' '\\n')
ip=$(grep -v -e '^127\\.' -e : -e '^$' <<<"$ip" | head -n 1)
ip=${{ip:-127.0.0.1}}
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_ADDRESS="$ip:$port"

# What runs on each further node. USR1 to it (a node that is to be taken away) drains the node: no new trials, and those
# that run are saved and go elsewhere.
node=$(cat <<'NODE'
drain() {{
  python -m automl.executors.clusters.drain --seconds {warning} || true
}}
trap drain USR1
trap 'if [ -n "$ray" ]; then kill "$ray"; else exit 0; fi' TERM
ray=
ray start --address="$RAY_ADDRESS" {resources} --disable-usage-stats --block &
ray=$!
while kill -0 "$ray" 2>/dev/null; do wait "$ray" || true; done
NODE
)

ray start --head --node-ip-address="$ip" --port="$port" {resources} --include-dashboard=false \\
  --disable-usage-stats --block &
ray=$!
tries=0
until ray health-check --address "$RAY_ADDRESS" >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ] || ! kill -0 "$ray" 2>/dev/null; then echo "Ray's head did not start on $head" >&2; exit 5; fi
  sleep 1
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  others=$((SLURM_JOB_NUM_NODES - 1))
  srun --nodes="$others" --ntasks="$others" --ntasks-per-node=1 --exclude="$head" --no-kill --kill-on-bad-exit=0 \\
    bash -c "$node" &
  workers=$!
else
  workers=
fi

{search}
search=$!
if [ -n "$warned" ]; then warn; fi
status=0
while kill -0 "$search" 2>/dev/null; do
  status=0
  wait "$search" || status=$?
done
trap '' USR1 TERM
kill $workers "$ray" 2>/dev/null || true
if [ -n "$warned" ] && {{ [ "$status" -eq {ended} ] || [ "$status" -eq {early} ]; }}; then
  echo "saved before the limit; back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""

SEARCH = """\
if [ -e {ledger} ]; then
  {resume} &
else
  {search} &
fi"""

ONLY = 'tail --pid="$ray" -f /dev/null &'


@dataclass(frozen=True)
class Slurm:
    """What only Slurm is told.

    Args:
        time: the limit of one run of the job, such as 12h; it continues in the next one.
        partition, account: of the site; empty: its defaults.
        extra: further lines `#SBATCH ...`, without that word, such as `--constraint=a100`.
        log: where the job's output goes; `%j` is its number.
    """

    time: str = "12h"
    partition: str = ""
    account: str = ""
    extra: Sequence[str] = ()
    log: str = "automl-%j.log"


def script(plan: Plan, slurm: Slurm, token: Path) -> str:
    """The batch script.

    Raises:
        SpecError: a value does not fit on a line `#SBATCH`.
    """
    limit = seconds(slurm.time)
    if limit <= WARNING_S:
        raise SpecError(f"--time must be more than {WARNING_S} s, the time to save in; got {slurm.time}")
    hours, rest = divmod(limit, 3600)
    lines = {
        "job-name": plan.name, "nodes": plan.nodes, "ntasks-per-node": 1, "cpus-per-task": plan.cpus,
        "gpus-per-node": plan.gpus or "", "time": f"{hours}:{rest // 60:02}:{rest % 60:02}",
        "partition": slurm.partition, "account": slurm.account, "output": slurm.log,
        "signal": f"B:USR1@{WARNING_S}", "open-mode": "append",
    }  # fmt: skip
    head = [f"--{name}={_quoted(name, value)}" for name, value in lines.items() if value != ""]
    head += ["--requeue", "--no-kill", *(_line(extra) for extra in slurm.extra)]
    search = ONLY
    if plan.spec:
        search = SEARCH.format(ledger=shlex.quote(plan.ledger), resume=plan.resume, search=plan.search)
    body = SCRIPT.format(
        token=shlex.quote(str(token)), setup="\n".join(plan.setup), resources=plan.resources(), warning=WARNING_S,
        search=search, ended=ENDED_BY_SIGNAL, early=TOO_EARLY,
    )  # fmt: skip
    return "#!/bin/bash\n" + "".join(f"#SBATCH {line}\n" for line in head) + body


def _quoted(name: str, value: object) -> str:
    """A value on a line `#SBATCH`, where Slurm takes double quotes and nothing else."""
    text = str(value)
    if any(not sign.isprintable() or sign in "\"\\'" for sign in text):
        raise SpecError(f"--{name} must be without quotes, backslashes and line ends, got {text!r}")
    return f'"{text}"' if " " in text else text


def _line(extra: str) -> str:
    if not extra.startswith("-") or any(not sign.isprintable() for sign in extra):
        raise SpecError(f"--sbatch takes one option of sbatch, such as --sbatch=--constraint=a100; got {extra!r}")
    return extra
