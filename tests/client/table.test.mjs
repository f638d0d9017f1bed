// Every row of README's table of what a client does, against the built program and SeaweedFS, with a network between
// that does what the row says.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { memory, uploaderFor, watched } from './client.mjs'
import { SECRET, bucket, bytesOf, eventually, makeFile, startWithBucket, startWithFolder, token } from './program.mjs'
import { failed, http, inOrder, refused, startProxy } from './proxy.mjs'

const FORM = 'POST /api/chat/uploadAliyun'
const POLICY = 'POST /api/chat/uploadPolicy'
const COMPLETE = 'POST /api/chat/uploadComplete'
const PENDING = 'POST /api/chat/uploadPending'
const BEGIN = 'POST /s3/multipart'
const MIB = 1024 * 1024

/** The program with a folder, and a proxy before it. */
async function folderBehind(test, fault, variables) {
  const program = await startWithFolder(test, variables)
  const proxy = await startProxy(test, Number(program.address.split(':')[1]), fault)
  return { ...program, proxy, address: `127.0.0.1:${proxy.port}` }
}

/** The program with a bucket, a proxy before it, and one between everyone and the bucket, whose faults meet clients alone. */
async function bucketBehind(test, { api, store } = {}, variables) {
  await bucket.clear()
  const storeProxy = await startProxy(test, bucket.port)
  storeProxy.fault = (request) => (store && /X-Amz-Signature=|multipart\/form-data/.test(request.head) ? store(request) : undefined)
  const program = await startWithBucket(test, storeProxy.endpoint, variables)
  const proxy = await startProxy(test, Number(program.address.split(':')[1]), api)
  const puts = (number) =>
    storeProxy.log.filter(({ method, path }) => method === 'PUT' && path.includes('X-Amz-Signature') && (!number || path.includes(`partNumber=${number}&`))).length
  return { proxy, storeProxy, puts, program: program.address, address: `127.0.0.1:${proxy.port}` }
}

async function assertStoredOnce(item, file) {
  assert.deepEqual(await bucket.objects(), { [item.path]: file.size })
  assert.deepEqual(await bucket.uploads(), [])
  assert.ok((await bucket.read(item.path)).equals(await bytesOf(file)), 'other bytes came back')
}

const FORM_OF_BUCKET = 'POST /chat-upload-check'
const part = (number) => ({ method, path }) => method === 'PUT' && path.includes(`partNumber=${number}&`)
const onPart = (number, ...faults) => (request) => (part(number)(request) ? faults.shift() : undefined)

