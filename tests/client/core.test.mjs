// The parts of the client that need no server: what is told of progress, what is remembered, what waits for what.

import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'

import { createUploader } from '../../client/uploader.js'
import { UploadError } from '../../client/errors.js'
import { memory, watched } from './client.mjs'
import { eventually } from './program.mjs'

const MIB = 1024 * 1024
const ITEM = { url: 'https://example.com/a.png', recall_token: 'token' }
const tick = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms))
const ok = (data) => ({ status: 200, text: JSON.stringify({ msg: 'ok', data }) })

/** A transport of which the test decides all: `forms` and `calls` hold what was begun. */
function scripted(more) {
  const forms = []
  const calls = []
  const started = (list) => (request) => {
    const running = { ...request, stopped: 0 }
    const answer = new Promise((resolve, reject) => Object.assign(running, { resolve, reject }))
    list.push(running)
    // Nobody waits for it.
    if (request.method === 'DELETE') running.resolve({ status: 200, text: '{}' })
    return { answer, stop: () => running.stopped++ }
  }
  const changes = []
  const transport = {
    parts: 2,
    steady: true,
    open: async (file) => ({ name: 'a.png', type: 'image/png', print: 'a', ...file }),
    slice: async (source, from, to) => ({ from, to }),
    form: started(forms),
    send: started(calls),
    storage: memory(),
    online: () => true,
    watch: (changed) => changes.push(changed),
    ...more,
  }
  return { transport, forms, calls, change: () => changes.forEach((changed) => changed()) }
}

function uploaderOf({ transport }, options) {
  return createUploader({ api: 'https://example.com/api/chat', transport, retry: { delays: [1, 1] }, ...options })
}

describe('progress', () => {
  test('is whole, never runs backwards, and says 100 with the answer alone', async () => {
    const fake = scripted()
    const task = uploaderOf(fake).upload({ size: 1000 })
    const told = watched(task)
    await tick()
    fake.forms[0].progress(1100, 2000)
    fake.forms[0].progress(1900, 2000)
    fake.forms[0].reject({ code: 'network' })
    await eventually(() => fake.forms[1], 'it is sent again')
    fake.forms[1].progress(200, 2000)
    fake.forms[1].progress(2000, 2000)
    await tick()
    assert.equal(task.state, 'finishing')
    fake.forms[1].resolve(ok([ITEM]))
    const { progress, item } = await told
    assert.deepEqual(item, ITEM)
    assert.ok(progress.every(({ percent, sent }, index) => Number.isInteger(percent) && (!index || (percent >= progress[index - 1].percent && sent >= progress[index - 1].sent))))
    assert.deepEqual(progress.filter(({ percent }) => percent === 100).map(({ phase }) => phase), ['done'])
    const finishing = progress.find(({ phase }) => phase === 'finishing')
    assert.deepEqual([finishing.percent, finishing.sent, finishing.attempt], [99, 1000, 2], 'bytes of the file, not of the body')
  })

  test('is told at most five times a second', async () => {
    mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1000 })
    try {
      const fake = scripted()
      const told = []
      uploaderOf(fake, { formMaxBytes: Infinity }).upload({ size: 1000 * MIB }).on('progress', (progress) => told.push(progress))
      for (let turns = 0; turns < 20; turns++) await Promise.resolve()
      for (let sent = 1; sent <= 500; sent++) {
        mock.timers.setTime(1000 + sent * 10)
        fake.forms[0].progress(sent * MIB, 1000 * MIB)
      }
      assert.ok(told.length > 15 && told.length <= 1 + 5 * 5 + 1, `${told.length} in five seconds`)
      const { speed, percent, known } = told.at(-1)
      assert.ok(Math.abs(speed - 100 * MIB) < MIB, `${speed} bytes per second`)
      assert.ok(percent >= 48 && known)
    } finally {
      mock.timers.reset()
    }
  })

  test('a single "all is sent" is no progress', async () => {
    for (const [size, first, known] of [[MIB, 1, false], [MIB, 0.96, false], [MIB, 0.5, true], [1000, 1, true]]) {
      const fake = scripted()
      const task = uploaderOf(fake).upload({ size })
      const told = watched(task)
      await tick()
      fake.forms[0].progress(first * 1000, 1000)
      fake.forms[0].resolve(ok([ITEM]))
      assert.equal((await told).progress.at(-1).known, known, `${size} ${first}`)
    }
  })

  test('of parts is that of all of them', async () => {
    const fake = scripted()
    const task = uploaderOf(fake).upload({ size: 20 * MIB }, { lane: 'parts' })
    const told = watched(task)
    const answer = async (data) => {
      await tick()
      fake.calls.at(-1).resolve({ status: 200, text: JSON.stringify(data) })
    }
    await answer({ msg: 'ok', data: { limits: {} } })
    await answer({ key: 'k', uploadId: 'u', part_bytes: 10 * MIB })
    await tick()
    for (const call of fake.calls.slice(-2)) call.resolve({ status: 200, text: '{"url":"https://bucket/"}' })
    await tick()
    const [one, two] = fake.calls.slice(-2)
    assert.deepEqual([one.method, one.body, two.body], ['PUT', { from: 0, to: 10 * MIB }, { from: 10 * MIB, to: 20 * MIB }])
    one.progress(5 * MIB, 10 * MIB)
    await tick(220)
    two.progress(5 * MIB, 10 * MIB)
    one.resolve({ status: 200, text: '' })
    two.resolve({ status: 200, text: '' })
    await answer([1, 2].map((PartNumber) => ({ PartNumber, Size: 10 * MIB, ETag: `"${PartNumber}"` })))
    await tick()
    assert.deepEqual(JSON.parse(fake.calls.at(-1).body), { parts: [{ PartNumber: 1, ETag: '"1"' }, { PartNumber: 2, ETag: '"2"' }] })
    await answer({ location: 'x', ...ITEM })
    const { item, progress } = await told
    assert.deepEqual(item, ITEM)
    assert.deepEqual(progress.map(({ percent }) => percent).filter((percent, index, all) => percent !== all[index - 1]), [0, 25, 50, 99, 100].filter((percent) => progress.some((each) => each.percent === percent)))
    assert.ok(progress.some(({ percent }) => percent === 50))
  })
})

