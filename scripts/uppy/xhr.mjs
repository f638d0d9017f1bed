// The part of XMLHttpRequest that Uppy uses, over node:http: Node has fetch, Blob and FormData, but not this class. Each
// request opens its own connection, so that a proxy sees each of them begin.

import { request } from 'node:http'

class Target extends EventTarget {
  tell(type, values) {
    const event = Object.assign(new Event(type), values)
    this[`on${type}`]?.(event)
    this.dispatchEvent(event)
  }
}

export class XMLHttpRequest extends Target {
  upload = new Target()
  status = 0
  statusText = ''
  responseText = ''
  #headers = {}
  #answer = {}
  #ended = false

  open(method, url) {
    this.#method = method
    this.#url = url
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value
  }

  getAllResponseHeaders() {
    return Object.entries(this.#answer).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  }

  getResponseHeader(name) {
    return this.#answer[name.toLowerCase()] ?? null
  }

  abort() {
    this.#end('abort')
    this.#request?.destroy()
  }

  send(body) {
    this.#exchange(body).catch(() => this.#end('error'))
  }

  async #exchange(body) {
    // Response encodes every kind of body, including a form with its boundary.
    const written = new Response(body)
    const type = written.headers.get('content-type')
    const blob = body instanceof Blob ? body : await written.blob()
    if (this.#ended) return
    const headers = { ...(type && { 'content-type': type }), ...this.#headers, 'content-length': blob.size }
    this.#request = request(this.#url, { method: this.#method, headers, agent: false })
    const answered = this.#answered()
    await Promise.race([this.#write(blob), answered])
    await answered
    this.#end('load')
  }

  async #write(blob) {
    let loaded = 0
    for await (const chunk of blob.stream()) {
      await new Promise((resolve, reject) => this.#request.write(chunk, (error) => (error ? reject(error) : resolve())))
      loaded += chunk.length
      this.upload.tell('progress', { lengthComputable: true, loaded, total: blob.size })
    }
    this.#request.end()
  }

  #answered() {
    return new Promise((resolve, reject) => {
      this.#request.on('error', reject)
      this.#request.on('response', (answer) => {
        this.status = answer.statusCode
        this.statusText = answer.statusMessage
        this.#answer = answer.headers
        answer.setEncoding('utf8')
        answer.on('data', (text) => (this.responseText += text))
        answer.on('error', reject)
        answer.on('end', resolve)
      })
    })
  }

  #end(how) {
    if (this.#ended) return
    this.#ended = true
    if (how !== 'load') this.status = 0
    this.tell(how)
  }

  #method
  #url
  #request
}
