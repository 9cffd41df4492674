"""Answers every request with a greeting; the standard library alone."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


BODY = b"Hello from Mainstay!\n"


class Greeting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(b"")

    def do_GET(self):
        self.answer(BODY)

    def answer(self, sent):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(sent)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    print(f"listening on 0.0.0.0:{port}", flush=True)
    ThreadingHTTPServer(("0.0.0.0", port), Greeting).serve_forever()
