"""Google Cloud Functions: def fn(request) with a Flask request, background functions
and CloudEvents. Where the archive brings Flask, requests go through it."""

import os
import sys

from .. import loader
from ..failures import Failure
from . import Adapter, event, flask_like, locate

_FRAMEWORK = "functions_framework"


def load(init):
    registered = _stand_in(init.root)
    function = locate(init, "main", "main")
    kind = os.environ.get("FUNCTION_SIGNATURE_TYPE") or _registered_kind(registered, function) or _kind(function)
    if kind == "event":
        return Background(function, init)
    if kind == "cloudevent":
        return CloudEvents(function, init)
    if kind != "http":
        raise Failure("Runtime.InvalidSignatureType", "FUNCTION_SIGNATURE_TYPE is '%s'; it must be http, event or cloudevent" % kind)
    try:
        import flask
    except ModuleNotFoundError as error:
        if error.name != "flask":
            raise
        return Http(_watching(function))
    return _Flask(flask, function, init)


def _stand_in(root):
    """Gives an archive without functions_framework the decorators of it."""
    from importlib.util import find_spec

    if find_spec(_FRAMEWORK) is not None:
        return None
    kinds = {}

    def decorator(kind):
        def decorate(function):
            kinds[function.__name__] = kind
            return function

        return decorate

    module = type(sys)(_FRAMEWORK)
    module.http, module.cloud_event = decorator("http"), decorator("cloudevent")
    sys.modules[_FRAMEWORK] = module
    return kinds


def _registered_kind(registered, function):
    if registered is None:
        module = sys.modules.get(_FRAMEWORK + "._function_registry")
        registered = getattr(module, "REGISTRY_MAP", {})
    return registered.get(getattr(function, "__name__", ""))


def _kind(function):
    """A function of two parameters is a background function."""
    code = getattr(function, "__code__", None)
    if code is None:
        return "http"
    required = code.co_argcount - len(function.__defaults__ or ())
    return "event" if required == 2 else "http"


def _watching(function):
    """function, except that a request at fault is answered, not failed."""
    if loader.is_async(function):

        async def watched(*arguments):
            try:
                return await function(*arguments)
            except flask_like.BadRequest as error:
                return str(error), 400
    else:

        def watched(*arguments):
            try:
                return function(*arguments)
            except flask_like.BadRequest as error:
                return str(error), 400

    return watched


class Http(Adapter):
    def requested(self, request, context):
        return (flask_like.Request(request),)

    def arguments(self, payload, context):
        of = event.Request.of if event.is_event(payload) else event.Request.standing_for
        return self.requested(of(payload), context)

    def answer(self, value):
        return flask_like.answer(value)

    def result(self, value, payload):
        answer = self.answer(value)
        if not event.is_event(payload):
            return answer.value()
        return (answer.collected() if type(answer) is event.Stream else answer).document()


class _Flask(Http):
    """The archive's own Flask between."""

    def __init__(self, flask, function, init):
        self.app = flask.Flask(init.function, root_path=init.root)
        self.app.config["PROPAGATE_EXCEPTIONS"] = True
        is_async = loader.is_async(function)

        def view(path=""):
            result = function(flask.request._get_current_object())
            if is_async:
                import asyncio

                return asyncio.run(result)
            return result

        methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
        self.app.add_url_rule("/", "root", view, methods=methods)
        self.app.add_url_rule("/<path:path>", "path", view, methods=methods)
        super().__init__(self._serve)

    def _serve(self, request):
        said = {}

        def start_response(status, headers, exc_info=None):
            said["status"], said["headers"] = int(status.split()[0]), headers
            return lambda data: None

        parts = self.app.wsgi_app(_environ(request), start_response)
        headers = [(name, value) for name, value in said["headers"] if name.lower() != "content-length"]
        answer = event.Stream(said["status"], headers, parts)
        # Flask knows the length of whatever is not a generator's.
        streams = len(headers) == len(said["headers"]) and request.method != "HEAD" and said["status"] not in (204, 304)
        return answer if streams else answer.collected()

    def requested(self, request, context):
        return (request,)

    def answer(self, value):
        return value


