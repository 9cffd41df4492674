require('http').createServer((_, response) => response.end('here')).listen(8080, '0.0.0.0');
