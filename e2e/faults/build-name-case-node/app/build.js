require('./lib/CountyMap')
