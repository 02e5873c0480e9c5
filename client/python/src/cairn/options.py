"""Methods that hand their options on to a function: with its signature, for type checkers, help() and completion."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from cairn.client import Client

P = ParamSpec("P")
R = TypeVar("R")


def options_of(function: Callable[P, R]) -> Callable[[Callable[..., R]], Callable[Concatenate[Client, P], R]]:
    """For a method of a client that calls `function` with ``client=`` itself. (To type checkers `client` is among the options; at run
    time it is refused as given twice.)"""

    def decorate(method: Callable[..., R]) -> Callable[Concatenate[Client, P], R]:
        done: Callable[Concatenate[Client, P], R] = _with_signature(method, function)
        return done

    return decorate


def options_after_client(
    function: Callable[Concatenate[Client, P], R],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Client, P], R]]:
    """For a method of a client that calls `function` with itself first."""

    def decorate(method: Callable[..., R]) -> Callable[Concatenate[Client, P], R]:
        done: Callable[Concatenate[Client, P], R] = _with_signature(method, function)
        return done

    return decorate


def _with_signature(method: Callable[..., Any], function: Callable[..., Any]) -> Any:
    of_function = inspect.signature(function)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    taken = [parameter for name, parameter in of_function.parameters.items() if name != "client"]
    method.__signature__ = of_function.replace(parameters=[itself, *taken])  # type: ignore[attr-defined]
    return method
