"""The command line: `automl search space.yaml`. Commands parse their options, call the library and print the result.

Exit codes: 0 finished with a winner; 1 finished without a winner, or `--fail-under` was missed; 2 a wrong option, spec,
name or data; 3 a ledger or bundle is damaged, locked or unknown; 4 all trials failed; 5 the machine lacks something;
6 `judge`: not decided; 130 Ctrl-C; 143 SIGTERM. Results go to stdout, progress and errors to stderr. With `--json`
stdout has one JSON document, also where the command fails: `{"schema": 1, "ok": false, "error": {"code": "spec_error",
"message": ..., "exit_code": 2}}`; codes are stable (`code_of`).
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["code_of", "describe_error", "main"]


def __getattr__(name: str) -> Any:
    if name in ("code_of", "describe_error"):
        from automl.cli import error_text

        return getattr(error_text, name)
    raise AttributeError(f"module 'automl.cli' has no attribute {name!r}")


def main(arguments: Sequence[str] | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
    """Run one command and exit with its code.

    An error of ours is printed as one message; with `--debug` (or $AUTOML_DEBUG) it is raised. Ctrl-C ends it without
    a traceback from the first moment on, also while the commands themselves are imported.

    Args:
        arguments: of the command line; None: those of the process.
        environ: environment variables.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in own or bool(environ.get("AUTOML_DEBUG"))
    words = [w for k, w in enumerate(words) if w != "--debug" or k >= len(own)]
    as_json = "--json" in own
    try:
        from automl.cli.app import app

        sys.exit(app(args=words, prog_name="automl", standalone_mode=not as_json) or 0)
    except KeyboardInterrupt:
        if debug:
            raise
        print("automl: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        from automl.cli.error_text import describe_error, error_document

        text, code = describe_error(error)
        print(text, file=sys.stderr)
        if as_json:
            print(json.dumps(error_document(error, code), ensure_ascii=False))
        sys.exit(code)
