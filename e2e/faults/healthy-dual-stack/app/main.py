import socket
from http.server import BaseHTTPRequestHandler, HTTPServer


class DualStack(HTTPServer):
    address_family = socket.AF_INET6


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")


print("listening", flush=True)
DualStack(("::", 8080), Handler).serve_forever()
