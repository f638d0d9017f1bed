// An App in Node: uni-app's own runtime of Apps and the client, in a context with a language and timers and nothing
// else, over a `plus` as strict as its documents. What is not here does not exist, and fails the test; so does every argument
// that is not documented. Names are checked against html5plus/plus.d.ts of @dcloudio/types.

import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'

import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PACKAGES = `${ROOT}examples/uni-app/node_modules/@dcloudio`
export const TYPINGS = `${PACKAGES}/types/html5plus/plus.d.ts`

/** The states of an upload; 5 is a paused one. */
const UPLOAD_STATES = { begun: 1, connected: 2, sending: 3, done: 4 }
const UPLOAD_OPTIONS = { blocksize: 'number', chunkSize: 'number', method: 'string', priority: 'number', retry: 'number', retryInterval: 'number', timeout: 'number' }
const FETCH_OPTIONS = ['method', 'url', 'headers', 'type', 'timeout', 'sslVerify', 'firstIpv4', 'tls', 'body']
const NETWORKS = { none: 1, wifi: 3 }

/** An object of which nothing can be read, and nothing set, that it does not have. */
function strict(name, known) {
  return new Proxy(known, {
    get(target, key) {
      // A promise's value is asked for `then`.
      if (key in target || typeof key === 'symbol' || key === 'then') return target[key]
      throw new Error(`${name}.${key} is not in this shim`)
    },
    set(target, key, value) {
      if (!(key in target)) throw new Error(`${name}.${key} is not in this shim`)
      target[key] = value
      return true
    },
  })
}

function strings(what, object) {
  for (const [key, value] of Object.entries(object)) assert.equal(typeof value, 'string', `${what}: ${key}`)
}

/**
 * `scripted`   nothing goes over the wire: the test decides what becomes of `uploads` and `fetches`
 * `progress`   of an upload: `steady`; `android`, which says at once that all is sent, and again after the end; or `none`
 * `tellsAbort` an upload that is ended by `abort` calls back, as one that failed
 * `inclusive`  the last byte of a slice is the one at `end`
 * `short`      the last byte of whatever is read is missing
 */