describe('a lost connection', () => {
  test('in the middle of a form: sent again, stored once', async (t) => {
    const { stored, read, address } = await folderBehind(t, inOrder(FORM, { cutAfter: 200_000 }))
    const file = makeFile(900_000)
    const { item, retries } = await watched(uploaderFor(address).upload(file))
    assert.deepEqual(retries, ['network'])
    assert.deepEqual(stored(), [item.path])
    assert.ok(read(item.path).equals(await bytesOf(file)))
  })

  test('before anything is sent', async (t) => {
    const { stored, address } = await folderBehind(t, inOrder(FORM, { refuse: true }))
    const { item, retries } = await watched(uploaderFor(address).upload(makeFile(10)))
    assert.deepEqual(retries, ['network'])
    assert.deepEqual(stored(), [item.path])
  })

  test('after so many retries it is a failure that says so', async (t) => {
    const { stored, proxy, address } = await folderBehind(t, inOrder(FORM, ...Array(9).fill({ cutAfter: 1000 })))
    const { error, states } = await watched(uploaderFor(address).upload(makeFile(5000)))
    const { code, attempts, retryable, status, phase, lane } = error
    assert.deepEqual({ code, attempts, retryable, status, phase, lane }, { code: 'network', attempts: 4, retryable: true, status: 0, phase: 'send', lane: 'form' })
    assert.equal(proxy.count(FORM), 4)
    assert.equal(states.at(-1), 'failed')
    assert.deepEqual(stored(), [])
  })

  test('the answer to a form alone is lost: a second copy, and the first is nobody\'s', async (t) => {
    const { stored, address } = await folderBehind(t, inOrder(FORM, { cutAnswerAfter: 0 }))
    const { item, retries } = await watched(uploaderFor(address).upload(makeFile(5000)))
    assert.deepEqual(retries, ['network'])
    assert.equal(stored().length, 2)
    assert.ok(stored().includes(item.path))
  })

  test('an answer cut off in the middle is none', async (t) => {
    const { address } = await folderBehind(t, inOrder(FORM, { cutAnswerAfter: 60 }))
    const { item, retries } = await watched(uploaderFor(address).upload(makeFile(5000)))
    assert.deepEqual(retries, ['network'])
    assert.equal(item.size, 5000)
  })

  for (const [sentence, call] of [['the policy', POLICY], ['the completion', COMPLETE]]) {
    test(`lane direct: the answer of ${sentence} is lost: stored once`, async (t) => {
      const { address } = await bucketBehind(t, { api: inOrder(call, { cutAnswerAfter: 0 }) })
      const file = makeFile(100_000)
      const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
      assert.deepEqual(retries, ['network'])
      await assertStoredOnce(item, file)
    })
  }

  test('lane direct: the bucket\'s answer is lost: asked for, not sent again', async (t) => {
    const { address, storeProxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { cutAnswerAfter: 0 }) })
    const file = makeFile(100_000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
    assert.deepEqual(retries, ['network'])
    assert.equal(storeProxy.count(FORM_OF_BUCKET), 1)
    await assertStoredOnce(item, file)
  })

  test('lane direct: a form cut in the middle is sent again under the same key', async (t) => {
    const { address, proxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { cutAfter: 50_000 }, { cutAfter: 99_000 }) })
    const file = makeFile(2_000_000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
    assert.deepEqual(retries, ['network', 'network'])
    assert.equal(proxy.count(POLICY), 1)
    await assertStoredOnce(item, file)
  })

  test('lane parts: only the part that was cut is sent again', async (t) => {
    const { address, puts } = await bucketBehind(t, { store: onPart(2, { cutAfter: MIB }, { cutAnswerAfter: 0 }) })
    const file = makeFile(14 * MIB)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'parts' }).upload(file))
    assert.deepEqual(retries, ['network', 'network'])
    // The third one's answer was lost, and the bucket's list told of it.
    assert.deepEqual([puts(1), puts(2), puts(3)], [1, 2, 1])
    await assertStoredOnce(item, file)
  })

  test('lane parts: signing, listing and completing are tried again too', async (t) => {
    const lost = new Set()
    const once = (request) => {
      if (!/^(GET|POST) \/s3\/multipart\//.test(request.line) || lost.has(request.line)) return undefined
      lost.add(request.line)
      return { cutAnswerAfter: 0 }
    }
    const { address } = await bucketBehind(t, { api: once })
    const file = makeFile(6 * MIB)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'parts' }).upload(file))
    assert.ok(lost.size === 4, 'two signatures, a list and a completion')
    assert.ok(retries.length >= 3 && retries.every((code) => code === 'network'), String(retries))
    await assertStoredOnce(item, file)
  })
})

