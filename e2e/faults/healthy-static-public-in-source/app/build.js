const fs = require("fs");

const template = fs.readFileSync("public/index.html", "utf8");
fs.mkdirSync("build");
fs.writeFileSync("build/index.html", template.replace("%TITLE%", "built from the template"));
