// Serves the rendered pages, and says how long it took from the program's start until it listened.
const crypto = require("node:crypto");
const fs = require("node:fs");
const express = require("express");

const app = express();
const boot = crypto.randomBytes(8).toString("hex");
const page = fs.readFileSync("dist/index.html", "utf8");
app.get("/", (request, response) => response.type("html").send(`${page}<!-- boot ${boot} -->\n`));

const server = app.listen(process.env.PORT || 8080, () => {
  console.log(`boot took ${Math.round(process.uptime() * 1000)} ms`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
