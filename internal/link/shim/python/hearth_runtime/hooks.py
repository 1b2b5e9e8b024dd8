"""What is done to modules of the standard library when, and only if, the owner's code
imports them. Importing them beforehand would cost every cold start."""

import sys


class Hooks:
    """A finder that runs an action after a module has been loaded."""

    def __init__(self, actions):
        self.actions = {}
        for name, action in actions.items():
            if name in sys.modules:
                action(sys.modules[name])
            else:
                self.actions[name] = action
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name not in self.actions:
            return None
        action = self.actions.pop(name)
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, action)
                return spec
        return None


class _Loader:
    def __init__(self, loader, action):
        self.loader, self.action = loader, action

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        try:
            self.action(module)
        except AttributeError:
            pass  # not the standard library's: the owner has a module of that name


def share_trace_id(os, attribution):
    """With several invocations at once, the variable that carries the trace id has a
    value for each: the one of the invocation that asks."""
    name = "_X_AMZN_TRACE_ID"

    class Environ(type(os.environ)):
        def __getitem__(self, key):
            if key == name:
                invocation = attribution.current()
                if invocation is not None and invocation.trace_id:
                    return invocation.trace_id
            return super().__getitem__(key)

    os.environ.__class__ = Environ
