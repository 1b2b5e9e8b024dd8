"""Azure Functions: the v1 model (function.json and def main(req)) and the v2 model
(function_app.py with decorators). The package azure-functions runs as it is where the
archive brings it; else azure_functions.py stands in for it."""

import os
import sys

from .. import loader, payload
from ..failures import Failure
from . import Adapter, event
from .azure_route import Routes

_PACKAGE = "azure.functions"
_HTTP = [
    {"type": "httpTrigger", "direction": "in", "name": None},  # whatever the first parameter is called
    {"type": "http", "direction": "out", "name": "$return"},
]
_SCRIPTS = ("__init__.py", "main.py", "run.py")


def load(init):
    api = _provide()
    _set_level()
    described = _described(init)
    if described is not None:
        function, bindings, directory = *_described_function(init, *described), described[0]
    else:
        function, bindings = _registered_function(init)
        directory = ""
    return Azure(function, bindings, api, init, directory)


def _provide():
    """The package azure.functions: the archive's own, else the stand-in. azure itself
    is a namespace that other packages may live in."""
    from importlib import import_module
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    try:
        found = find_spec(_PACKAGE)
    except ModuleNotFoundError:  # no azure at all
        found = None
    if found is not None:
        return import_module(_PACKAGE)
    spec = spec_from_file_location(_PACKAGE, os.path.join(os.path.dirname(os.path.abspath(__file__)), "azure_functions.py"))
    module = sys.modules[_PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(module)
    parent = sys.modules.get("azure")
    if parent is None:
        try:
            parent = import_module("azure")
        except ModuleNotFoundError:
            parent = sys.modules["azure"] = type(sys)("azure")
            parent.__path__ = []
    parent.functions = module
    return module


def _set_level():
    """Azure logs from INFO on, where Lambda begins with WARNING."""
    import logging

    if not os.environ.get("AWS_LAMBDA_LOG_LEVEL"):
        logging.root.setLevel(logging.INFO)


def _described(init):
    """The folder of the handler's function.json and what it says, None when there is
    none: of a folder of the handler's name, beside its file, or of the function's name."""
    name = init.handler
    module = name.rpartition(".")[0] or name
    for directory in (name, module, os.path.dirname(module), init.function):
        file = os.path.join(init.root, directory, "function.json")
        if ".." not in directory and os.path.isfile(file):
            return directory, _json(file)
    return None


def _json(file):
    with open(file, encoding="utf-8-sig") as source:
        try:
            return payload.loads(source.read())
        except ValueError as error:
            raise Failure("Runtime.InvalidFunctionJson", "%s is not JSON: %s. Mend it and deploy again" % (file, error)) from None


def _described_function(init, directory, said):
    script = said.get("scriptFile")
    if not script:
        here = os.path.join(init.root, directory)
        script = next((name for name in _SCRIPTS if os.path.isfile(os.path.join(here, name))), _SCRIPTS[0])
    path = os.path.normpath(os.path.join(directory, script))
    module = os.path.splitext(path)[0].replace(os.sep, ".")
    if module == "__init__" or module.endswith(".__init__"):
        module = module[: -len(".__init__")]
    function = loader.load_from(_app(init.root, module), said.get("entryPoint") or "main", init.root)
    return function, said.get("bindings") or _HTTP


def _app(root, module):
    """The module's name within __app__, the package that the vendor's host loads
    functions in, so that relative imports lead where they do there."""
    if "__app__" not in sys.modules:
        package = sys.modules["__app__"] = type(sys)("__app__")
        package.__path__ = [root]
    return "__app__." + module if module else "__app__"


def _registered_function(init):
    """The function that an app of the v2 model has registered by that name, else the
    plain function of that name, as if it had an HTTP trigger."""
    name = init.handler
    module, _, wanted = name.rpartition(".")
    if not module:
        module, wanted = ("function_app", name) if os.path.isfile(os.path.join(init.root, "function_app.py")) else (name, "main")
    imported = loader.imported(module, init.root)
    apps = [value for value in vars(imported).values() if _is_app(value)]
    functions = {one.get_function_name(): one for app in _unique(apps) for one in app.get_functions()}
    if not functions:
        return loader.load_from(module, wanted, init.root), _HTTP
    one = functions.get(wanted)
    if one is None:
        raise Failure(
            "Runtime.HandlerNotFound",
            "No function '%s' is registered in %s.py. It registers: %s" % (wanted, module, ", ".join(sorted(functions))),
        )
    return one.get_user_function(), payload.loads(one.get_function_json())["bindings"]


def _is_app(value):
    return not isinstance(value, type) and callable(getattr(value, "get_functions", None)) and type(value).__name__ != "Blueprint"


def _unique(apps):
    return {id(app): app for app in apps}.values()


class Context:
    """What a function may ask about its invocation."""

    def __init__(self, context, init, directory, headers, local):
        self.invocation_id = context.aws_request_id
        self.function_name = init.function
        self.function_directory = os.path.join(init.root, directory)
        self.trace_context = TraceContext(headers.get("traceparent"), headers.get("tracestate"))
        self.retry_context = None
        self.thread_local_storage = local


class TraceContext:
    def __init__(self, parent, state):
        self.trace_parent = self.Traceparent = parent
        self.trace_state = self.Tracestate = state
        self.attributes = self.Attributes = {}


class Out:
    """An output binding: it keeps what is set."""

    def __init__(self):
        self._value = None

    def set(self, value):
        self._value = value

    def get(self):
        return self._value


class Call:
    """One call of the function: what it is given, and what came of it."""

    def __init__(self, named, outs, refusal=None):
        self.named, self.outs, self.refusal, self.returned = named, outs, refusal, None


class Azure(Adapter):
    def __init__(self, function, bindings, api, init, directory):
        super().__init__(self._awaiting if loader.is_async(function) else self._calling)
        from inspect import signature
        from threading import local

        self.owner, self.api, self.init, self.directory, self.local = function, api, init, directory, local()
        self.bindings = [dict(b, direction=str(b.get("direction") or "in").lower(), type=str(b.get("type"))) for b in bindings]
        self.trigger = next((b for b in self.bindings if b["type"].lower().endswith("trigger")), None)
        if self.trigger is None:
            raise Failure("Runtime.NoTrigger", "The function has no trigger among its bindings; add one, such as httpTrigger, and deploy again")
        parameters = signature(function).parameters
        self.parameters = set(parameters)
        if self.trigger.get("name") is None:
            self.trigger["name"] = next(iter(parameters), None)
        self.is_http = self.trigger["type"].lower() == "httptrigger"
        self.routes = Routes(self.trigger, init.root)
        self.answering = next((b["name"] for b in self.bindings if b["type"].lower() == "http" and b["direction"] == "out"), "$return")

    def _calling(self, call):
        if call.refusal is None:
            call.returned = self.owner(**call.named)
        return call

    async def _awaiting(self, call):
        if call.refusal is None:
            call.returned = await self.owner(**call.named)
        return call

    def _call(self, data, context, headers):
        """The function's arguments go by name: bindings, and the context."""
        named, outs = {}, {}
        for binding in self.bindings:
            name = binding.get("name")
            if binding is self.trigger:
                if name is not None:
                    named[name] = data
            elif binding["direction"] == "out":
                if name in self.parameters:
                    named[name] = outs[name] = Out()
            elif name in self.parameters:
                named[name] = None  # nothing stands behind it
        if "context" in self.parameters and "context" not in named:
            named["context"] = Context(context, self.init, self.directory, headers, self.local)
        return (Call(named, outs),)

    def requested(self, request, context):
        if not self.is_http:
            text = request.body.decode("utf-8", "replace")
            return self._call(self._data(event.parsed(request.body, text), context), context, request.headers)
        if not self.routes.serves(request.method):
            return (Call({}, {}, event.Answer(404, [], "")),)
        query = event.query_of(request.query)
        url = "%s://%s%s%s" % (request.scheme, request.headers.get("host", "localhost"), request.path, "?" + request.query if request.query else "")
        made = self.api.HttpRequest(
            method=request.method, url=url, headers=request.headers, body=request.body,
            params={name: ",".join(value) if isinstance(value, list) else value for name, value in query.items()},
            route_params=self.routes.parameters(request.path),
        )
        return self._call(made, context, request.headers)

    def arguments(self, value, context):
        if not self.is_http:
            return self._call(self._data(value, context), context, {})
        of = event.Request.of if event.is_event(value) else event.Request.standing_for
        return self.requested(of(value), context)

    def _data(self, value, context):
        """What the trigger gives for a payload. With the vendor's package its own
        converters make it."""
        kind, name = self.trigger["type"], self.trigger.get("name")
        standing_in = getattr(self.api, "trigger_data", None)
        if standing_in is not None:
            return standing_in(kind.lower(), value, name, context.aws_request_id)
        from azure.functions import meta

        converter = meta.get_binding_registry().get(kind)
        text = value if isinstance(value, str) else payload.encode(value).decode()
        about = {"Id": meta.Datum(context.aws_request_id, "string"), "MessageId": meta.Datum(context.aws_request_id, "string")}
        for shape in ("json", "string", "bytes") if converter is not None else ():
            raw = {"json": payload.encode(value).decode(), "string": text, "bytes": text.encode()}[shape]
            try:
                return converter.decode(meta.Datum(raw, shape), trigger_metadata=about)
            except (NotImplementedError, ValueError, TypeError, KeyError, AttributeError):
                continue  # not in this shape
        return text

    def _outputs(self, call):
        """The outputs by binding name; $return is what the function returned."""
        given = {name: out.get() for name, out in call.outs.items() if out.get() is not None}
        if call.returned is not None:
            given["$return"] = call.returned
        return given

    def answer(self, call):
        if call.refusal is not None:
            return call.refusal
        given = self._outputs(call)
        if self.is_http:
            return _http(given.get(self.answering, given.get("$return")))
        value = self._plain(given)
        return event.Answer(204, [], "") if value is None else event.json_answer(value)

    def result(self, call, value):
        if self.is_http:
            answer = self.answer(call)
            return answer.document() if event.is_event(value) else answer.value()
        return self._plain(self._outputs(call))

    def _plain(self, given):
        plain = {name: _plain(value) for name, value in given.items()}
        return plain["$return"] if "$return" in plain else plain or None


def _http(value):
    if value is None:
        return event.Answer(204, [], "")
    if isinstance(value, str):
        return event.Answer(200, [("content-type", "text/plain; charset=utf-8")], value)
    if not callable(getattr(value, "get_body", None)) or not hasattr(value, "status_code"):
        raise TypeError("The function returned a %s, which is no response. Return a func.HttpResponse, text or None" % type(value).__name__)
    headers = [(name, str(one)) for name, one in value.headers.items()]
    body = value.get_body() or b""
    if body and not event.header(headers, "content-type"):
        text = value.mimetype.startswith("text/")
        headers.append(("content-type", "%s; charset=%s" % (value.mimetype, value.charset) if text else value.mimetype))
    return event.Answer(int(value.status_code), headers, body)


def _plain(value):
    """An output as JSON can hold it."""
    if callable(getattr(value, "get_body", None)):
        return value.get_body().decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
