"""Classes of the user's own whose values may be in a state: dataclasses, named tuples and enumerations.

Reading a state imports nothing. A class is found among the modules that are loaded, or among those that the training
function refers to (a function of a script travels to the workers with its classes, which are in no module there).
"""

import dataclasses
import enum
import sys
import types
from collections.abc import Mapping
from typing import Any

Classes = Mapping[tuple[str, str], type]
"""Classes by (module, qualified name)."""
NO_CLASSES: Classes = {}
DEPTH = 4  # functions that refer to functions that refer to ...


def is_record(kind: type) -> bool:
    """Whether values of this class consist of named fields alone: a dataclass, named tuple or enumeration."""
    if issubclass(kind, enum.Enum) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return True
    return dataclasses.is_dataclass(kind) and not issubclass(
        kind, dict | list | tuple | set | str | bytes | int | float
    )


def find(module: str, name: str, classes: Classes) -> type | None:
    """The class of that name, if it is loaded and one whose values may be in a state."""
    found: Any = classes.get((module, name))
    if found is None and "<locals>" not in name:
        found = sys.modules.get(module)
        for part in name.split("."):
            found = vars(found).get(part) if isinstance(found, types.ModuleType | type) else None
    return found if isinstance(found, type) and is_record(found) else None


def referred_to_by(function: Any) -> Classes:
    """The classes that a training function, and the functions it calls by name, may make values of."""
    classes: dict[tuple[str, str], type] = {}
    seen: set[int] = set()

    def look(value: Any, depth: int) -> None:
        if isinstance(value, type):
            if is_record(value):
                classes[value.__module__, value.__qualname__] = value
        elif isinstance(value, types.FunctionType) and depth and id(value) not in seen:
            seen.add(id(value))
            for cell in value.__closure__ or ():
                try:
                    look(cell.cell_contents, depth - 1)
                except ValueError:  # the cell is still empty
                    continue
            for name in _names(value.__code__):
                look(value.__globals__.get(name), depth - 1)

    look(getattr(function, "func", function), DEPTH)
    return classes


def _names(code: types.CodeType) -> set[str]:
    """The names that code uses, that of functions inside it too."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))
