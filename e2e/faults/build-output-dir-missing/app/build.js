const fs = require('fs')
fs.mkdirSync('site/css', { recursive: true })
for (const name of ['index.html', 'about.html', 'css/main.css']) fs.writeFileSync(`site/${name}`, name)
