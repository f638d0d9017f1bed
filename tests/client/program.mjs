// The built program, and the bucket it stores into, as the tests see them. scripts/check-client says where they are.

import { spawn } from 'node:child_process'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const SECRET = 'secret of check-client'
const ROOT = new URL('../../', import.meta.url)
const { CHECK_BINARY, CHECK_S3_PORT, CHECK_S3_BUCKET, CHECK_S3_KEY, CHECK_S3_SECRET } = process.env

/** Runs until the test ends. `address` is host and port. */
export async function startProgram(test, variables) {
  const environment = { UPLOAD_ADDR: '127.0.0.1:0', UPLOAD_SIGNING_SECRET: SECRET, ...variables }
  const wanted = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined))
  const child = spawn(CHECK_BINARY, { env: wanted, stdio: ['ignore', 'pipe', 'pipe'] })
  test.after(() => child.kill())
  const lines = []
  const address = await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => {
        lines.push(line)
        const found = /listening on http:\/\/([\d.:]+)/.exec(line)
        if (found) resolve(found[1])
      })
    }
    child.on('exit', (code) => reject(new Error(`the program ended with ${code}: ${lines.join('\n')}`)))
  })
  return { address, lines }
}

/** A program that stores into a folder, and what lies there. */
export async function startWithFolder(test, variables) {
  const folder = mkdtempSync(join(tmpdir(), 'check-client-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  const program = await startProgram(test, { UPLOAD_STORE: `disk:${folder}`, ...variables })
  const stored = () =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
      .sort()
  return { ...program, stored, read: (path) => readFileSync(join(folder, path)) }
}

/** A program that stores into the bucket, which it and its clients reach at `endpoint`. */
export function startWithBucket(test, endpoint, variables) {
  return startProgram(test, {
    UPLOAD_STORE: `s3://${CHECK_S3_BUCKET}`,
    UPLOAD_ENDPOINT: endpoint,
    UPLOAD_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: CHECK_S3_KEY,
    AWS_SECRET_ACCESS_KEY: CHECK_S3_SECRET,
    ...variables,
  })
}

const hash = (data) => createHash('sha256').update(data).digest('hex')

/** The bucket itself, past every proxy, with signatures of our own. */
export const bucket = {
  port: Number(CHECK_S3_PORT),

  async call(method, path = '', query = {}) {
    const host = `127.0.0.1:${CHECK_S3_PORT}`
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
    const scope = `${time.slice(0, 8)}/us-east-1/s3/aws4_request`
    const search = Object.keys(query).sort().map((name) => `${encodeURIComponent(name)}=${encodeURIComponent(query[name])}`).join('&')
    const whole = `/${CHECK_S3_BUCKET}${path && `/${path}`}`
    const headers = { host, 'x-amz-content-sha256': hash(''), 'x-amz-date': time }
    const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('')
    const names = Object.keys(headers).join(';')
    const canonical = [method, whole, search, lines, names, hash('')].join('\n')
    const key = scope.split('/').reduce((last, part) => createHmac('sha256', last).update(part).digest(), `AWS4${CHECK_S3_SECRET}`)
    const signature = createHmac('sha256', key).update(['AWS4-HMAC-SHA256', time, scope, hash(canonical)].join('\n')).digest('hex')
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${CHECK_S3_KEY}/${scope}, SignedHeaders=${names}, Signature=${signature}`
    return new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: CHECK_S3_PORT, method, path: search ? `${whole}?${search}` : whole, headers }, async (answer) => {
        const chunks = []
        for await (const chunk of answer) chunks.push(chunk)
        resolve({ status: answer.statusCode, body: Buffer.concat(chunks) })
      })
      sent.on('error', reject)
      sent.end()
    })
  },

  /** `{key: size}` of everything that lies there. */
  async objects() {
    const text = String((await this.call('GET', '', { 'list-type': '2' })).body)
    if (text.includes('<IsTruncated>true')) throw new Error('more than one page')
    const found = text.matchAll(/<Contents>.*?<Key>(.*?)<\/Key>.*?<Size>(\d+)<\/Size>.*?<\/Contents>/gs)
    return Object.fromEntries([...found].map(([, key, size]) => [key, Number(size)]))
  },

  /** `[{key, id}]` of multipart uploads that were neither completed nor aborted. */
  async uploads() {
    const text = String((await this.call('GET', '', { uploads: '' })).body)
    const found = text.matchAll(/<Upload>(.*?)<\/Upload>/gs)
    return [...found].map(([, upload]) => ({ key: /<Key>(.*?)<\/Key>/.exec(upload)[1], id: /<UploadId>(.*?)<\/UploadId>/.exec(upload)[1] }))
  },

  async read(key) {
    const { status, body } = await this.call('GET', key)
    if (status !== 200) throw new Error(`${key}: ${status}`)
    return body
  },

  abort: (key, id) => bucket.call('DELETE', key, { uploadId: id }),

  async clear() {
    for (const key of Object.keys(await this.objects())) await this.call('DELETE', key)
    for (const { key, id } of await this.uploads()) await this.abort(key, id)
  },
}

/** A token as the chat's login hands them out. */
export function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ id: 7, ...claims })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}

const PICTURE = readFileSync(new URL('events/picture.png', ROOT))

/** A file of `size` bytes that no other one equals: text as long as no picture fits. */
export function makeFile(size, name = 'IMG_0001.png') {
  if (size < PICTURE.length) return new File(['a'.repeat(size)], 'note.txt', { type: 'text/plain', lastModified: 1 })
  return new File([PICTURE, randomBytes(size - PICTURE.length)], name, { type: 'image/png', lastModified: 1 })
}

export const bytesOf = async (file) => Buffer.from(await file.arrayBuffer())

/** Polls, since what is undone after an answer, or after none, takes its time. */
export async function eventually(isSo, sentence) {
  const end = Date.now() + 10000
  let found
  do {
    found = await isSo()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  } while (Date.now() < end)
  throw new Error(`waited in vain until ${sentence}`)
}
