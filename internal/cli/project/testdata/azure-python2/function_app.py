import json
import logging

import azure.functions as func

from orders import bp

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(bp)


@app.function_name(name="hello")
@app.route(
    route="hello/{name}",
    methods=["GET", "POST"],
)
def say_hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({"hello": req.route_params["name"]}), mimetype="application/json")


@app.timer_trigger(schedule="0 */5 * * * *", arg_name="timer")
def clean(timer: func.TimerRequest) -> None:
    logging.info("past due: %s", timer.past_due)
