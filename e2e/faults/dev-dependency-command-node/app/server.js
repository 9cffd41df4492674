const he = require('he');
require('http').createServer((_, response) => response.end(he.encode('<hello>'))).listen(8080, '0.0.0.0');
