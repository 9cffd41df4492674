const key = process.env.STRIPE_KEY
if (typeof key !== 'string') throw new TypeError('config.stripe (STRIPE_KEY): expected string, received undefined')