describe('the clock', () => {
  test('a platform that never tells of an abort or an end', async () => {
    const fake = scripted()
    const { error } = await watched(uploaderOf(fake, { stallMs: 20, retry: { delays: [1] } }).upload({ size: 10 }))
    assert.deepEqual([error.code, error.attempts, fake.forms.map(({ stopped }) => stopped)], ['stalled', 2, [1, 1]])
  })

  test('a late answer is nobody\'s', async () => {
    const fake = scripted()
    const task = uploaderOf(fake, { stallMs: 20, retry: { delays: Array(1000).fill(1) } }).upload({ size: 10 })
    await eventually(() => fake.forms[1], 'it is sent again')
    fake.forms[0].progress(10, 10)
    fake.forms[0].resolve(ok([{ url: 'late' }]))
    await eventually(() => {
      fake.forms.at(-1).resolve(ok([ITEM]))
      return task.state === 'done'
    }, 'an answer is in time')
    assert.equal((await task).url, ITEM.url)
  })

  test('where progress cannot be relied on, a MiB has a minute', async () => {
    mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1000 })
    try {
      const fake = scripted({ steady: false })
      const task = uploaderOf(fake).upload({ size: 2 * MIB })
      const retries = []
      task.on('retry', ({ error }) => retries.push(error.code))
      const turn = async () => {
        for (let turns = 0; turns < 30; turns++) await Promise.resolve()
      }
      await turn()
      mock.timers.tick(119_000)
      await turn()
      assert.deepEqual(retries, [])
      mock.timers.tick(2000)
      await turn()
      assert.deepEqual(retries, ['stalled'])
    } finally {
      mock.timers.reset()
    }
  })

  test('a change of the network starts over at once, but not a form whose answer is on its way', async () => {
    const fake = scripted()
    const task = uploaderOf(fake).upload({ size: 10 })
    await tick()
    fake.change()
    await eventually(() => fake.forms[1], 'it is sent again')
    fake.forms[1].progress(10, 10)
    fake.change()
    await tick(20)
    assert.equal(fake.forms.length, 2)
    fake.forms[1].resolve(ok([ITEM]))
    await task
  })

  test('in the background nothing is sent, and no attempt is used', async () => {
    let online = true
    const fake = scripted({ online: () => online })
    const told = watched(uploaderOf(fake, { retry: { delays: [] } }).upload({ size: 10 }))
    await tick()
    online = false
    fake.forms[0].reject({ code: 'interrupted', cause: 'uploadFile:fail interrupted' })
    await tick(20)
    assert.equal(fake.forms.length, 1)
    online = true
    fake.change()
    await tick()
    fake.forms[1].resolve(ok([ITEM]))
    assert.deepEqual((await told).retries, ['interrupted'])
  })

  test('delays have full jitter', async () => {
    const waits = []
    for (let round = 0; round < 40; round++) {
      const fake = scripted()
      const task = uploaderOf(fake, { retry: { delays: [10] } }).upload({ size: 10 })
      task.on('retry', ({ afterMs }) => waits.push(afterMs))
      await tick()
      fake.forms[0].reject({})
      await tick()
      task.abort()
    }
    assert.ok(Math.min(...waits) < 3 && Math.max(...waits) > 7 && Math.max(...waits) <= 10, String(waits))
  })
})

