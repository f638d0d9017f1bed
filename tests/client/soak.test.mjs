// Two hundred uploads through a network that cuts one connection in three, wherever it hurts.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'

import { uploaderFor } from './client.mjs'
import { bucket, bytesOf, makeFile, startWithBucket } from './program.mjs'
import { startProxy } from './proxy.mjs'

const UPLOADS = 200
const LANES = ['form', 'direct', 'parts']
const LARGEST = 20_000_000
const CLIENTS = /X-Amz-Signature=|multipart\/form-data/
// An attempt at a part is three requests: the parts that are there, an address, the part. 19 of 27 attempts lose one of them, so
// with twelve retries in a row one part in a hundred would still fail; with forty it is one in two million.
const RETRIES = 40

/** Numbers from 0 to 1, the same ones in each run. */
function random(seed) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/**
 * Cuts one connection in three: at its beginning, in its body, before its answer, in its answer. Which one is drawn, not
 * counted: four uploads that retry after equal delays can fall into step with a count, and then one of them meets every cut.
 */
function cutter(next) {
  let connections = 0
  const tally = { connections: () => connections, cut: 0, answersLost: {} }
  tally.fault = ({ method, path, length }) => {
    connections++
    if (next() >= 1 / 3) return undefined
    tally.cut++
    const where = next()
    if (where < 0.15) return { refuse: true }
    if (where < 0.6 && length > 0) return { cutAfter: Math.floor(next() * length) }
    const route = `${method} ${path.split('?')[0]}`
    tally.answersLost[route] = (tally.answersLost[route] || 0) + 1
    return { cutAnswerAfter: where < 0.8 ? 0 : 40 }
  }
  return tally
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

test(`${UPLOADS} uploads through a network that cuts one connection in three`, async (t) => {
  await bucket.clear()
  const next = random(17)
  const tally = cutter(next)
  const storeProxy = await startProxy(t, bucket.port, (request) => (CLIENTS.test(request.head) ? tally.fault(request) : undefined))
  const program = await startWithBucket(t, storeProxy.endpoint)
  const proxy = await startProxy(t, Number(program.address.split(':')[1]), tally.fault)
  const uploader = uploaderFor(`127.0.0.1:${proxy.port}`, { files: 4, retry: { delays: Array(RETRIES).fill(10) } })

  // Sizes of all magnitudes, each another one, so that a size tells whose an object is.
  const sizes = new Set([1, LARGEST])
  while (sizes.size < UPLOADS) sizes.add(Math.max(1, Math.round(LARGEST ** next())))
  const uploads = [...sizes].map((size, index) => ({ size, lane: LANES[index % 3] }))
  let retries = 0
  let backwards = 0
  const results = await Promise.all(
    uploads.map(async ({ size, lane }) => {
      const file = makeFile(size)
      const task = uploader.upload(file, { lane })
      let percent = 0
      task.on('retry', () => retries++)
      task.on('progress', (progress) => {
        if (progress.percent < percent || (progress.percent === 100) !== (progress.phase === 'done')) backwards++
        percent = progress.percent
      })
      const item = await task
      return { item, size, lane, hash: sha256(await bytesOf(file)) }
    }),
  )

  for (const { item, size, hash } of results) {
    assert.equal(item.size, size)
    assert.equal(sha256(await bucket.read(item.path)), hash, `other bytes in ${item.path}`)
  }
  assert.equal(backwards, 0, 'progress ran backwards, or said 100 too early')

  const answered = new Set(results.map(({ item }) => item.path))
  assert.equal(answered.size, UPLOADS)
  const objects = await bucket.objects()
  const others = Object.keys(objects).filter((key) => !answered.has(key))
  const laneOf = Object.fromEntries(uploads.map(({ size, lane }) => [size, lane]))
  const copies = others.filter((key) => key.startsWith('images/'))
  assert.deepEqual(others.filter((key) => !key.startsWith('images/')), [], 'something is left over')
  assert.deepEqual(copies.filter((key) => laneOf[objects[key]] !== 'form'), [], 'stored twice by direct or parts')

  const lost = (route) => tally.answersLost[route] || 0
  const formAnswers = lost('POST /api/chat/uploadAliyun')
  assert.ok(copies.length <= formAnswers, `${copies.length} copies, but ${formAnswers} answers were lost`)
  const open = await bucket.uploads()
  const unknown = lost('POST /s3/multipart')
  assert.ok(open.length <= unknown, `${open.length} uploads are open, but ${unknown} ids were lost`)

  t.diagnostic(`${tally.connections()} connections, ${tally.cut} cut, ${retries} retries`)
  t.diagnostic(`form: ${copies.length} second copies for ${formAnswers} answers lost; direct and parts: none, nothing pending`)
  t.diagnostic(`${open.length} part uploads open whose id got lost with the answer (${unknown} lost)`)
})
