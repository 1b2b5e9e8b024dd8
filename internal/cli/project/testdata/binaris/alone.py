def run(body, req):
    return body
