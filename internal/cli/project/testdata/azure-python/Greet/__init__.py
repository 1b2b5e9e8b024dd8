import azure.functions as func

from ..shared.words import greeting


def main(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(greeting(req.route_params.get("name", "nobody")))
