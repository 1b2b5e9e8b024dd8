"""Stands in for the vendor's package azure-functions where an archive does not bring
it: the part of azure.functions that HTTP functions and the usual triggers need."""

import enum
import json as _json
from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

_LACKS = (
    "Hearth's stand-in for azure.functions has no %s. Put the package itself into the archive: "
    "pip install --target . azure-functions, and deploy again"
)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(_LACKS % name)


class AuthLevel(str, enum.Enum):
    FUNCTION = "function"
    ANONYMOUS = "anonymous"
    ADMIN = "admin"


class HttpMethod(enum.Enum):
    GET, POST, DELETE, HEAD, PATCH, PUT, OPTIONS = "GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS"


class DataType(enum.Enum):
    UNDEFINED, STRING, BINARY, STREAM = 0, 1, 2, 3


class Cardinality(str, enum.Enum):
    ONE, MANY = "one", "many"


class AccessRights(str, enum.Enum):
    MANAGE, LISTEN = "manage", "listen"


class Out(Generic[T]):
    """An output binding, for annotations: the function is given one that keeps what
    is set."""


class Context:
    """What a function may ask about its invocation, for annotations."""


class _Headers(Mapping):
    """Whatever the case of their names."""

    def __init__(self, source=None):
        self._values = {name.lower(): value for name, value in (source or {}).items()}

    def __getitem__(self, name):
        return self._values[name.lower()]

    def __contains__(self, name):
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


class HttpRequest:
    def __init__(self, method, url, *, headers=None, params=None, route_params=None, body=b""):
        self.method, self.url = method.upper(), url
        self.headers = _Headers(headers)
        self.params, self.route_params = dict(params or {}), dict(route_params or {})
        self._body = body.encode() if isinstance(body, str) else bytes(body)
        self._form = None

    def get_body(self):
        return self._body

    def get_json(self):
        try:
            return _json.loads(self._body.decode("utf-8"))
        except ValueError as error:
            raise ValueError("HTTP request does not contain valid JSON data") from error

    @property
    def form(self):
        return self._parsed()[0]

    @property
    def files(self):
        return self._parsed()[1]

    def _parsed(self):
        if self._form is None:
            from hearth_runtime.dialects import flask_like

            self._form = flask_like.form_of(self.headers.get("content-type", ""), self._body)
        return self._form


class _ResponseHeaders:
    """Headers in their order; a name may come more than once."""

    def __init__(self, source):
        self._pairs = []
        for name, value in (source or {}).items():
            self.add(name, value)

    def add(self, name, value):
        self._pairs.append((name, str(value)))

    add_header = add

    def __setitem__(self, name, value):
        self._pairs = [pair for pair in self._pairs if pair[0].lower() != name.lower()]
        self.add(name, value)

    def __getitem__(self, name):
        for key, value in self._pairs:
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    def __contains__(self, name):
        return any(key.lower() == name.lower() for key, _ in self._pairs)

    def __iter__(self):
        return iter(self._pairs)

    def __len__(self):
        return len(self._pairs)

    def get(self, name, default=None):
        return self[name] if name in self else default

    def items(self):
        return iter(self._pairs)


class HttpResponse:
    def __init__(self, body=None, *, status_code=None, headers=None, mimetype=None, charset=None):
        self.status_code = 200 if status_code is None else int(status_code)
        self.mimetype, self.charset = mimetype or "text/plain", charset or "utf-8"
        self.headers = _ResponseHeaders(headers)
        if isinstance(body, str):
            body = body.encode(self.charset)
        if body is not None and not isinstance(body, (bytes, bytearray)):
            raise TypeError("response is expected to be either of str, bytes, or bytearray, got " + type(body).__name__)
        self._body = bytes(body or b"")

    def get_body(self):
        return self._body


class TimerRequest:
    def __init__(self, *, past_due=False, schedule_status=None, schedule=None):
        self.past_due, self.schedule_status, self.schedule = past_due, schedule_status or {}, schedule or {}


