"""Routes such as products/{category:alpha}/{id:int?} and {*rest}, as Azure has them."""

import os
import re

from . import event

_PARAMETER = re.compile(r"\{(\*{0,2})([^:?=}]+)((?::[^}?]+)*)(\??)(?:=[^}]*)?\}")


class Routes:
    """The route and the methods of an HTTP trigger. Azure serves routes below the
    prefix of host.json, api unless it says another; Hearth also at the function's own
    URL: both are understood."""

    def __init__(self, trigger, root):
        self.methods = {str(method).upper() for method in trigger.get("methods") or ()}
        self.wanted = [part for part in str(trigger.get("route") or "").split("/") if part]
        self.prefix = [part for part in _prefix(root).split("/") if part]

    def serves(self, method):
        return not self.methods or method in self.methods

    def parameters(self, path):
        """The route's parameters in a path, {} when it does not fit."""
        if not self.wanted:
            return {}
        from urllib.parse import unquote

        parts = [unquote(part) for part in path.split("/") if part]
        found = self._walk(parts)
        if found is None and self.prefix and parts[: len(self.prefix)] == self.prefix:
            found = self._walk(parts[len(self.prefix) :])
        return found or {}

    def _walk(self, parts):
        values = {}
        for position, want in enumerate(self.wanted):
            have = parts[position] if position < len(parts) else None
            found = _PARAMETER.fullmatch(want)
            if found is None:
                if have is None or have.lower() != want.lower():
                    return None
                continue
            rest, name, _, optional = found.groups()
            if rest:
                values[name] = "/".join(parts[position:])
                return values
            if have is None:
                if not optional:
                    return None
                continue
            values[name] = have
        return values if len(parts) <= len(self.wanted) else None


def _prefix(root):
    """host.json's extensions.http.routePrefix; http.routePrefix in its version 1."""
    try:
        with open(os.path.join(root, "host.json"), "rb") as source:
            said = event.parsed(source.read().removeprefix(b"\xef\xbb\xbf"), None)
    except OSError:
        said = None
    for keys in (("extensions", "http", "routePrefix"), ("http", "routePrefix")):
        value = said
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value
    return "api"