describe('silence', () => {
  test('a body that stalls is sent again', async (t) => {
    const { stored, address } = await folderBehind(t, inOrder(FORM, { stallAfter: 100_000 }))
    const { item, retries } = await watched(uploaderFor(address, { stallMs: 1500 }).upload(makeFile(16 * MIB), { lane: 'form' }))
    assert.deepEqual(retries, ['stalled'])
    assert.deepEqual(await eventually(() => stored().length === 1 && stored(), 'one is stored'), [item.path])
  })

  test('an answer that does not come is a timeout', async (t) => {
    const { address } = await bucketBehind(t, { api: inOrder(COMPLETE, { stallAfter: 0 }) })
    const file = makeFile(5000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct', stallMs: 200 }).upload(file))
    assert.deepEqual(retries, ['timeout'])
    await assertStoredOnce(item, file)
  })

  test('a slow answer is waited for', async (t) => {
    const { address, stored } = await folderBehind(t, inOrder(FORM, { delay: 500 }))
    const { retries } = await watched(uploaderFor(address, { stallMs: 300 }).upload(makeFile(5000)))
    assert.deepEqual(retries, [])
    assert.equal(stored().length, 1)
  })

  test('when the network has changed, a silent request is not waited for', async (t) => {
    const { address, proxy, puts } = await bucketBehind(t, { store: onPart(1, { stallAfter: 1000 }) })
    const uploader = uploaderFor(address, { lane: 'parts' })
    const file = makeFile(5 * MIB)
    const task = uploader.upload(file)
    const start = Date.now()
    await eventually(() => puts(1) === 1, 'the part is on its way')
    uploader.network.change()
    const { item, retries } = await watched(task)
    assert.ok(Date.now() - start < 10_000, 'it took the time of a stall')
    assert.equal(retries.length, 1)
    assert.equal(proxy.log.filter(({ line }) => /\/1$/.test(line)).length, 2, 'it was signed anew')
    await assertStoredOnce(item, file)
  })
})

describe('offline', () => {
  test('the network is waited for, and no attempt is used', async (t) => {
    const { address, proxy, stored } = await folderBehind(t, () => ({ refuse: true }))
    const uploader = uploaderFor(address, { retry: { delays: [] } })
    uploader.network.online = false
    const task = uploader.upload(makeFile(5000))
    task.on('retry', () => {
      proxy.fault = () => undefined
      uploader.network.online = true
      uploader.network.change()
    })
    const { item, retries } = await watched(task)
    assert.deepEqual(retries, ['network'])
    assert.deepEqual(stored(), [item.path])
  })

  test('after too long it is a failure', async (t) => {
    const { address } = await folderBehind(t, () => ({ refuse: true }))
    const uploader = uploaderFor(address, { retry: { delays: [], maxMs: 300 } })
    uploader.network.online = false
    const poke = setInterval(() => uploader.network.change(), 100)
    const { error } = await watched(uploader.upload(makeFile(5000)))
    clearInterval(poke)
    assert.deepEqual([error.code, error.retryable, error.cause.code], ['offline', true, 'network'])
  })
})

describe('the server is busy', () => {
  test('429 is waited out as the server says', async (t) => {
    const { address } = await folderBehind(t, undefined, { UPLOAD_RATE_PER_MIN: '60' })
    const uploader = uploaderFor(address, { files: 70, retry: { delays: Array(12).fill(5) } })
    const files = Array.from({ length: 63 }, () => makeFile(10))
    const start = Date.now()
    const all = uploader.uploadAll(files)
    const retries = []
    all.tasks.forEach((task) => task.on('retry', ({ error, afterMs }) => retries.push([error.code, error.status, afterMs >= 1000])))
    assert.ok((await all).every(({ status }) => status === 'done'))
    assert.ok(retries.length >= 3, 'some came over the rate')
    assert.ok(retries.every((each) => String(each) === 'too_many_requests,429,true'), String(retries[0]))
    assert.ok(Date.now() - start >= 1000)
  })

  test('503 busy is waited out as the server says', async (t) => {
    const { address } = await folderBehind(t, inOrder(FORM, { answer: failed(503, 'busy', { 'Retry-After': '1' }) }))
    const start = Date.now()
    const { retries } = await watched(uploaderFor(address).upload(makeFile(10)))
    assert.deepEqual(retries, ['busy'])
    assert.ok(Date.now() - start >= 1000)
  })

  test('a wait that is longer than the whole may take is a failure at once', async (t) => {
    const { address } = await folderBehind(t, inOrder(FORM, { answer: failed(429, 'too_many_requests', { 'Retry-After': '3600' }) }))
    const { error } = await watched(uploaderFor(address).upload(makeFile(10)))
    assert.deepEqual([error.code, error.retryable], ['too_many_requests', true])
  })

  for (const [status, code] of [[502, 'store_unavailable'], [504, 'store_timeout'], [408, 'client_too_slow'], [500, 'internal'], [400, 'body_truncated']]) {
    test(`${status} ${code} is tried again`, async (t) => {
      const { address, stored } = await folderBehind(t, inOrder(FORM, { answer: failed(status, code) }))
      const { item, retries } = await watched(uploaderFor(address).upload(makeFile(10)))
      assert.deepEqual(retries, [code])
      assert.deepEqual(stored(), [item.path])
    })
  }

  test('a gateway\'s own 502 and 504 are tried again', async (t) => {
    const { address, stored } = await folderBehind(t, inOrder(FORM, { answer: http(502, '<html>Bad Gateway') }, { answer: http(504, '') }))
    const { item, retries } = await watched(uploaderFor(address).upload(makeFile(10)))
    assert.deepEqual(retries, ['not_ours', 'not_ours'])
    assert.deepEqual(stored(), [item.path])
  })

  test('a bucket that is away for a moment', async (t) => {
    const { address, storeProxy } = await bucketBehind(t)
    storeProxy.fault = () => ({ refuse: true })
    const file = makeFile(10)
    const task = uploaderFor(address, { retry: { delays: [1, 1, 1, 1] } }).upload(file)
    task.on('retry', () => (storeProxy.fault = () => undefined))
    const { item, retries } = await watched(task)
    assert.equal(retries[0], 'store_unavailable')
    await assertStoredOnce(item, file)
  })
})

describe('the token', () => {
  const variables = { UPLOAD_JWT_SECRET: SECRET }
  const old = () => token({ exp: 1_000_000_000 })

  for (const [code, value] of [['token_expired', old], ['token_invalid', () => 'abc']]) {
    test(`${code}: the page is asked for another one, once`, async (t) => {
      const { address, stored, proxy } = await folderBehind(t, undefined, variables)
      const asked = []
      const uploader = uploaderFor(address, { token: async (renew) => (asked.push(renew), renew ? token() : value()) })
      const { item, retries } = await watched(uploader.upload(makeFile(10)))
      assert.deepEqual([asked, retries], [[false, true], []])
      assert.deepEqual(stored(), [item.path])
      assert.equal(proxy.count(FORM), 2)
    })
  }

  test('a second refusal is a failure', async (t) => {
    const { address, proxy } = await folderBehind(t, undefined, variables)
    const { error } = await watched(uploaderFor(address, { token: old }).upload(makeFile(10)))
    assert.deepEqual([error.code, error.status, error.message], ['token_expired', 401, 'Token已过期！请重新获取令牌'])
    assert.equal(proxy.count(FORM), 2)
  })

  test('a token that is given once is refused once', async (t) => {
    const { address, proxy } = await folderBehind(t, undefined, variables)
    const { error } = await watched(uploaderFor(address, { token: old() }).upload(makeFile(10)))
    assert.equal(error.code, 'token_expired')
    assert.equal(proxy.count(FORM), 1)
  })

  test('none, and a function that fails', async (t) => {
    const { address } = await folderBehind(t, undefined, variables)
    assert.equal((await watched(uploaderFor(address).upload(makeFile(10)))).error.code, 'token_missing')
    const cause = new Error('no login')
    const { error } = await watched(uploaderFor(address, { token: () => Promise.reject(cause) }).upload(makeFile(10)))
    assert.deepEqual([error.code, error.cause], ['token_missing', cause])
  })

  test('every call of the lanes direct and parts carries it, and no address of the bucket', async (t) => {
    const { address, proxy, storeProxy } = await bucketBehind(t, {}, variables)
    const uploader = uploaderFor(address, { token: () => token() })
    for (const lane of ['direct', 'parts']) await uploader.upload(makeFile(10), { lane })
    const calls = proxy.log.filter(({ path }) => path !== '/healthz')
    assert.ok(calls.every(({ head }) => /\r\ntoken: /i.test(head)))
    assert.ok(storeProxy.log.every(({ head }) => !/\r\ntoken: /i.test(head)))
  })
})

describe('another lane', () => {
  // A cloud's function makes no signing secret of its own, as a local server does.
  const withoutSecret = { UPLOAD_SIGNING_SECRET: undefined, FC_FUNCTION_NAME: 'check-client' }
  const large = (limit, answer) => (request) => (request.line === FORM && request.length > limit ? { answer } : undefined)

  for (const [sentence, answer] of [
    ['413 of a gateway', http(413, '{"message":"Request Too Long"}')],
    ['400 of a gateway', http(400, '<html>')],
  ]) {
    test(`${sentence} leads past it, and is remembered`, async (t) => {
      const { address, proxy } = await bucketBehind(t, { api: large(MIB, answer) })
      const uploader = uploaderFor(address)
      const file = makeFile(2 * MIB)
      const first = await watched(uploader.upload(file))
      assert.deepEqual([first.retries, first.progress.at(-1).lane], [['not_ours'], 'direct'])
      await assertStoredOnce(first.item, file)
      const second = await watched(uploader.upload(makeFile(2 * MIB)))
      assert.deepEqual([second.retries, second.progress.at(-1).lane], [[], 'direct'])
      assert.equal(proxy.count(FORM), 1)
    })
  }

  test('a gateway\'s limit, and no other way: the gateway\'s failure', async (t) => {
    const { address } = await folderBehind(t, large(MIB, http(413, '')), withoutSecret)
    const { error } = await watched(uploaderFor(address).upload(makeFile(2 * MIB)))
    assert.deepEqual([error.code, error.status, error.cause], ['not_ours', 413, 'HTTP 413'])
  })

  test('direct_disabled leads back to the form', async (t) => {
    const { address, stored, proxy } = await folderBehind(t, undefined, withoutSecret)
    const uploader = uploaderFor(address)
    for (let round = 0; round < 2; round++) {
      const { progress } = await watched(uploader.upload(makeFile(5 * MIB)))
      assert.equal(progress.at(-1).lane, 'form')
    }
    assert.equal(stored().length, 2)
    assert.ok(proxy.count(POLICY) <= 1, 'it was asked again')
  })

  test('a folder for a bucket takes no parts, but a form', async (t) => {
    const { address, stored, proxy } = await folderBehind(t)
    const { item, progress } = await watched(uploaderFor(address).upload(makeFile(12 * MIB)))
    assert.equal(progress.at(-1).lane, 'direct')
    assert.deepEqual(stored(), [item.path])
    assert.equal(proxy.count(BEGIN), 0, 'healthz has told')
  })

  test('without a word from healthz, the failure itself leads on', async (t) => {
    const { address, stored } = await folderBehind(t, inOrder('GET /healthz', { answer: http(404, '') }), withoutSecret)
    const { item, retries } = await watched(uploaderFor(address).upload(makeFile(12 * MIB)))
    assert.deepEqual(retries, ['direct_disabled', 'direct_disabled'])
    assert.deepEqual(stored(), [item.path])
  })

  test('a lane that was asked for is not left', async (t) => {
    const { address } = await folderBehind(t)
    const { error } = await watched(uploaderFor(address).upload(makeFile(10), { lane: 'parts' }))
    assert.equal(error.code, 'direct_disabled')
  })
})

describe('the direct lane knows what became of a form', () => {
  test('upload_incomplete: the form is sent again, the ticket lives', async (t) => {
    const { address, proxy, storeProxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { answer: http(200) }) })
    const file = makeFile(10_000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
    assert.deepEqual(retries, ['upload_incomplete'])
    assert.deepEqual([proxy.count(POLICY), storeProxy.count(FORM_OF_BUCKET)], [1, 2])
    await assertStoredOnce(item, file)
  })

  test('upload_incomplete again: a new policy', async (t) => {
    const lost = { answer: http(200) }
    const { address, proxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, lost, lost) })
    const file = makeFile(10_000)
    const { item } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
    assert.equal(proxy.count(POLICY), 2)
    await assertStoredOnce(item, file)
  })

  test('upload_incomplete for ever is a failure', async (t) => {
    const { address } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, ...Array(9).fill({ answer: http(200) })) })
    const { error } = await watched(uploaderFor(address, { lane: 'direct' }).upload(makeFile(10_000)))
    assert.deepEqual([error.code, error.status], ['upload_incomplete', 409])
  })

  for (const [sentence, answer] of [['already_uploaded', failed(409, 'already_uploaded')], ['FileAlreadyExists of OSS', refused(409, 'FileAlreadyExists')]]) {
    test(`${sentence}: on to the completion`, async (t) => {
      const { address, storeProxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { replace: answer }) })
      const file = makeFile(10_000)
      const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
      assert.deepEqual([retries, storeProxy.count(FORM_OF_BUCKET)], [[], 1])
      await assertStoredOnce(item, file)
    })
  }

  test('the program itself says already_uploaded to a form that came twice', async (t) => {
    const { address, stored, proxy } = await folderBehind(t, inOrder(PENDING, { replace: http(503, '') }))
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(makeFile(10_000)))
    assert.deepEqual(retries, ['bucket_refused'])
    assert.equal(proxy.count(PENDING), 2)
    assert.deepEqual(stored(), [item.path])
  })

  test('403 of the bucket: a new policy', async (t) => {
    const { address, proxy } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { answer: refused(403, 'AccessDenied') }) })
    const file = makeFile(10_000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
    assert.deepEqual([retries, proxy.count(POLICY)], [['bucket_refused'], 2])
    await assertStoredOnce(item, file)
  })

  for (const [status, code] of [[503, 'SlowDown'], [400, 'RequestTimeout'], [500, 'InternalError']]) {
    test(`${code} of the bucket is tried again`, async (t) => {
      const { address } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { answer: refused(status, code) }) })
      const file = makeFile(10_000)
      const { item, retries } = await watched(uploaderFor(address, { lane: 'direct' }).upload(file))
      assert.deepEqual(retries, ['bucket_refused'])
      await assertStoredOnce(item, file)
    })
  }

  test('another refusal of the bucket is a failure with the bucket\'s code', async (t) => {
    const { address } = await bucketBehind(t, { store: inOrder(FORM_OF_BUCKET, { answer: refused(400, 'EntityTooLarge') }) })
    const { error } = await watched(uploaderFor(address, { lane: 'direct' }).upload(makeFile(10_000)))
    assert.deepEqual([error.code, error.status, error.cause, error.retryable], ['bucket_refused', 400, 'EntityTooLarge', false])
  })
})

