import azure.functions as func

bp = func.Blueprint()


@bp.route()
async def orders(req):
    return "no orders"


@bp.queue_trigger(arg_name="msg", queue_name="orders", connection="AzureWebJobsStorage")
def take(msg: func.QueueMessage):
    return msg.get_body().decode()
