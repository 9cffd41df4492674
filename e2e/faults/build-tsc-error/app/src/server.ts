const port: number = 'eighty'
export default port