describe('a failure that would come again is told at once', () => {
  const visitor = () => token({ role: 'visitor' })
  for (const [status, code, variables, options, file] of [
    [400, 'class_id_invalid', {}, { imageClassId: 'x' }, makeFile(10)],
    [400, 'file_empty', {}, {}, makeFile(0)],
    [400, 'folder_invalid', {}, { folder: 'a.b' }, makeFile(10)],
    [413, 'too_large', { UPLOAD_MAX_BYTES: '1000' }, { lane: 'form' }, makeFile(2000)],
    [415, 'type_refused', {}, {}, new File(['<svg xmlns="http://www.w3.org/2000/svg"/>'], 'a.bin')],
    [403, 'guest_denied', { UPLOAD_JWT_SECRET: SECRET, UPLOAD_GUESTS: 'deny' }, {}, makeFile(10)],
  ]) {
    test(`${status} ${code}`, async (t) => {
      const { address, stored, proxy } = await folderBehind(t, undefined, variables)
      const { error, retries, states } = await watched(uploaderFor(address, { token: visitor }).upload(file, options))
      assert.deepEqual([error.status, error.code, error.attempts, error.retryable, retries], [status, code, 1, false, []])
      assert.deepEqual(states, ['sending', 'finishing', 'failed'])
      assert.ok(error.requestId.length > 8)
      assert.match(error.message, /\p{Script=Han}/u)
      assert.deepEqual(stored(), [])
      assert.equal(proxy.log.filter(({ method }) => method === 'POST').length, 1)
    })
  }

  for (const answer of [failed(422, 'body_mangled'), failed(405, 'method_not_allowed'), failed(502, 'store_refused'), http(403, '<html>'), http(200, '<html>'), http(200, '{}')]) {
    test(answer.slice(9, 12) + answer.slice(answer.indexOf('\r\n\r\n')).trim().slice(0, 40), async (t) => {
      const { address, proxy } = await folderBehind(t, inOrder(FORM, { answer }))
      const { error } = await watched(uploaderFor(address).upload(makeFile(10)))
      assert.deepEqual([error.attempts, error.retryable, proxy.count(FORM)], [1, false, 1])
      assert.equal(error.code, /"code":"(\w+)"/.exec(answer)?.[1] ?? 'not_ours')
    })
  }

  test('lanes direct and parts: what is not accepted is gone', async (t) => {
    const { address } = await bucketBehind(t)
    for (const lane of ['direct', 'parts']) {
      const storage = memory()
      const { error } = await watched(uploaderFor(address, { lane, resume: storage }).upload(new File(['<svg/>'], 'a.bin')))
      assert.deepEqual([error.code, error.status, error.phase, error.lane], ['type_refused', 415, 'finish', lane])
      assert.deepEqual(await bucket.objects(), {})
      await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
      assert.deepEqual([...storage.kept.values()].filter((text) => text !== '{}'), [])
    }
  })
})