def _environ(request):
    """The request as WSGI has it."""
    from io import BytesIO
    from urllib.parse import unquote_to_bytes

    host, _, port = request.headers.get("host", "localhost").partition(":")
    forwarded = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    environ = {
        "REQUEST_METHOD": request.method, "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query, "SERVER_NAME": host, "SERVER_PORT": port or "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": forwarded or request.remote, "wsgi.version": (1, 0), "wsgi.url_scheme": request.scheme,
        "wsgi.input": BytesIO(request.body), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value
    return environ


class Context:
    """The second argument of a background function."""

    def __init__(self, event_id=None, timestamp=None, event_type=None, resource=None):
        self.event_id, self.timestamp, self.event_type, self.resource = event_id, timestamp, event_type, resource

    def __str__(self):
        return str(vars(self))


class Background(Adapter):
    def __init__(self, function, init):
        super().__init__(function)
        self.arn = init.arn

    def arguments(self, payload, context):
        if isinstance(payload, dict) and "data" in payload and ("context" in payload or "eventId" in payload or "specversion" in payload):
            return _split(payload)
        return payload, Context(context.aws_request_id, _now(), "hearth.invoke", self.arn)

    def requested(self, request, context):
        if "ce-type" in request.headers:
            return event.parsed(request.body, request.body), _of_cloud_event(_attributes(request))
        body = event.parsed(request.body, None)
        return _split(body) if isinstance(body, dict) else (body, Context())

    def answer(self, value):
        return _event_answer(value)


def _split(body):
    about = body.get("context")
    if about is None and "specversion" in body:
        return body.get("data"), _of_cloud_event(body)
    about = body if about is None else about
    return body.get("data"), Context(about.get("eventId"), about.get("timestamp"), about.get("eventType"), about.get("resource"))


def _of_cloud_event(about):
    source = "/".join(part for part in (about.get("source"), about.get("subject")) if part)
    return Context(about.get("id"), about.get("time"), about.get("type"), source)


def _attributes(request):
    return {name[3:]: value for name, value in request.headers.items() if name.startswith("ce-")}


def _now():
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())


def _event_answer(value):
    return event.Answer(204, [], "") if value is None else event.plain_answer(value)


class CloudEvent:
    """A CloudEvent as the vendor's package has it: data, and attributes by name."""

    def __init__(self, attributes, data):
        self._attributes, self.data = attributes, data

    def __getitem__(self, name):
        return self._attributes[name]

    def get(self, name, default=None):
        return self._attributes.get(name, default)

    def get_attributes(self):
        return dict(self._attributes)

    def get_data(self):
        return self.data

    def __iter__(self):
        return iter(self._attributes)

    def __contains__(self, name):
        return name in self._attributes


class CloudEvents(Adapter):
    def __init__(self, function, init):
        super().__init__(function)
        self.arn = init.arn

    def _make(self, attributes, data):
        try:
            from cloudevents.http import CloudEvent as Real  # the archive's own
        except ImportError:
            return CloudEvent(attributes, data)
        return Real(attributes, data)

    def arguments(self, payload, context):
        if isinstance(payload, dict) and "specversion" in payload:
            return (self._make({name: value for name, value in payload.items() if name != "data"}, payload.get("data")),)
        about = {"specversion": "1.0", "id": context.aws_request_id, "time": _now(), "type": "hearth.invoke", "source": self.arn}
        return (self._make(about, payload),)

    def requested(self, request, context):
        if "ce-id" in request.headers:
            return (self._make(_attributes(request), event.parsed(request.body, request.body)),)
        return self.arguments(event.parsed(request.body, {}), context)

    def answer(self, value):
        return _event_answer(value)