class _Message:
    """A body, and whatever else is told about it."""

    about = ()

    def __init__(self, *, body=b"", **values):
        self._body = body if isinstance(body, bytes) else str(body).encode()
        for name in self.about:
            setattr(self, name, values.get(name))

    def get_body(self):
        return self._body


class QueueMessage(_Message):
    about = ("id", "dequeue_count", "expiration_time", "insertion_time", "time_next_visible", "pop_receipt")

    def get_json(self):
        return _json.loads(self._body)


class ServiceBusMessage(_Message):
    about = ("message_id", "content_type", "correlation_id", "delivery_count", "label", "session_id", "user_properties")


class EventHubEvent(_Message):
    about = ("partition_key", "sequence_number", "offset", "enqueued_time", "metadata", "iothub_metadata")


class EventGridEvent:
    def __init__(self, *, id, data, topic=None, subject=None, event_type=None, event_time=None, data_version=None):
        self.id, self._data, self.topic, self.subject = id, data, topic, subject
        self.event_type, self.event_time, self.data_version = event_type, event_time, data_version

    def get_json(self):
        return self._data


class InputStream:
    """What a blob trigger gives."""

    def __init__(self, *, data=b"", name=None, uri=None, length=None):
        from io import BytesIO

        data = data if isinstance(data, bytes) else str(data).encode()
        self.name, self.uri, self.length = name, uri, len(data) if length is None else length
        self._stream = BytesIO(data)
        self.read, self.readlines, self.seek = self._stream.read, self._stream.readlines, self._stream.seek


class Document(dict):
    """A document of Cosmos DB."""

    @classmethod
    def from_dict(cls, values):
        return cls(values)

    @classmethod
    def from_json(cls, text):
        return cls(_json.loads(text))

    def to_json(self):
        return _json.dumps(self)


class DocumentList(list):
    pass


def trigger_data(kind, value, name, identity):
    """What the trigger of a kind gives for a payload."""
    text = value if isinstance(value, str) else _json.dumps(value)
    about = value if isinstance(value, dict) else {}
    if kind == "timertrigger":
        return TimerRequest(past_due=bool(about.get("IsPastDue")), schedule_status=about.get("ScheduleStatus"), schedule=about.get("Schedule"))
    if kind == "queuetrigger":
        return QueueMessage(body=text, id=identity, dequeue_count=1)
    if kind == "servicebustrigger":
        return ServiceBusMessage(body=text, message_id=identity, delivery_count=1)
    if kind == "eventhubtrigger":
        return EventHubEvent(body=text)
    if kind == "eventgridtrigger":
        keys = {"id": "id", "topic": "topic", "subject": "subject", "event_type": "eventType", "event_time": "eventTime", "data_version": "dataVersion"}
        told = {key: about.get(word) for key, word in keys.items()}
        return EventGridEvent(data=about.get("data", value), **dict(told, id=told["id"] or identity))
    if kind == "blobtrigger":
        return InputStream(data=text, name=name)
    if kind == "cosmosdbtrigger":
        return DocumentList(Document(one) for one in (value if isinstance(value, list) else [value]))
    return text


class Function:
    """One registered function."""

    def __init__(self, function):
        self._function, self._name, self.bindings = function, function.__name__, []

    def get_user_function(self):
        return self._function

    def get_function_name(self):
        return self._name

    def get_bindings_dict(self):
        return {"bindings": self.bindings}

    def get_function_json(self):
        return _json.dumps(dict(self.get_bindings_dict(), scriptFile="function_app.py"))


class FunctionBuilder:
    """What a decorator leaves in the place of the function."""

    def __init__(self, function):
        self.function = Function(function)

    def __call__(self, *arguments, **named):
        return self.function.get_user_function()(*arguments, **named)


