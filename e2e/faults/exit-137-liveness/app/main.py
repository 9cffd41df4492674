import signal
from http.server import BaseHTTPRequestHandler, HTTPServer

alive = True


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global alive
        if self.path == "/fall":
            print("the worker thread is stuck", flush=True)
            alive = False
        self.send_response(503 if self.path == "/alive" and not alive else 200)
        self.end_headers()
        self.wfile.write(b"hello\n")


signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("listening", flush=True)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
