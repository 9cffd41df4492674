const fs = require("node:fs");
const https = require("node:https");

// Stands for a service of the company, whose certificate its own authority made.
const options = { key: fs.readFileSync("key.pem"), cert: fs.readFileSync("certificate.pem") };
const payments = https.createServer(options, (_, response) => response.end("paid"));
payments.listen(9443, "127.0.0.1", () => {
  console.log("asking the payment service");
  https.get("https://localhost:9443/", (response) => response.resume());
});
