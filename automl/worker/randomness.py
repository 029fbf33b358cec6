"""The global random numbers of Python, numpy and torch: seeded for each trial, also where a trial imports them.

Importing a module never moves them: while a module is imported they begin at a seed of its name, and afterwards they
are where they were. So the first trial of a worker, which imports everything, draws what any later one would, and
numbers that a module draws at its top are the same in each worker.
"""

import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from automl.core import seeds

LIBRARIES = ("numpy", "torch")


def loaded(library: str) -> Any:
    """The library, if it is imported and complete; else None."""
    module = sys.modules.get(library)
    spec = module.__spec__ if module is not None else None
    return None if spec is None or getattr(spec, "_initializing", False) else module


def seed_all(seed: int) -> None:
    """Have all libraries that are loaded begin at `seed`."""
    random.seed(seed)
    for library in LIBRARIES:
        if loaded(library):
            _seed(library, seed)


def _seed(library: str, seed: int) -> None:
    module = sys.modules[library]
    if library == "numpy":
        module.random.seed(seed % 2**32)
    else:
        module.manual_seed(seed)


def positions() -> dict[str, Any]:
    """Where the random numbers of each loaded library are, as plain values and bytes."""
    version, numbers, gauss = random.getstate()
    found: dict[str, Any] = {"python": (version, b"".join(n.to_bytes(4, "big") for n in numbers), gauss)}
    if numpy := loaded("numpy"):
        found["numpy"] = numpy.random.get_state(legacy=False)
    if torch := loaded("torch"):
        found["torch"] = _bytes(torch.get_rng_state())
        if torch.cuda.is_initialized():
            found["cuda"] = _bytes(torch.cuda.get_rng_state())
    return found


def restore(before: dict[str, Any]) -> None:
    """Put the random numbers back to where `positions` found them; those of a library that is not loaded: later."""
    version, content, gauss = before["python"]
    numbers = tuple(int.from_bytes(content[k : k + 4], "big") for k in range(0, len(content), 4))
    random.setstate((version, numbers, gauss))
    for library in LIBRARIES:
        if library not in before:
            continue
        if loaded(library):
            _put_back(library, before)
        else:
            for finder in sys.meta_path:
                if isinstance(finder, _Imports):
                    finder.later[library] = before


def _put_back(library: str, before: dict[str, Any]) -> None:
    module = sys.modules[library]
    if library == "numpy":
        module.random.set_state(before["numpy"])
        return
    module.set_rng_state(_tensor(module, before["torch"]))
    if "cuda" in before and module.cuda.is_available():
        module.cuda.set_rng_state(_tensor(module, before["cuda"]))


def _bytes(tensor: Any) -> bytes:
    content: bytes = tensor.numpy().tobytes()
    return content


def _tensor(torch: Any, content: bytes) -> Any:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


class _Imports(MetaPathFinder):
    """Watches imports: finds modules as the other finders do, and surrounds their execution.

    In threads other than its own, only the libraries that have random numbers are surrounded.
    """

    def __init__(self, seed: int, around: Callable[[], Callable[[], None]]) -> None:
        self.seed, self.around = seed, around
        self.thread = threading.get_ident()
        self.depth = 0
        self.module_seed = 0
        self.later: dict[str, dict[str, Any]] = {}  # by library that is not loaded yet: where its numbers go on

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec, with a loader that calls `_surrounded`; None for modules that are left alone."""
        if name not in LIBRARIES and (self.depth or threading.get_ident() != self.thread):
            return None
        for finder in sys.meta_path:
            if finder is self or isinstance(finder, _Imports) or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._surround(spec)
                return spec
        return None

    def _surround(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        if loader is None or isinstance(loader, type) or not hasattr(loader, "exec_module"):
            return  # built in, or a folder: it draws no random numbers
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            own = threading.get_ident() == self.thread
            with self._unmoved(spec.name) if own else self._begun(spec.name):
                execute(module)
                vars(spec)["_initializing"] = False  # it is complete: `loaded` is to see it

        try:
            loader.exec_module = exec_module
        except AttributeError:  # a loader without attributes of its own
            return

    @contextmanager
    def _unmoved(self, name: str) -> Iterator[None]:
        """The random numbers after the block are those before it; a library that is new begins at the trial's seed."""
        outermost = self.depth == 0
        if outermost:
            before, done = positions(), self.around()
            self.module_seed = seeds.derive("import", name)
            seed_all(self.module_seed)
        self.depth += 1
        try:
            yield
            if name in LIBRARIES:
                _seed(name, self.module_seed)
        finally:
            self.depth -= 1
            if outermost:
                for library in LIBRARIES:
                    if library not in before and loaded(library):
                        self._begin(library)
                restore(before)
                done()

    @contextmanager
    def _begun(self, library: str) -> Iterator[None]:
        """The library, imported by another thread in the block, begins at the trial's seed."""
        yield
        self._begin(library)

    def _begin(self, library: str) -> None:
        _seed(library, self.seed)
        if library in self.later:
            _put_back(library, self.later.pop(library))


@contextmanager
def seeded(seed: int, around: Callable[[], Callable[[], None]] = lambda: lambda: None) -> Iterator[None]:
    """Random numbers begin at `seed` in the block, and go on after it where they were before.

    Args:
        seed: for Python, numpy and torch, also for those that are imported in the block.
        around: called before a module is imported; what it returns is called after it.
    """
    before = positions()
    imports = _Imports(seed, around)
    seed_all(seed)
    sys.meta_path.insert(0, imports)
    try:
        yield
    finally:
        if imports in sys.meta_path:
            sys.meta_path.remove(imports)
        restore(before)
