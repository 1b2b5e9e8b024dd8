"""Finds the handler, or the words that tell why not."""

import os
import sys

from .failures import Failure, stack

_COROUTINE = 0x80  # code flag of async def


def load(name, root):
    """The handler of that name: module.function, pkg/module.function or
    pkg.module.function."""
    path, dot, function = name.rpartition(".")
    while path.startswith("./"):
        path = path[2:]
    if not dot or not path or not function or path.startswith("/") or ".." in path:
        raise Failure(
            "Runtime.MalformedHandlerName",
            "Bad handler '%s': it must have the form module.function, for instance app.handler "
            "for the function handler in app.py" % name,
        )
    return load_from(path.replace("/", "."), function, root)


def load_from(name, function, root):
    """The function of that name in a module."""
    module = imported(name, root)
    if not hasattr(module, function):
        raise Failure(
            "Runtime.HandlerNotFound",
            "Handler '%s' missing on module '%s'. %s" % (function, module.__name__, _functions(module)),
        )
    handler = getattr(module, function)
    if not callable(handler):
        raise Failure(
            "Runtime.HandlerNotFound",
            "Handler '%s' of module '%s' is of type %s, not a function. %s"
            % (function, module.__name__, type(handler).__name__, _functions(module)),
        )
    return handler


def imported(name, root):
    """The module of that name, as Python imports it."""
    try:
        __import__(name)
    except SyntaxError as error:
        raise _syntax(name, error) from None
    except ImportError as error:
        raise _missing(name, root, error) from error
    module = sys.modules[name]
    file = getattr(module, "__file__", None) or ""
    own = os.path.join(root, *name.split("."))
    if not file.startswith(root) and (os.path.exists(own + ".py") or not file):
        raise Failure(
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module %s as a handler module. Give the file another name" % name,
        )
    return module


def _syntax(name, error):
    where = '  File "%s" Line %s\n    %s' % (error.filename, error.lineno, (error.text or "").strip())
    return Failure("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s. Mend it and deploy again" % (name, error), [where])


def _missing(name, root, error):
    words = "Unable to import module '%s': %s" % (name, error)
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    if absent is not None and (name + ".").startswith(absent + "."):
        words += ". The archive holds no such module; " + _modules(root)
    elif absent is not None:
        words += (
            ". What a function imports must be in its archive, compiled for this machine: "
            "pip install --target . %s, and deploy again" % absent.partition(".")[0]
        )
    else:
        words += ". The module exists, but lacks what is imported from it, or is made for another Python or machine"
    return Failure("Runtime.ImportModuleError", words, stack(error.__traceback__))


def _modules(root):
    try:
        names = sorted(entry[:-3] for entry in os.listdir(root) if entry.endswith(".py"))
    except OSError:
        names = []
    if not names:
        return "there is no .py file at its top"
    return "at its top are: " + _some(names)


def _functions(module):
    names = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    )
    return "It defines: " + _some(names) if names else "It defines no function"


def _some(names):
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")


def is_async(handler):
    """Whether calling the handler gives a coroutine."""
    while not hasattr(handler, "__code__") and hasattr(handler, "func"):  # functools.partial
        handler = handler.func
    if hasattr(handler, "_is_coroutine_mark") or hasattr(handler, "_is_coroutine_marker"):
        return True
    code = getattr(handler, "__code__", None)
    if code is None:
        code = getattr(getattr(type(handler), "__call__", None), "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)
