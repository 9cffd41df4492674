// Renders the pages, and says how long that took: what a build costs without anybody's overhead.
const fs = require("node:fs");
const path = require("node:path");

fs.mkdirSync("dist", { recursive: true });
for (const file of fs.readdirSync("pages")) {
  const text = fs.readFileSync(path.join("pages", file), "utf8");
  const body = text.trim().split("\n").map((line) => `<p>${line}</p>`).join("\n");
  fs.writeFileSync(path.join("dist", file.replace(/\.txt$/, ".html")), `<!doctype html>\n${body}\n`);
}
console.log(`build took ${Math.round(process.uptime() * 1000)} ms`);
