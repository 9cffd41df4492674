const net = require("node:net");

const host = process.env.DATABASE_HOST || "127.0.0.1";
console.log(`connecting to ${host}`);
net.connect(5432, host);
