for line in [
    "ERROR: something failed",
    "Out of memory: Killed process 17 (python3)",
    "FATAL: password authentication failed for user postgres",
    "ModuleNotFoundError: No module named yaml",
    "Error: connect ECONNREFUSED 127.0.0.1:5432",
    "exited with code 137",
]:
    print(line, flush=True)

from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\\n")


print("listening on 8080", flush=True)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
