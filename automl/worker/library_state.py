"""The parts of libraries that a trial may change, see `process_state`. A library is not imported for it."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """One thing that a trial may change: its name, how it is read, how it is set back.

    Attributes:
        library: it exists where this library is loaded; empty: always.
    """

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], object]
    library: str = ""


def _module(name: str) -> Any:
    return sys.modules[name]


def _np() -> Any:
    return _module("numpy")


def _torch() -> Any:
    return _module("torch")


def _attributes(library: str, names: str, module: str = "") -> Part:
    """A part that is some attributes of a module."""
    listed = names.split()

    def get() -> tuple[Any, ...]:
        return tuple(getattr(_module(module or library), name) for name in listed)

    def put(values: tuple[Any, ...]) -> None:
        for name, value in zip(listed, values, strict=True):
            setattr(_module(module or library), name, value)

    return Part(f"{module or library}.{listed[0]}", get, put, library)


def _decimal() -> tuple[Any, ...]:
    context = _module("decimal").getcontext()
    return (
        context.prec,
        context.rounding,
        context.Emin,
        context.Emax,
        context.capitals,
        context.clamp,
        dict(context.traps),
    )


def _set_decimal(value: tuple[Any, ...]) -> None:
    context = _module("decimal").getcontext()
    context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps = value
    for signal, trapped in traps.items():
        context.traps[signal] = trapped


def _set_torch_device(value: Any) -> None:
    _torch().set_default_device(None if str(value) == "cpu" else value)


def _determinism() -> tuple[bool, bool]:
    torch = _torch()
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _autocast() -> tuple[tuple[str, bool, Any], ...]:
    torch = _torch()
    return tuple((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda"))


def _set_autocast(value: tuple[tuple[str, bool, Any], ...]) -> None:
    for kind, enabled, dtype in value:
        _torch().set_autocast_enabled(kind, enabled)
        _torch().set_autocast_dtype(kind, dtype)


def _anomalies() -> tuple[bool, bool]:
    return _torch().is_anomaly_enabled(), _torch().is_anomaly_check_nan_enabled()


HOOKS = (
    "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks",
    "_global_module_registration_hooks", "_global_parameter_registration_hooks", "_global_buffer_registration_hooks",
)  # fmt: skip


def _module_hooks() -> list[dict[Any, Any]]:
    found = vars(_torch().nn.modules.module)
    return [dict(found[name]) for name in HOOKS if name in found]


def _set_module_hooks(value: list[dict[Any, Any]]) -> None:
    found = vars(_torch().nn.modules.module)
    for name, hooks in zip([name for name in HOOKS if name in found], value, strict=True):
        found[name].clear()
        found[name].update(hooks)


def _denormals() -> bool:
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def _group() -> bool:
    distributed = _torch().distributed
    return bool(distributed.is_available() and distributed.is_initialized())


def _set_group(running: bool) -> None:
    if not running:
        _torch().distributed.destroy_process_group()


def _gpu() -> int:
    cuda = _torch().cuda
    return int(cuda.current_device()) if cuda.is_initialized() else 0


def _torch_printing() -> dict[str, Any]:
    return dict(vars(_torch()._tensor_str.PRINT_OPTS))


def _sharing() -> str:
    strategy: str = _torch().multiprocessing.get_sharing_strategy()
    return strategy


def _interop() -> int:
    threads: int = _torch().get_num_interop_threads()
    return threads


SDP = ("flash_sdp", "math_sdp", "mem_efficient_sdp", "cudnn_sdp")


def _attention() -> dict[str, bool]:
    """Which programs for attention are allowed."""
    cuda = _torch().backends.cuda
    return {name: getattr(cuda, f"{name}_enabled")() for name in SDP if hasattr(cuda, f"{name}_enabled")}


def _set_attention(value: dict[str, bool]) -> None:
    for name, allowed in value.items():
        getattr(_torch().backends.cuda, f"enable_{name}")(allowed)


def _dialects() -> tuple[int, dict[str, Any]]:
    module = _module("csv")
    return module.field_size_limit(), {name: module.get_dialect(name) for name in module.list_dialects()}


def _set_dialects(value: tuple[int, dict[str, Any]]) -> None:
    module = _module("csv")
    module.field_size_limit(value[0])
    for name in module.list_dialects():
        module.unregister_dialect(name)
    for name, dialect in value[1].items():
        module.register_dialect(name, dialect)


def _pandas() -> dict[str, Any]:
    names = _module("pandas._config.config")._registered_options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some options are about to go
        return {name: _module("pandas").get_option(name) for name in names}


def _set_pandas(value: dict[str, Any]) -> None:
    now = _pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in now.keys() & value.keys():
            if now[name] != value[name]:
                _module("pandas").set_option(name, value[name])


def _figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot.get_fignums() if pyplot else []


def _set_figures(value: list[int]) -> None:
    pyplot = _module("matplotlib.pyplot")
    for number in set(pyplot.get_fignums()) - set(value):
        pyplot.close(number)


def _drawing() -> dict[str, Any]:
    return {name: value for name, value in dict.items(_module("matplotlib").rcParams) if name != "backend"}


def _set_drawing(value: dict[str, Any]) -> None:
    dict.update(_module("matplotlib").rcParams, value)


LIBRARY_PARTS: tuple[Part, ...] = (
    Part("the decimal context", _decimal, _set_decimal, "decimal"),
    Part(
        "the socket timeout",
        lambda: _module("socket").getdefaulttimeout(),
        lambda value: _module("socket").setdefaulttimeout(value),
        "socket",
    ),
    Part(
        "the start method of multiprocessing",
        lambda: _module("multiprocessing").get_start_method(allow_none=True),
        lambda value: _module("multiprocessing").set_start_method(value, force=True),
        "multiprocessing",
    ),
    _attributes("tempfile", "tempdir"),
    Part("dialects of csv", _dialects, _set_dialects, "csv"),
    _attributes("PIL", "LOAD_TRUNCATED_IMAGES", "PIL.ImageFile"),
    _attributes("PIL", "MAX_IMAGE_PIXELS", "PIL.Image"),
    Part("numpy's error state", lambda: _np().geterr(), lambda value: _np().seterr(**value), "numpy"),
    Part("numpy's error call", lambda: _np().geterrcall(), lambda value: _np().seterrcall(value), "numpy"),
    Part("numpy's buffer size", lambda: _np().getbufsize(), lambda value: _np().setbufsize(value), "numpy"),
    Part(
        "numpy's print options",
        lambda: _np().get_printoptions(),
        lambda value: _np().set_printoptions(**value),
        "numpy",
    ),
    Part("inference mode", lambda: _torch().is_inference_mode_enabled(), lambda value: None, "torch"),
    Part("gradient mode", lambda: _torch().is_grad_enabled(), lambda v: _torch().set_grad_enabled(v), "torch"),
    Part("the default dtype", lambda: _torch().get_default_dtype(), lambda v: _torch().set_default_dtype(v), "torch"),
    Part("the default device", lambda: _torch().get_default_device(), _set_torch_device, "torch"),
    Part("torch's threads", lambda: _torch().get_num_threads(), lambda v: _torch().set_num_threads(v), "torch"),
    Part("torch's anomaly mode", _anomalies, lambda v: _torch().autograd.set_detect_anomaly(*v), "torch"),
    Part(
        "deterministic algorithms",
        _determinism,
        lambda value: _torch().use_deterministic_algorithms(value[0], warn_only=value[1]),
        "torch",
    ),
    Part(
        "the precision of matrix products",
        lambda: _torch().get_float32_matmul_precision(),
        lambda value: _torch().set_float32_matmul_precision(value),
        "torch",
    ),
    Part("autocast", _autocast, _set_autocast, "torch"),
    Part("flushing of denormal numbers", _denormals, lambda v: _torch().set_flush_denormal(v), "torch"),
    Part("torch's warnings", lambda: _torch().is_warn_always_enabled(), lambda v: _torch().set_warn_always(v), "torch"),
    Part("torch's print options", _torch_printing, lambda v: _torch().set_printoptions(**v), "torch"),
    Part("threads between operations", _interop, lambda v: _torch().set_num_interop_threads(v), "torch"),
    Part("how tensors are shared", _sharing, lambda v: _torch().multiprocessing.set_sharing_strategy(v), "torch"),
    Part("programs for attention", _attention, _set_attention, "torch"),
    _attributes("torch", "enabled benchmark deterministic", "torch.backends.cudnn"),
    _attributes("torch", "enabled", "torch.backends.mkldnn"),
    _attributes("torch", "engine", "torch.backends.quantized"),
    Part("hooks of all modules", _module_hooks, _set_module_hooks, "torch"),
    Part("the process group", _group, _set_group, "torch"),
    Part("the GPU", _gpu, lambda value: _torch().cuda.set_device(value), "torch"),
    Part("options of pandas", _pandas, _set_pandas, "pandas"),
    Part("figures", _figures, _set_figures, "matplotlib"),
    Part("matplotlib's settings", _drawing, _set_drawing, "matplotlib"),
    Part(
        "scikit-learn's settings",
        lambda: _module("sklearn").get_config(),
        lambda value: _module("sklearn").set_config(**value),
        "sklearn",
    ),
)
