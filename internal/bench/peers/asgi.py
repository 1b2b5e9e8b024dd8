"""The comparison in Python: the hello handler as an ASGI application, for uvicorn."""
from app import handler


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    result = handler({"rawPath": scope["path"]}, None)
    body = result["body"].encode()
    headers = [(name.encode(), value.encode()) for name, value in result["headers"].items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": result["statusCode"], "headers": headers})
    await send({"type": "http.response.body", "body": body})