describe('parts', () => {
  test('403 of the bucket: signed anew, once', async (t) => {
    const denied = { answer: refused(403, 'AccessDenied') }
    const { address, puts } = await bucketBehind(t, { store: onPart(1, denied) })
    const file = makeFile(10_000)
    const { item, retries } = await watched(uploaderFor(address, { lane: 'parts' }).upload(file))
    assert.deepEqual([retries, puts(1)], [['bucket_refused'], 2])
    await assertStoredOnce(item, file)
  })

  test('403 of the bucket for ever is a failure, and nothing stays', async (t) => {
    const { address } = await bucketBehind(t, { store: onPart(1, ...Array(9).fill({ answer: refused(403, 'AccessDenied') })) })
    const { error } = await watched(uploaderFor(address, { lane: 'parts' }).upload(makeFile(10_000)))
    assert.deepEqual([error.code, error.status, error.cause], ['bucket_refused', 403, 'AccessDenied'])
    await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
  })

  test('after a reload the missing parts are sent, and no other', async (t) => {
    const { address, puts, storeProxy } = await bucketBehind(t, { store: onPart(3, ...Array(9).fill({ cutAfter: 1000 })) })
    const resume = memory()
    const file = makeFile(14 * MIB)
    const options = { lane: 'parts', resume, parts: 1, retry: { delays: [1] } }
    const first = uploaderFor(address, options)
    assert.equal((await watched(first.upload(file))).error.code, 'network')
    assert.deepEqual(first.pending().map(({ name, size }) => [name, size]), [[file.name, file.size]])
    const before = [puts(1), puts(2)]
    storeProxy.fault = () => undefined
    // The page was left, and the user chose the file once more.
    const second = uploaderFor(address, options)
    const again = new File([file], file.name, { type: file.type, lastModified: file.lastModified })
    const { item } = await watched(second.upload(again))
    assert.deepEqual([before, puts(1), puts(2)], [[1, 1], 1, 1])
    assert.deepEqual(second.pending(), [])
    await assertStoredOnce(item, file)
  })

  test('another file is not taken for it', async (t) => {
    const { address, storeProxy } = await bucketBehind(t, { store: onPart(1, ...Array(9).fill({ cutAfter: 1000 })) })
    const resume = memory()
    const uploader = uploaderFor(address, { lane: 'parts', resume, retry: { delays: [] } })
    const file = makeFile(10_000)
    assert.ok((await watched(uploader.upload(file))).error)
    storeProxy.fault = () => undefined
    const other = new File([await bytesOf(makeFile(10_000))], file.name, { type: file.type, lastModified: 2 })
    const { item } = await watched(uploader.upload(other))
    assert.ok((await bucket.read(item.path)).equals(await bytesOf(other)))
    assert.equal(uploader.pending().length, 1)
  })

  test('the answer of the completion is lost, then the page: the same file, once', async (t) => {
    const { address, proxy } = await bucketBehind(t, { api: ({ line }) => (line.endsWith('/complete') ? { cutAnswerAfter: 0 } : undefined) })
    const options = { lane: 'parts', resume: memory(), retry: { delays: [] } }
    const file = makeFile(10_000)
    assert.equal((await watched(uploaderFor(address, options).upload(file))).error.phase, 'finish')
    proxy.fault = () => undefined
    const { item } = await watched(uploaderFor(address, options).upload(file))
    assert.equal(proxy.log.filter(({ line }) => line === BEGIN).length, 1)
    await assertStoredOnce(item, file)
  })

  test('an upload that is gone is begun anew', async (t) => {
    const { address, storeProxy } = await bucketBehind(t, { store: onPart(1, ...Array(9).fill({ cutAfter: 1000 })) })
    const options = { lane: 'parts', resume: memory(), retry: { delays: [1] } }
    const file = makeFile(10_000)
    assert.ok((await watched(uploaderFor(address, options).upload(file))).error)
    for (const { key, id } of await bucket.uploads()) await bucket.abort(key, id)
    storeProxy.fault = () => undefined
    const { item, retries } = await watched(uploaderFor(address, options).upload(file))
    assert.deepEqual(retries, ['upload_incomplete'])
    await assertStoredOnce(item, file)
  })

  test('an upload that goes away meanwhile is begun anew', async (t) => {
    const gone = async () => {
      for (const { key, id } of await bucket.uploads()) await bucket.abort(key, id)
    }
    const { address } = await bucketBehind(t, { store: onPart(2, { delay: 1500 }) })
    const file = makeFile(6 * MIB)
    const task = uploaderFor(address, { lane: 'parts', parts: 1 }).upload(file)
    setTimeout(gone, 1000)
    const { item, retries } = await watched(task)
    assert.ok(retries.length >= 1)
    await assertStoredOnce(item, file)
  })

  test('another user\'s is not touched', async (t) => {
    const { address, storeProxy } = await bucketBehind(t, { store: onPart(1, ...Array(9).fill({ cutAfter: 1000 })) }, { UPLOAD_JWT_SECRET: SECRET })
    const options = { lane: 'parts', resume: memory(), retry: { delays: [1] } }
    const file = makeFile(10_000)
    assert.ok((await watched(uploaderFor(address, { ...options, token: token() }).upload(file))).error)
    storeProxy.fault = () => undefined
    const { item, retries } = await watched(uploaderFor(address, { ...options, token: token({ id: 8 }) }).upload(file))
    assert.deepEqual(retries, ['ticket_invalid'])
    assert.deepEqual(await bucket.objects(), { [item.path]: file.size })
    assert.equal((await bucket.uploads()).length, 1)
  })

  test('two uploads of one file at once are two', async (t) => {
    const { address } = await bucketBehind(t)
    const uploader = uploaderFor(address, { lane: 'parts' })
    const file = makeFile(10_000)
    const [one, two] = await uploader.uploadAll([file, file])
    assert.notEqual(one.item.path, two.item.path)
    assert.deepEqual(uploader.pending(), [])
    assert.equal(Object.keys(await bucket.objects()).length, 2)
  })
})

