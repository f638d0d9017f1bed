// Shared by the tests in a browser: the built program, a network that breaks, Chromium, and files.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

export const ROOT = new URL('../../', import.meta.url).pathname
const SHOTS = join(ROOT, 'target', 'page')
mkdirSync(SHOTS, { recursive: true })

export const media = (name) => readFileSync(join(ROOT, 'tests', 'media', name))
export const file = (name, mimeType, buffer) => ({ name, mimeType, buffer })
export const screenshot = (page, name, fullPage = true) => page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage })

/** The local server with a folder of its own, until `end`. */
export async function startProgram(variables = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'check-page-'))
  const env = { UPLOAD_ADDR: '127.0.0.1:0', UPLOAD_STORE: `disk:${folder}`, ...variables }
  const child = spawn(process.env.CHECK_BINARY, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = []
  const port = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => {
        lines.push(line)
        const found = /listening on http:\/\/[\d.]+:(\d+)/.exec(line)
        if (found) resolve(Number(found[1]))
      })
    }
    child.on('exit', (code) => reject(new Error(`the program ended with ${code}: ${lines.join('\n')}`)))
  })
  return {
    port,
    address: `http://127.0.0.1:${port}`,
    /** Paths of what is stored, temporary files included. */
    stored: () =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1)),
    read: (path) => readFileSync(join(folder, path)),
    end() {
      child.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Passes TCP on to `port`; `cut(bytes, times)`: every connection breaks when so many bytes have gone towards the server. */
export async function startProxy(port) {
  const sockets = new Set()
  let left = Infinity
  let plan = []
  const proxy = {
    cuts: 0,
    cut(bytes, times) {
      plan = Array(times).fill(bytes)
      left = plan.pop()
    },
  }
  const server = createTcpServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    }
    client.on('data', (chunk) => {
      left -= chunk.length
      if (left > 0) return
      left = plan.pop() ?? Infinity
      proxy.cuts++
      sockets.forEach((socket) => socket.resetAndDestroy())
    })
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.address = `http://127.0.0.1:${server.address().port}`
  proxy.end = () => {
    server.close()
    sockets.forEach((socket) => socket.destroy())
  }
  return proxy
}

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' }

/** Serves a folder, as a web server of the chat's own would. */
export async function serveFolder(folder) {
  const server = createServer(({ url }, answer) => {
    const path = new URL(url, 'http://x').pathname
    const wanted = join(folder, path === '/' ? 'index.html' : path)
    try {
      const content = readFileSync(wanted)
      answer.writeHead(200, { 'content-type': TYPES[extname(wanted)] ?? 'application/octet-stream' }).end(content)
    } catch {
      answer.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `http://127.0.0.1:${server.address().port}`, end: () => server.close() }
}

/** Serves one page, of an origin of its own. */
export async function serveText(html) {
  const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end(html))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `http://127.0.0.1:${server.address().port}`, end: () => server.close() }
}

/** Chromium without anything that would look up hosts of its own; `more` flags. */
export const startChromium = (...more) =>
  chromium.launch({
    executablePath: process.env.CHECK_CHROMIUM,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', ...more,
    ],
  })

/** A page whose errors count: uncaught ones, and what the console says, breaches of the policy among it. */
export async function openPage(browser, options, address) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.setDefaultTimeout(20000)
  const errors = []
  page.on('pageerror', (error) => errors.push(String(error)))
  // The browser's own word for every answer of 400 and above, and for every connection that breaks.
  const expected = /Failed to load resource/
  page.on('console', (message) => message.type() === 'error' && !expected.test(message.text()) && errors.push(message.text()))
  await page.goto(address)
  return { page, context, errors }
}

/** A picture as large and as varied as a photo's. */
export async function photo(browser, width = 1200, height = 800) {
  const page = await browser.newPage({ viewport: { width, height } })
  await page.setContent(
    `<body style="margin:0;height:100vh;background:linear-gradient(160deg,#f7b267,#f4845f 45%,#544e8c)">
     <div style="position:absolute;left:58%;top:26%;width:120px;height:120px;border-radius:50%;background:#ffe8a3"></div>
     <div style="position:absolute;bottom:0;width:100%;height:34%;background:#2d3a5e;clip-path:polygon(0 60%,20% 10%,38% 55%,60% 0,80% 50%,100% 20%,100% 100%,0 100%)"></div>`,
  )
  const picture = await page.screenshot({ type: 'jpeg', quality: 92 })
  await page.close()
  return picture
}

/** Network of so many bytes a second, until the function it gives is called. */
export async function throttle(context, page, bytesPerSecond) {
  const session = await context.newCDPSession(page)
  const set = (rate) =>
    session.send('Network.emulateNetworkConditions', { offline: false, latency: 20, uploadThroughput: rate, downloadThroughput: rate })
  await set(bytesPerSecond)
  return async () => {
    await set(-1)
    await session.detach()
  }
}

const KEYFRAME = { at: 863, bytes: 957 }

/** A film of so many seconds, whose pictures, one a second, lie `apart` bytes from each other. All are the sample's first. */
export function longFilm(seconds, apart) {
  const sample = media('mp42-faststart.mp4')
  const numbers = (...all) => Buffer.from(Uint32Array.from(all).buffer).swap32()
  const box = (kind, ...parts) => {
    const payload = Buffer.concat(parts)
    return Buffer.concat([numbers(payload.length + 8), Buffer.from(kind), payload])
  }
  const set = (payload, at, value) => payload.fill(numbers(value), at, at + 4)
  const edit = {
    mvhd: (payload) => set(payload, 16, payload.readUInt32BE(12) * seconds),
    tkhd: (payload) => set(payload, 20, 1000 * seconds),
    mdhd: (payload) => set(payload, 16, payload.readUInt32BE(12) * seconds),
    stts: () => numbers(0, 1, seconds, 0x2800),
    stsc: () => numbers(0, 1, 1, 1, 1),
    stsz: () => numbers(0, KEYFRAME.bytes, seconds),
    stco: () => numbers(0, seconds, ...places),
  }
  const all = (from, to) => {
    const made = []
    for (let at = from; at < to; at += sample.readUInt32BE(at)) made.push(one(at, sample.toString('latin1', at + 4, at + 8)))
    return made
  }
  const one = (at, kind) => {
    const to = at + sample.readUInt32BE(at)
    if (/moov|trak|mdia|minf|stbl/.test(kind)) return box(kind, ...all(at + 8, to))
    // Every picture is complete, and the first is shown first.
    if (/edts|stss|free|mdat/.test(kind)) return Buffer.alloc(0)
    return box(kind, edit[kind]?.(Buffer.from(sample.subarray(at + 8, to))) ?? sample.subarray(at + 8, to))
  }
  const head = () => Buffer.concat(all(0, sample.length))
  let places = Array(seconds).fill(0)
  const first = head().length + 8
  places = places.map((_, second) => first + second * apart)
  const picture = sample.subarray(KEYFRAME.at, KEYFRAME.at + KEYFRAME.bytes)
  const padded = Buffer.concat([picture, Buffer.alloc(apart - picture.length)])
  return Buffer.concat([head(), box('mdat', ...Array(seconds).fill(padded))])
}
