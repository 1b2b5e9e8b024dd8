def main(params):
    return {"hello": params.get("name")}