# The decorators that add one binding, with its type and direction.
_BINDINGS = {
    "timer_trigger": ("timerTrigger", "in"), "schedule": ("timerTrigger", "in"), "warm_up_trigger": ("warmupTrigger", "in"),
    "queue_trigger": ("queueTrigger", "in"), "blob_trigger": ("blobTrigger", "in"), "event_grid_trigger": ("eventGridTrigger", "in"),
    "service_bus_queue_trigger": ("serviceBusTrigger", "in"), "service_bus_topic_trigger": ("serviceBusTrigger", "in"),
    "event_hub_message_trigger": ("eventHubTrigger", "in"),
    "cosmos_db_trigger": ("cosmosDBTrigger", "in"), "cosmos_db_trigger_v3": ("cosmosDBTrigger", "in"),
    "generic_trigger": (None, "in"), "generic_input_binding": (None, "in"), "generic_output_binding": (None, "out"),
    "blob_input": ("blob", "in"), "table_input": ("table", "in"), "cosmos_db_input": ("cosmosDB", "in"), "sql_input": ("sql", "in"),
    "queue_output": ("queue", "out"), "blob_output": ("blob", "out"), "table_output": ("table", "out"),
    "cosmos_db_output": ("cosmosDB", "out"), "sql_output": ("sql", "out"), "event_grid_output": ("eventGrid", "out"),
    "event_hub_output": ("eventHub", "out"), "service_bus_queue_output": ("serviceBus", "out"),
    "service_bus_topic_output": ("serviceBus", "out"),
}


class FunctionRegister:
    """What FunctionApp and Blueprint have in common: the decorators."""

    def __init__(self, http_auth_level=AuthLevel.FUNCTION, *_, **__):
        self.auth_level = AuthLevel[http_auth_level] if isinstance(http_auth_level, str) and http_auth_level in AuthLevel.__members__ else http_auth_level
        self.builders = []

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in _BINDINGS:
            raise AttributeError(_LACKS % ("decorator " + name))
        kind, direction = _BINDINGS[name]

        def decorate(arg_name="context", type=None, **fields):
            return self._decorator({"type": kind or type, "direction": direction, "name": arg_name, **_camel(fields)})

        return decorate

    def _decorator(self, *bindings, name=None):
        def decorate(function):
            builder = function
            if not isinstance(function, FunctionBuilder):
                builder = FunctionBuilder(function)
                self.builders.append(builder)
            one = builder.function
            if name is not None:
                one._name = name
            trigger = [b for b in one.bindings if _is_trigger(b)]
            if trigger and any(_is_trigger(b) for b in bindings):
                raise ValueError("A trigger was already registered to the function %s; a function has only one" % one.get_function_name())
            one.bindings.extend(bindings)
            return builder

        return decorate

    def function_name(self, name):
        return self._decorator(name=name)

    def route(self, route=None, trigger_arg_name="req", binding_arg_name="$return", methods=None, auth_level=None, **_):
        trigger = {"type": "httpTrigger", "direction": "in", "name": trigger_arg_name, "route": route}
        if methods is not None:
            methods = [methods] if isinstance(methods, (str, HttpMethod)) else methods
            trigger["methods"] = [getattr(method, "value", method).upper() for method in methods]
        trigger["authLevel"] = getattr(auth_level or self.auth_level, "value", auth_level)
        return self._decorator(trigger, {"type": "http", "direction": "out", "name": binding_arg_name})

    def http_type(self, http_type):
        return self._decorator()

    def retry(self, *_, **__):
        return self._decorator()

    def register_functions(self, other):
        self.builders.extend(other.builders)

    register_blueprint = register_functions

    def get_functions(self):
        for builder in self.builders:
            one = builder.function
            trigger = [b for b in one.bindings if _is_trigger(b)]
            if not trigger:
                raise ValueError("Function %s does not have a trigger; a function must have one, such as @app.route()" % one.get_function_name())
            if trigger[0]["type"] == "httpTrigger" and trigger[0]["route"] is None:
                trigger[0]["route"] = one.get_function_name()
        return [builder.function for builder in self.builders]


class FunctionApp(FunctionRegister):
    pass


class Blueprint(FunctionRegister):
    pass


BluePrint = Blueprint  # its name in the first versions


def _is_trigger(binding):
    return str(binding["type"]).lower().endswith("trigger")


def _camel(fields):
    """queue_name becomes queueName, as function.json has it."""
    named = {}
    for name, value in fields.items():
        first, *rest = name.split("_")
        named[first + "".join(part.capitalize() for part in rest)] = getattr(value, "value", value)
    return named
