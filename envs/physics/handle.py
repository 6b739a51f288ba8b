"""What a kernel works on, handed over once: a call then passes one number in place of some sixty arrays.

numba takes every array of an argument apart anew in every call, which cost more than a slot of one world does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core.typing.typeof import typeof, typeof_impl
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

ROOM = 1024  # bytes for each argument, more than the description of any array takes


class Handle:
    """Arguments of kernels, taken apart once; compiled code reads them with `held(handle)`.

    Args:
        arguments: Arrays, records, and tuples of them. They are kept as they are: what is written into them is seen.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self._memory = np.zeros(ROOM * _leaves(arguments), np.uint8)
        self.address = int(self._memory.ctypes.data)
        if not config.DISABLE_JIT:
            _put(self, arguments)


def _leaves(arguments: Any) -> int:
    return sum(map(_leaves, arguments)) if isinstance(arguments, tuple) else 1


class HandleType(types.Type):  # type: ignore[misc]
    """Of a handle of arguments of given types.

    Args:
        inner: The type of the tuple of arguments.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        super().__init__(name=f"Handle({inner})")


@typeof_impl.register(Handle)
def _type_of_handle(value: Handle, context: Any) -> HandleType:
    return HandleType(typeof(value.arguments))


@register_model(HandleType)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    """An address."""

    def __init__(self, manager: Any, kind: HandleType) -> None:
        super().__init__(manager, kind, ir.IntType(64))


@unbox(HandleType)
def _unbox_handle(kind: HandleType, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "address")
    native = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(native, is_error=c.pyapi.c_api_error())


@intrinsic
def _store(context: Any, handle: Any, arguments: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, value = values
        builder.store(value, builder.inttoptr(address, value.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(handle, arguments), generate


@njit(_nrt=False)
def _put(handle: Any, arguments: Any) -> None:
    _store(handle, arguments)


@intrinsic
def _load(context: Any, handle: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        return builder.load(builder.inttoptr(values[0], kind.as_pointer()))

    return handle.inner(handle), generate


def _arguments(handle: Handle) -> Any:
    return handle.arguments


held: Any = _arguments if config.DISABLE_JIT else _load
"""The arguments of a handle, within compiled code."""