export function makePlus({ scripted = false, progress = 'steady', tellsAbort = false, inclusive = false, short = false } = {}) {
  const files = new Map()
  const storage = new Map()
  const listeners = { netchange: new Set() }
  const uploads = []
  const fetches = []
  let network = NETWORKS.wifi

  // Natives answer from outside of the script.
  const later = (call, ...values) => call && setImmediate(() => call(...values))

  function wire(method, url, headers, body, sent, ended) {
    const request = httpRequest(url, { method, agent: false, headers: { ...headers, 'content-length': body.length } }, async (answer) => {
      const chunks = []
      try {
        for await (const chunk of answer) chunks.push(chunk)
      } catch {
        return ended()
      }
      ended({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() })
    })
    request.on('error', () => ended())
    const step = 128 * 1024
    const write = (at) => {
      if (request.destroyed) return
      if (at >= body.length) return request.end()
      const next = Math.min(at + step, body.length)
      request.write(body.subarray(at, next), (failed) => {
        if (failed) return
        sent(next, body.length)
        write(next)
      })
    }
    write(0)
    return request
  }

  function createUpload(url, options = {}, completed) {
    assert.match(url, /^https?:\/\//)
    for (const [key, value] of Object.entries(options)) assert.equal(typeof value, UPLOAD_OPTIONS[key], `createUpload: ${key}`)
    assert.equal(typeof completed, 'function')
    const parts = new Map()
    const headers = {}
    const heard = []
    let begun, over, request

    const once = (add) => (key, ...rest) => {
      if (begun || parts.has(key)) return false
      return add(key, ...rest)
    }
    const addData = once((key, value) => {
      strings('addData', { key, value })
      parts.set(key, { value })
      return true
    })
    const addPart = once((key, path) => {
      if (!files.has(path)) return false
      parts.set(key, { path })
      return true
    })
    const upload = strict('upload', {
      id: String(uploads.length), url, options, state: 0, responseText: '', uploadedSize: 0, totalSize: 0,
      addData,
      addFile(path, { key = path.split('/').pop(), ...more }) {
        assert.deepEqual(Object.keys(more).filter((name) => !['name', 'mime'].includes(name)), [])
        return addPart(key, path)
      },
      setRequestHeader(name, value) {
        strings('setRequestHeader', { name, value })
        headers[name] = name in headers ? `${headers[name]}, ${value}` : value
      },
      addEventListener(type, listener) {
        assert.equal(type, 'statechanged')
        heard.push(listener)
      },
      getAllResponseHeaders: () => '',
      getResponseHeader: () => '',
      start() {
        if (begun) return
        begun = true
        enter(UPLOAD_STATES.begun)
        enter(UPLOAD_STATES.connected)
        if (scripted) return
        const body = multipart()
        if (progress === 'android') handle.tell(body.length, body.length)
        const told = (sent, total) => progress === 'steady' && handle.tell(sent, total)
        request = wire('POST', url, { ...headers, 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }, body, told, (answer) => {
          handle.end(answer ? answer.status : 0, answer?.text)
        })
      },
      abort() {
        handle.aborted++
        if (over) return
        over = true
        request?.destroy()
        if (tellsAbort) later(completed, upload, 0)
      },
    })

    function enter(state, status = 0) {
      assert.ok(state >= upload.state, `state ${state} after ${upload.state}`)
      upload.state = state
      handle.states.push(state)
      // As the sizes are now; the one object that all are told of changes.
      for (const listener of heard) later(listener, upload, status)
    }
    const BOUNDARY = '----HtmlPlusBoundary'
    function multipart() {
      const chunks = [...parts].flatMap(([key, { value, path }]) => {
        const name = path && `; filename="${path.split('/').pop()}"\r\nContent-Type: application/octet-stream`
        const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${key}"${name ?? ''}\r\n\r\n`
        return [Buffer.from(head), path ? files.get(path).content : Buffer.from(value), Buffer.from('\r\n')]
      })
      return Buffer.concat([...chunks, Buffer.from(`--${BOUNDARY}--\r\n`)])
    }

    // For the test.
    const handle = {
      url, options, headers, parts, aborted: 0, states: [],
      tell(sent, total) {
        if (over) return
        upload.uploadedSize = sent
        upload.totalSize = total
        enter(UPLOAD_STATES.sending)
      },
      /** `status` 0 is all that is known of a failure. `late` comes although the upload was ended. */
      end(status, text = '', late = false) {
        if (over && !late) return
        over = true
        upload.responseText = text
        if (upload.state !== UPLOAD_STATES.done) enter(UPLOAD_STATES.done, status)
        later(completed, upload, status)
        if (progress === 'android') for (const listener of heard) later(listener, upload, status)
      },
    }
    uploads.push(handle)
    return upload
  }

  function fetch(name, body, options, callback) {
    assert.deepEqual(Object.keys(options).filter((key) => !FETCH_OPTIONS.includes(key)), [])
    assert.match(options.method, /^(GET|POST|PUT|DELETE)$/)
    assert.match(options.url, /^https?:\/\//)
    assert.equal(typeof callback, 'function')
    strings(`${name}: headers`, options.headers)
    const handle = {
      name, body, method: options.method, url: options.url, headers: options.headers, over: false,
      end(answer) {
        if (handle.over) return
        handle.over = true
        const { status = -1, headers = {}, text = '', errorMsg = 'Failed to connect' } = answer ?? {}
        later(callback, status > 0 ? { ok: status > 199 && status < 300, status, statusText: '', headers, data: text } : { ok: false, status, errorMsg })
      },
    }
    fetches.push(handle)
    if (scripted) return
    wire(options.method, options.url, options.headers, body, () => {}, handle.end)
  }

  // A piece of a file; it is read by a FileReader alone.
  const pieces = new WeakMap()
  function piece(path, from, to, { content, modified } = files.get(path)) {
    const file = strict('File', {
      name: path.split('/').pop(), type: 'application/octet-stream', size: to - from, lastModifiedDate: new Date(modified),
      slice(start = 0, end = to - from) {
        assert.ok(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end > start && end <= to - from, `slice(${start}, ${end})`)
        return piece(path, from + start, Math.min(content.length, from + end + (inclusive ? 1 : 0)), { content, modified })
      },
      close() {},
    })
    pieces.set(file, () => files.get(path)?.content.subarray(from, short ? to - 1 : to))
    return file
  }

  function FileReader() {
    const reader = strict('FileReader', {
      readyState: 0, result: null, error: null, onloadstart: null, onload: null, onloadend: null, onerror: null, onabort: null,
      readAsDataURL(file) {
        assert.ok(pieces.has(file), 'readAsDataURL takes a File')
        assert.equal(reader.readyState, 0)
        reader.readyState = 1
        setImmediate(() => {
          const content = pieces.get(file)()
          reader.readyState = 2
          if (content) reader.result = `data:${file.type};base64,${content.toString('base64')}`
          else reader.error = NOT_FOUND
          const event = strict('FileEvent', { target: reader })
          reader[content ? 'onload' : 'onerror']?.(event)
          reader.onloadend?.(event)
        })
      },
    })
    return reader
  }
  const NOT_FOUND = { code: -4, message: '文件不存在' }

  function entryOf(path) {
    return strict('FileEntry', {
      isFile: true, isDirectory: false, name: path.split('/').pop(), fullPath: path,
      file: (succeeded, failed) => (files.has(path) ? later(succeeded, piece(path, 0, files.get(path).content.length)) : later(failed, NOT_FOUND)),
    })
  }
  const absolute = (url) => (/^_(doc|www)\b/.test(url) ? `file:///app/${url}` : url)

  const known = {
    io: strict('plus.io', {
      FileReader,
      convertLocalFileSystemURL: (url) => absolute(url).replace('file://', ''),
      resolveLocalFileSystemURL(url, succeeded, failed) {
        assert.match(url, /^(file:\/\/\/|_doc\/)/)
        const path = absolute(url)
        if (files.has(path)) later(succeeded, entryOf(path))
        else later(failed, NOT_FOUND)
      },
    }),
    uploader: strict('plus.uploader', { createUpload }),
    storage: strict('plus.storage', {
      getItem: (key) => storage.get(key) ?? null,
      setItem(key, value) {
        strings('setItem', { key, value })
        storage.set(key, value)
      },
      removeItem: (key) => void storage.delete(key),
    }),
    networkinfo: strict('plus.networkinfo', { getCurrentType: () => network }),
    // Not documented: uni-app's own.
    globalEvent: strict('plus.globalEvent', { addEventListener: (type, listener) => listeners[type].add(listener) }),
    os: strict('plus.os', { name: 'Android', version: '14' }),
    navigator: strict('plus.navigator', { setStatusBarStyle() {} }),
  }
  const stream = strict('stream', {
    fetch: (options, callback) => fetch('fetch', Buffer.from(options.body ?? ''), options, callback),
    fetchWithArrayBuffer(data, options, callback) {
      assert.deepEqual(Object.keys(data), ['@type', 'base64'])
      assert.ok(data['@type'] === 'binary' && !('body' in options))
      fetch('fetchWithArrayBuffer', Buffer.from(data.base64, 'base64'), options, callback)
    },
  })
  return {
    plus: strict('plus', known),
    known,
    weex: strict('weex', { requireModule: (name) => strict('modules', { stream })[name] }),
    uploads,
    fetches,
    storage,
    /** Puts a file where an App's are; how the App names it. */
    file(name, content) {
      files.set(`file:///app/_doc/${name}`, { content, modified: 1_700_000_000_000 + files.size })
      return `_doc/${name}`
    },
    remove: (path) => files.delete(absolute(path)),
    /** `none` or `wifi`. */
    change(name) {
      network = NETWORKS[name]
      listeners.netchange.forEach((listener) => listener())
    },
  }
}

let bundle

/** The runtime's pages are not tried; of Vue, the App's own life is left. */
function withoutVue(plugins) {
  plugins.onResolve({ filter: /^vue$/ }, () => ({ path: 'vue', namespace: 'none' }))
  plugins.onLoad({ filter: /./, namespace: 'none' }, () => ({ contents: 'exports.injectHook = (event, hook, app) => app[event].push(hook)' }))
}

async function source() {
  const contents = `import runtime from '${PACKAGES}/uni-app-plus/dist/uni.runtime.esm.js'
    import { app as transport } from '${ROOT}client/app.js'
    import { createUploader } from '${ROOT}client/uploader.js'
    globalThis.uni = runtime.uni
    globalThis.UniServiceJSBridge = runtime.UniServiceJSBridge
    export const uploader = (options) => createUploader({ transport, ...options })`
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: ROOT },
    plugins: [{ name: 'no pages', setup: withoutVue }],
    define: { 'process.env.NODE_ENV': '"development"' },
    bundle: true, write: false, format: 'iife', globalName: 'client', target: 'es2018', logLevel: 'error',
  })
  return outputFiles[0].text
}

/** Starts the App anew; `now` is its clock. */
export async function startApp({ now = Date.now, ...options } = {}) {
  bundle ??= await source()
  const native = makePlus(options)
  // Through the test's own, which it may mock.
  const timers = { setTimeout: (...all) => globalThis.setTimeout(...all), clearTimeout: (timer) => globalThis.clearTimeout(timer) }
  const { plus, weex } = native
  const life = { onShow: [], onHide: [] }
  const getApp = () => ({ $vm: { $: life } })
  const context = createContext({ plus, weex, ...timers, __uniConfig: {}, getApp, getCurrentPages: () => [] })
  runInContext('Date', context).now = now
  runInContext(bundle, context)
  /** `onShow` or `onHide`. */
  const enter = (event) => life[event].forEach((hook) => hook())
  return { ...native, enter, uni: context.uni, uploader: (more) => context.client.uploader(more) }
}
