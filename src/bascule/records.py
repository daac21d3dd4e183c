"""The standard library's ``dataclass``, whose methods are made when they are first called.

``dataclasses`` writes and compiles up to eleven methods of each class while its module is imported, half a
millisecond a class: with a hundred classes a sixth of a short verb, for methods that are mostly never called. Here a
class gets its fields and slots from the standard library, and each method is compiled at its first call. What comes
out is a dataclass in all that a program can see of it; type checkers see the standard library's own.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, slots: bool, frozen: bool = False, kw_only: bool = False, order: bool = False) -> Any:
        """As ``dataclasses.dataclass``; slots are a must, for the fields of a frozen one are set through them."""

        def made(cls: type) -> type:
            if cls.__doc__ is None:  # else the standard library writes the signature there, which takes long
                cls.__doc__ = cls.__name__
            with_fields = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
            _give_methods(with_fields, frozen=frozen, order=order)
            return with_fields

        return made


def _give_methods(cls: type, *, frozen: bool, order: bool) -> None:
    """Give a class what it does not define itself; ``__repr__`` and what refuses are the same for all."""
    methods: dict[str, Any] = {"__repr__": _repr, "__hash__": None}
    if frozen:
        methods |= {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
        methods |= {"__getstate__": _state, "__setstate__": _restore}
        methods["__hash__"] = _at_first_call(cls, "__hash__", partial(_hash, cls))
    methods["__init__"] = _at_first_call(cls, "__init__", partial(_init, cls, frozen=frozen))
    for name, sign in {"__eq__": "=="}.items() | (_ORDER.items() if order else set()):
        methods[name] = _at_first_call(cls, name, partial(_comparison, cls, name, sign))
    own = {name for name, value in cls.__dict__.items() if value is not None}
    for name, method in methods.items():
        if name not in own:
            setattr(cls, name, method)


_ORDER = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


def _at_first_call(cls: type, name: str, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """A method that puts the real one in its own place."""

    def method(*args: Any, **kwargs: Any) -> Any:
        real = make()
        setattr(cls, name, real)
        return real(*args, **kwargs)

    return method


def _compiled(cls: type, name: str, parameters: str, body: list[str], known: dict[str, Any]) -> Callable[..., Any]:
    text = "\n ".join([f"def {name}({parameters}):", *body])
    exec(text, known)
    method: Callable[..., Any] = known[name]
    method.__qualname__, method.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
    return method


def _init(cls: type, *, frozen: bool) -> Callable[..., Any]:
    known: dict[str, Any] = {"_not_given": dataclasses.MISSING}
    positional, named, body = ["self"], list[str](), list[str]()
    for field in _fields(cls):
        name, value, default = field.name, field.name, ""
        if field.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = field.default_factory
            value, default = f"_make_{name}() if {name} is _not_given else {name}", "=_not_given"
        elif field.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = field.default
            default = f"=_default_{name}"
        if field.init:
            (named if field.kw_only else positional).append(name + default)
        elif default:
            value = f"_make_{name}()" if f"_make_{name}" in known else f"_default_{name}"
        else:
            continue
        if frozen:
            known[f"_set_{name}"] = getattr(cls, name).__set__  # the slot's own setter: ours refuses
        body.append(f"_set_{name}(self, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join([*positional, *(["*", *named] if named else [])])
    return _compiled(cls, "__init__", parameters, body or ["pass"], known)


def _comparison(cls: type, name: str, sign: str) -> Callable[..., Any]:
    names = [field.name for field in _fields(cls) if field.compare]
    same = f"return {_values('self', names)} {sign} {_values('other', names)}"
    body = ["if other.__class__ is self.__class__:", f" {same}", "return NotImplemented"]
    return _compiled(cls, name, "self, other", body, {})


def _hash(cls: type) -> Callable[..., Any]:
    names = [field.name for field in _fields(cls) if (field.compare if field.hash is None else field.hash)]
    return _compiled(cls, "__hash__", "self", [f"return hash({_values('self', names)})"], {})


def _values(instance: str, names: list[str]) -> str:
    return "(" + "".join(f"{instance}.{name}, " for name in names) + ")"


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"


def _refuse_set(self: Any, name: str, value: object) -> None:  # noqa: ARG001  # the language's signature
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: Any, name: str) -> None:  # noqa: ARG001  # the language's signature
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