describe('the caller changes its mind', () => {
  for (const lane of ['form', 'direct', 'parts']) {
    test(`${lane}: pause, and go on`, async (t) => {
      const stall = { stallAfter: 20_000 }
      const slow = { api: inOrder(FORM, stall), store: (request) => inOrderOfClient(request) }
      const faults = [stall]
      const inOrderOfClient = () => faults.shift()
      const { address, proxy, storeProxy } = await bucketBehind(t, slow)
      // More than the buffers on the way hold.
      const file = makeFile(16 * MIB)
      const task = uploaderFor(address, { lane }).upload(file)
      const wire = lane === 'form' ? proxy : storeProxy
      const told = watched(task)
      await eventually(() => wire.log.some((each) => each.fault), 'it is on its way')
      assert.equal(task.pause(), true)
      assert.equal(task.state, 'paused')
      const aMoment = () => new Promise((resolve) => setTimeout(resolve, 100))
      // A request that was connecting may still arrive.
      await aMoment()
      const before = wire.seen
      await aMoment()
      assert.equal(wire.seen, before, 'nothing is sent meanwhile')
      assert.equal(task.resume(), true)
      const { item, states, retries } = await told
      assert.deepEqual([states, retries], [['sending', 'paused', 'waiting', 'sending', 'finishing', 'done'], []])
      await assertStoredOnce(item, file)
    })

    test(`${lane}: abort, and nothing stays`, async (t) => {
      const { address, proxy, storeProxy } = await bucketBehind(t, { api: inOrder(FORM, { stallAfter: 20_000 }), store: () => ({ stallAfter: 20_000 }) })
      const resume = memory()
      const task = uploaderFor(address, { lane, resume }).upload(makeFile(300_000))
      const wire = lane === 'form' ? proxy : storeProxy
      const told = watched(task)
      await eventually(() => wire.log.some((each) => each.fault), 'it is on its way')
      task.abort()
      const { error, states } = await told
      assert.deepEqual([error.code, error.lane, states.at(-1), error.retryable], ['aborted', lane, 'aborted', false])
      assert.equal(task.pause() || task.resume(), false)
      await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
      assert.deepEqual(await bucket.objects(), {})
      assert.deepEqual([...resume.kept.values()].filter((text) => text !== '{}'), [])
    })

    test(`${lane}: abort when all is sent takes the file back`, async (t) => {
      const last = lane === 'form' ? FORM : lane === 'direct' ? COMPLETE : undefined
      const slow = ({ line }) => ((last ? line === last : line.endsWith('/complete')) ? { delay: 200 } : undefined)
      const { address, proxy } = await bucketBehind(t, { api: slow })
      const task = uploaderFor(address, { lane }).upload(makeFile(3000))
      const told = watched(task)
      await eventually(() => proxy.log.some(({ fault }) => fault), 'all is sent')
      await eventually(() => task.state === 'finishing', 'all is sent')
      assert.equal(task.pause(), false)
      task.abort()
      assert.equal((await told).error.code, 'aborted')
      await eventually(() => proxy.count('POST /api/chat/uploadRecall') === 1, 'it is taken back')
      await eventually(async () => Object.keys(await bucket.objects()).length === 0, 'it is gone')
    })
  }

  test('a paused upload leaves its place to others, and one that waits can be paused and aborted', async (t) => {
    const { address, stored } = await folderBehind(t)
    const uploader = uploaderFor(address, { files: 1 })
    const [first, second, third, fourth] = [10, 20, 30, 40].map((size) => uploader.upload(makeFile(size)))
    first.pause()
    third.abort()
    await assert.rejects(third, { code: 'aborted' })
    assert.equal((await second).size, 20)
    assert.equal((await fourth).size, 40)
    assert.equal(first.state, 'paused')
    first.resume()
    assert.equal((await first).size, 10)
    assert.equal(stored().length, 3)
  })

  test('a paused upload can be aborted', async (t) => {
    const { address, stored } = await folderBehind(t)
    const task = uploaderFor(address).upload(makeFile(10))
    task.pause()
    task.abort()
    await assert.rejects(task, { code: 'aborted' })
    assert.deepEqual(stored(), [])
  })

  test('recall', async (t) => {
    const { address, stored } = await folderBehind(t)
    const uploader = uploaderFor(address)
    const item = await uploader.upload(makeFile(10))
    assert.equal(await uploader.recall(item), '撤回成功')
    assert.deepEqual(stored(), [])
    await assert.rejects(uploader.recall({ recall_token: 'x' }), { code: 'ticket_invalid', status: 401 })
  })

  test('uploadAll settles all, in order', async (t) => {
    const { address, stored } = await folderBehind(t)
    const all = uploaderFor(address).uploadAll([makeFile(10), new File(['<svg/>'], 'a.bin'), makeFile(20), makeFile(30)], { imageClassId: 5 })
    all.tasks[3].abort()
    const results = await all
    assert.deepEqual(results.map(({ status, error }) => error?.code ?? status), ['done', 'type_refused', 'done', 'aborted'])
    assert.deepEqual(results.map(({ status }) => status), ['done', 'failed', 'done', 'aborted'])
    assert.equal(results[2].item.image_class_id, 5)
    assert.equal(stored().length, 2)
  })

  test('a folder, a name and a class', async (t) => {
    const { address, stored } = await folderBehind(t)
    const uploader = uploaderFor(address)
    const item = await uploader.upload(makeFile(10), { folder: 'a_b', name: 'x.txt' })
    assert.match(item.url, /^\/public\/uploads\/Diy\/a\/b\//)
    for (const lane of ['form', 'direct']) {
      const { name, image_class_id } = await uploader.upload(makeFile(10), { lane, name: 'y.txt', imageClassId: 9 })
      assert.deepEqual([name, image_class_id], ['y.txt', 9])
    }
    assert.equal(stored().length, 3)
  })
})
