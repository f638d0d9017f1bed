// A network that can be bad. Stands before a server on loopback, passes bytes on, and does to a connection what its faults
// say. A connection carries one request: the tests' XMLHttpRequest opens one for each.

import { connect, createServer } from 'node:net'

/**
 * `fault(request)` is asked once per connection, with `{method, path, line, length, index}` of its first request, and answers
 * nothing, or one of
 *
 *   {refuse: true}          a reset before anything is passed on
 *   {cutAfter: n}           a reset after so many bytes towards the server, its headers not counted
 *   {cutAnswerAfter: n}     the request passes; a reset after so many bytes of the answer
 *   {stallAfter: n}         nothing more passes after so many bytes towards the server
 *   {delay: ms}             before the request is passed on
 *   {answer: text}          this, once the request is here; the server never hears of it
 *   {replace: text}         the request passes; this instead of the server's answer
 */
export async function startProxy(test, port, fault = () => {}) {
  const proxy = { fault, log: [], sockets: new Set(), seen: 0 }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    proxy.sockets.add(client)
    client.on('close', () => proxy.sockets.delete(client))
    client.on('error', () => {})
    let head = Buffer.alloc(0)
    client.on('data', function first(chunk) {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      client.off('data', first)
      client.pause()
      const text = head.subarray(0, end).toString()
      const [line] = text.split('\r\n')
      const [method, path] = line.split(' ')
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0)
      const request = { method, path, line: `${method} ${path.split('?')[0]}`, head: text, length, index: proxy.seen++ }
      const found = proxy.fault(request) || {}
      proxy.log.push({ ...request, fault: Object.keys(found)[0] })
      serve(proxy, port, client, head, end + 4, request, found)
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.port = server.address().port
  proxy.endpoint = `http://127.0.0.1:${proxy.port}`
  /** How many requests began so. */
  proxy.count = (beginning) => proxy.log.filter(({ line }) => line.startsWith(beginning)).length
  test.after(() => {
    server.close()
    proxy.sockets.forEach((socket) => socket.destroy())
  })
  return proxy
}

function serve(proxy, port, client, received, headLength, request, fault) {
  if (fault.refuse) return client.resetAndDestroy()
  if (fault.answer) return answerAlone(client, received.length - headLength, request.length, fault.answer)
  const begin = () => {
    const server = connect(port, '127.0.0.1')
    proxy.sockets.add(server)
    server.on('close', () => proxy.sockets.delete(server))
    const cut = () => {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
    server.on('error', cut)
    client.on('error', () => server.destroy())
    client.on('close', () => server.destroy())

    let left = fault.cutAfter ?? fault.stallAfter ?? Infinity
    const up = (chunk) => {
      const passed = chunk.subarray(0, Math.min(chunk.length, left))
      left -= passed.length
      if (passed.length && !server.write(passed)) {
        client.pause()
        server.once('drain', () => client.resume())
      }
      if (left > 0) return
      if (fault.cutAfter !== undefined) cut()
      else client.pause()
    }
    server.write(received.subarray(0, headLength))
    client.on('data', up)
    client.on('end', () => server.end())
    if (received.length > headLength) up(received.subarray(headLength))
    if (left > 0) client.resume()
    else if (fault.cutAfter !== undefined) cut()

    let answered = 0
    server.on('data', (chunk) => {
      if (fault.stallAfter !== undefined) return
      if (fault.replace) {
        if (answered === 0) client.end(fault.replace)
        answered += chunk.length
        return
      }
      if (fault.cutAnswerAfter === undefined) {
        client.write(chunk)
        return
      }
      const passed = chunk.subarray(0, Math.max(0, fault.cutAnswerAfter - answered))
      answered += chunk.length
      if (answered < fault.cutAnswerAfter) client.write(passed)
      else client.write(passed, cut)
    })
    server.on('end', () => fault.stallAfter === undefined && client.end())
  }
  if (fault.delay) setTimeout(begin, fault.delay)
  else begin()
}

function answerAlone(client, already, length, text) {
  let here = already
  const done = () => here >= length && client.end(text)
  client.on('data', (chunk) => {
    here += chunk.length
    done()
  })
  client.resume()
  done()
}

/** An answer as text. */
export function http(status, body = '', headers = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const all = { 'Content-Length': Buffer.byteLength(text), Connection: 'close', ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `HTTP/1.1 ${status} Some Reason\r\n${lines}\r\n${text}`
}

/** A failure of our server. */
export function failed(status, code, headers) {
  return http(status, { msg: 'fail', data: `上传失败: ${code}`, message: `failed: ${code}`, code, request_id: 'of-the-test' }, headers)
}

/** A failure of a bucket. */
export const refused = (status, code) => http(status, `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`)

/** The faults in order, one for each request that begins with `beginning`; then none. */
export function inOrder(beginning, ...faults) {
  return ({ line }) => (line.startsWith(beginning) ? faults.shift() : undefined)
}
