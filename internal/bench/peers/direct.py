"""The comparison in Python: the hello handler in the standard library's threaded server."""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app import handler


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, as every other server here
    wbufsize = -1  # head and body leave in one write
    disable_nagle_algorithm = True

    def do_GET(self):
        result = handler({"rawPath": self.path}, None)
        body = result["body"].encode()
        self.send_response(result["statusCode"])
        for name, value in result["headers"].items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is no news


Server(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