describe('what is asked for', () => {
  test('no more files in flight than there are places', async () => {
    const fake = scripted()
    const all = uploaderOf(fake, { files: 2 }).uploadAll([1, 2, 3, 4].map((size) => ({ size })))
    await tick()
    assert.equal(fake.forms.length, 2)
    fake.forms[0].resolve(ok([ITEM]))
    await tick()
    assert.equal(fake.forms.length, 3)
    assert.deepEqual(all.tasks.map(({ state }) => state), ['done', 'sending', 'sending', 'waiting'])
    all.tasks.forEach((task) => task.abort())
    assert.deepEqual((await all).map(({ status }) => status), ['done', 'aborted', 'aborted', 'aborted'])
  })

  test('the server\'s limits choose the lane, and refuse what no lane takes', async () => {
    const limits = { max_bytes: 5 * MIB, direct: true, direct_max_bytes: 50 * MIB }
    for (const [size, store, more, lane] of [
      [MIB, 's3', {}, 'form'],
      [5 * MIB, 's3', {}, 'direct'],
      [12 * MIB, 's3', {}, 'parts'],
      [12 * MIB, 'disk', {}, 'direct'],
      [5 * MIB, 's3', { direct: false }, 'form'],
      [5 * MIB + 1, 's3', { direct: false }, 'check_size'],
      [51 * MIB, 's3', {}, 'check_size'],
    ]) {
      const fake = scripted()
      const uploader = uploaderOf(fake)
      const task = uploader.upload({ size })
      const told = watched(task)
      await tick()
      if (size > 4 * MIB) {
        assert.equal(fake.calls[0].url, 'https://example.com/healthz')
        fake.calls[0].resolve(ok({ version: '1', store, limits: { ...limits, ...more } }))
      }
      await tick()
      assert.equal(task.lane || (await told).error.code, lane, `${size} ${store}`)
      task.abort()
    }
  })

  test('a file larger than the page allows is not sent', async () => {
    const fake = scripted()
    const { error } = await watched(uploaderOf(fake, { maxBytes: 9 }).upload({ size: 10 }))
    assert.deepEqual([error.code, error.phase, fake.forms.length], ['check_size', 'check', 0])
  })

  test('parts where the platform has none', async () => {
    const fake = scripted({ parts: 0 })
    const uploader = uploaderOf(fake)
    assert.equal((await watched(uploader.upload({ size: 10 }, { lane: 'parts' }))).error.code, 'unsupported')
    const task = uploader.upload({ size: 20 * MIB })
    await tick()
    fake.calls[0].resolve(ok({ store: 's3', limits: { max_bytes: 1, direct: true, direct_max_bytes: 30 * MIB } }))
    await tick()
    assert.equal(task.lane, 'direct')
    task.abort()
  })

  test('the address of the server in all its forms', async () => {
    for (const [api, url] of [
      ['https://a/api/chat', 'https://a'],
      ['https://a/api/chat/', 'https://a'],
      ['https://a/x/api', 'https://a/x'],
      ['https://a', 'https://a'],
      ['/api/chat', ''],
      ['', ''],
    ]) {
      const fake = scripted()
      const task = uploaderOf(fake, { api }).upload({ size: 1 })
      await tick()
      assert.equal(fake.forms[0].url, `${url}/api/chat/uploadAliyun`)
      task.abort()
    }
  })

  test('a file that cannot be opened or read', async () => {
    const cause = new Error('gone')
    const closed = scripted({ open: () => Promise.reject(cause) })
    const { error } = await watched(uploaderOf(closed).upload({ size: 1 }))
    assert.deepEqual([error.code, error.cause, error.retryable], ['file_unreadable', cause, false])
  })

  test('a listener that is removed', async () => {
    const fake = scripted()
    const task = uploaderOf(fake).upload({ size: 1 })
    const heard = []
    const off = task.on('state', (state) => heard.push(state))
    off()
    await tick()
    fake.forms[0].resolve(ok([ITEM]))
    await task
    assert.deepEqual(heard, [])
  })
})

describe('what is remembered', () => {
  const entry = (at) => JSON.stringify({ x: { key: 'k', uploadId: 'u', partBytes: 1, size: 5, name: 'a', at } })

  test('is forgotten after 23 hours', () => {
    for (const [hours, count] of [[22, 1], [24, 0]]) {
      const storage = memory()
      storage.set('chat-upload/1', entry(Date.now() - hours * 3_600_000))
      assert.equal(uploaderOf(scripted({ storage })).pending().length, count)
    }
  })

  test('storage that is off, broken or not ours does no harm', async () => {
    const broken = { get: () => 'not json', set: () => assert.fail('full') }
    const off = { get() { throw new Error('off') }, set() { throw new Error('off') } }
    for (const resume of [broken, off, false]) {
      const fake = scripted()
      const uploader = uploaderOf(fake, { resume })
      assert.deepEqual(uploader.pending(), [])
      const task = uploader.upload({ size: 10 }, { lane: 'parts' })
      await tick()
      fake.calls[0].resolve({ status: 200, text: '{"key":"k","uploadId":"u"}' })
      await tick()
      assert.match(fake.calls[1].url, /\/s3\/multipart\/u\/1\?key=k$/)
      task.abort()
    }
  })
})

test('an error says what it is, and whether to try again', () => {
  const { name, code, message, english, status, requestId, phase, attempts, retryable } = new UploadError('stalled')
  assert.deepEqual({ name, code, message, english, status, requestId, phase, attempts, retryable }, {
    name: 'UploadError', code: 'stalled', message: '网络异常，请稍后重试', english: 'stalled', status: 0, requestId: '', phase: 'send', attempts: 1, retryable: true,
  })
  assert.ok(new UploadError('x') instanceof Error)
})
