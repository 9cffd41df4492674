"""A guestbook: visitors leave a line, and everybody sees all of them."""

from html import escape

from flask import Flask, redirect, request

from database import connect

app = Flask(__name__, static_folder=None)

PAGE = """<!doctype html>
<title>Guestbook</title>
<link rel="stylesheet" href="/static/style.css">
<h1>Guestbook</h1>
<form method="post" action="/entries"><input name="text" maxlength="200" required> <button>Sign</button></form>
<ol>{entries}</ol>
"""


@app.get("/")
def home():
    with connect() as connection:
        rows = connection.execute("SELECT text FROM entries ORDER BY id").fetchall()
    return PAGE.format(entries="".join(f"<li>{escape(text)}</li>" for (text,) in rows))


@app.post("/entries")
def sign():
    text = request.form.get("text", "").strip()
    if not 0 < len(text) <= 200:
        return "an entry has 1 to 200 characters\n", 400
    with connect() as connection:
        connection.execute("INSERT INTO entries (text) VALUES (%s)", (text,))
    return redirect("/", code=303)


@app.get("/health")
def health():
    with connect() as connection:
        connection.execute("SELECT 1")
    return "ok\n"
