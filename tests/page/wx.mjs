// `wx` in Node, as strict as WeChat's where an uploader could trip: what is not here does not exist, and fails the test.
// Facts: developers.weixin.qq.com, pages of wx.uploadFile, wx.request and FileSystemManager. Types are checked against
// miniprogram-api-typings by name only.

import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { basename } from 'node:path'

const MOST_IN_FLIGHT = 10
const TIMEOUT_MS = 60000
const REFERER = 'https://servicewechat.com/touristappid/devtools/page-frame.html'

/**
 * `redirect`  address → address that is really asked
 * `android`   progress is one event that says 100
 */
export function makeWx({ redirect = (url) => url, android = false } = {}) {
  const running = new Set()
  const storage = new Map()
  const listeners = { networkStatusChange: new Set(), appShow: new Set(), appHide: new Set() }
  const chosen = { image: [], video: [], file: [] }
  const calls = []

  const settle = (options, name, outcome, value) => {
    queueMicrotask(() => {
      options[outcome]?.(value)
      options.complete?.(value)
    })
  }
  const succeed = (options, name, value = {}) => settle(options, name, 'success', { errMsg: `${name}:ok`, ...value })
  const fail = (options, name, reason) => settle(options, name, 'fail', { errMsg: `${name}:fail ${reason}` })

  /** One request on the wire; the task that WeChat gives for it. */
  function start(name, options, method, body, headers, received) {
    calls.push({ name, url: options.url, method })
    const progress = new Set()
    const task = {
      abort: () => end('fail', 'abort'),
      onProgressUpdate: (listener) => progress.add(listener),
      offProgressUpdate: (listener) => progress.delete(listener),
      onHeadersReceived() {},
      offHeadersReceived() {},
    }
    let timer, sent
    const end = (outcome, value) => {
      if (!running.delete(end)) return
      clearTimeout(timer)
      if (outcome === 'fail') {
        sent?.destroy()
        fail(options, name, value)
      } else succeed(options, name, value)
    }
    if (running.size >= MOST_IN_FLIGHT) {
      fail(options, name, 'exceed max task count')
      return task
    }
    running.add(end)
    timer = setTimeout(() => end('fail', 'timeout'), options.timeout ?? TIMEOUT_MS)
    sent = httpRequest(redirect(options.url), { method, headers: { ...headers, referer: REFERER } }, async (answer) => {
      const chunks = []
      for await (const chunk of answer) chunks.push(chunk)
      const text = Buffer.concat(chunks).toString()
      end('success', { statusCode: answer.statusCode, header: answer.headers, cookies: [], data: received(text) })
    })
    sent.on('error', () => end('fail', 'connection reset'))
    const tell = (bytes) =>
      progress.forEach((listener) => listener({ progress: Math.round((bytes / body.length) * 100), totalBytesSent: bytes, totalBytesExpectedToSend: body.length }))
    if (android) setTimeout(() => tell(body.length))
    const step = 256 * 1024
    const write = (at) => {
      if (!running.has(end)) return
      if (at >= body.length) return sent.end()
      const next = Math.min(at + step, body.length)
      sent.write(body.subarray(at, next), () => {
        if (!android) tell(next)
        write(next)
      })
    }
    write(0)
    return task
  }

  function uploadFile(options) {
    const { url, filePath, name, formData = {}, header = {} } = options
    for (const [key, value] of Object.entries({ url, filePath, name })) assert.equal(typeof value, 'string', `uploadFile: ${key}`)
    assert.equal(options.method, undefined, 'uploadFile posts, and nothing else')
    let content
    try {
      content = readFileSync(filePath)
    } catch {
      fail(options, 'uploadFile', 'no such file or directory')
      return { abort() {}, onProgressUpdate() {}, offProgressUpdate() {} }
    }
    const boundary = '----WxBoundary7MA4YWxkTrZu0gW'
    const field = (key, value) => `--${boundary}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`
    const fields = Object.entries(formData).map(([key, value]) => {
      assert.ok(['string', 'number', 'boolean'].includes(typeof value), `formData.${key}`)
      return field(key, value)
    })
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${basename(filePath)}"\r\nContent-Type: application/octet-stream\r\n\r\n`
    const body = Buffer.concat([Buffer.from(fields.join('') + head), content, Buffer.from(`\r\n--${boundary}--\r\n`)])
    const kept = Object.entries(header).filter(([key]) => !['referer', 'content-type'].includes(key.toLowerCase()))
    const headers = { ...Object.fromEntries(kept), 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': body.length }
    return start('uploadFile', options, 'POST', body, headers, (text) => text)
  }

  function request(options) {
    const { data, header = {}, method = 'GET', dataType = 'json' } = options
    assert.ok(['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT'].includes(method), method)
    const plain = data === undefined || typeof data === 'string' || data instanceof ArrayBuffer || (data && Object.getPrototypeOf(data) === Object.prototype)
    assert.ok(plain, 'request: data is a string, an object or an ArrayBuffer')
    const body = data === undefined ? Buffer.alloc(0) : Buffer.from(typeof data === 'string' ? data : data instanceof ArrayBuffer ? data : JSON.stringify(data))
    const kept = Object.entries(header).filter(([key]) => key.toLowerCase() !== 'referer')
    const named = kept.some(([key]) => key.toLowerCase() === 'content-type')
    const headers = { ...(named ? {} : { 'content-type': 'application/json' }), ...Object.fromEntries(kept), 'content-length': body.length }
    const received = (text) => {
      if (dataType !== 'json') return text
      try {
        return JSON.parse(text)
      } catch {
        return text
      }
    }
    return start('request', options, method, body, headers, received)
  }

  const files = {
    stat(options) {
      try {
        const { size, mtimeMs } = statSync(options.path)
        succeed(options, 'stat', { stats: { size, lastModifiedTime: mtimeMs / 1000, isFile: () => true, isDirectory: () => false } })
      } catch {
        fail(options, 'stat', 'no such file or directory')
      }
    },
    readFile(options) {
      const { filePath, position = 0, encoding } = options
      assert.equal(encoding, undefined, 'readFile: binary')
      const { size } = statSync(filePath)
      const length = options.length ?? size - position
      if (position < 0 || length < 1 || position + length > size) return fail(options, 'readFile', 'the value of "position" or "length" is out of range')
      const descriptor = openSync(filePath, 'r')
      const buffer = new ArrayBuffer(length)
      readSync(descriptor, new Uint8Array(buffer), 0, length, position)
      closeSync(descriptor)
      succeed(options, 'readFile', { data: buffer })
    },
  }

  const known = {
    uploadFile,
    request,
    getFileSystemManager: () => files,
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, value),
    removeStorageSync: (key) => void storage.delete(key),
    onNetworkStatusChange: (listener) => listeners.networkStatusChange.add(listener),
    offNetworkStatusChange: (listener) => listeners.networkStatusChange.delete(listener),
    onAppShow: (listener) => listeners.appShow.add(listener),
    offAppShow: (listener) => listeners.appShow.delete(listener),
    onAppHide: (listener) => listeners.appHide.add(listener),
    offAppHide: (listener) => listeners.appHide.delete(listener),
    getSystemInfoSync: () => ({ platform: 'devtools', SDKVersion: '3.8.0', language: 'zh_CN', pixelRatio: 2, windowWidth: 390, windowHeight: 844 }),
    getAppBaseInfo: () => ({ SDKVersion: '3.8.0', language: 'zh_CN', host: { env: 'WeChat' } }),
    getDeviceInfo: () => ({ platform: 'devtools', brand: 'devtools', model: 'test' }),
    getWindowInfo: () => ({ pixelRatio: 2, windowWidth: 390, windowHeight: 844 }),
    getLaunchOptionsSync: () => ({ path: 'pages/chat/chat', query: {}, scene: 1001 }),
    getEnterOptionsSync: () => ({ path: 'pages/chat/chat', query: {}, scene: 1001 }),
    getAccountInfoSync: () => ({ miniProgram: { appId: 'touristappid', envVersion: 'develop' } }),
    getRecorderManager: () => ({ onStart() {}, onStop() {}, onError() {}, start() {}, stop() {} }),
    chooseImage: (options) => succeed(options, 'chooseImage', { tempFilePaths: chosen.image, tempFiles: chosen.image.map((path) => ({ path, size: statSync(path).size })) }),
    chooseVideo(options) {
      const [tempFilePath] = chosen.video
      succeed(options, 'chooseVideo', { tempFilePath, size: statSync(tempFilePath).size, duration: 1, width: 320, height: 240 })
    },
    chooseMessageFile(options) {
      assert.ok(options.count >= 0 && options.count <= 100)
      succeed(options, 'chooseMessageFile', { tempFiles: chosen.file.map((path) => ({ path, name: basename(path), size: statSync(path).size, type: 'file', time: 0 })) })
    },
    showActionSheet(options) {
      const tapIndex = options.itemList.indexOf(wx.tapped)
      if (tapIndex < 0) fail(options, 'showActionSheet', 'cancel')
      else succeed(options, 'showActionSheet', { tapIndex })
    },
    showToast: (options) => succeed(options, 'showToast'),
    canIUse: () => true,
  }
  // Not part of WeChat: for the test.
  const handles = {
    chosen,
    calls,
    running,
    storage,
    tapped: '',
    /** The app goes to the background: what is under way fails. */
    interrupt: () => [...running].forEach((end) => end('fail', 'interrupted')),
    emit: (event, value) => listeners[event].forEach((listener) => listener(value)),
  }
  const wx = new Proxy(Object.assign(handles, known), {
    get(target, name) {
      if (name in target || typeof name === 'symbol' || ASKED_FOR.has(name)) return target[name]
      throw new Error(`wx.${name} is not in this shim`)
    },
  })
  wx.names = Object.keys(known)
  return wx
}

// uni-app's runtime looks whether these are there.
const ASKED_FOR = new Set(['createApp', 'createPage', 'createComponent', 'createPluginApp', 'createSubpackageApp', '$emit', 'then', 'toJSON', 'cloud', 'onError', 'onUnhandledRejection'])
