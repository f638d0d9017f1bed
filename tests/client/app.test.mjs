// The transport of Apps, in uni-app's own runtime of Apps and a strict `plus`: real HTTP to the real server, or a script where
// an App does what no server makes it do. The natives themselves, and phones, are not covered.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, mock, test } from 'node:test'

import { watched } from './client.mjs'
import { TYPINGS, makePlus, startApp } from './plus.mjs'
import { bucket, bytesOf, eventually, makeFile, startWithBucket, startWithFolder, token } from './program.mjs'
import { failed, http, inOrder, startProxy } from './proxy.mjs'

const MIB = 1024 * 1024
const FORM = 'POST /api/chat/uploadAliyun'
const ITEM = { url: 'https://example.com/a.png', recall_token: 'token' }
const OK = JSON.stringify({ msg: 'ok', data: [ITEM] })
const tick = () => new Promise((resolve) => setImmediate(resolve))
const ticks = async (count = 5) => {
  for (let left = count; left; left--) await tick()
}
const content = (size) => bytesOf(makeFile(size))

/** An App, a server with a folder behind a network that `fault` breaks, and an uploader. */
async function withFolder(t, { app, fault, variables, ...options } = {}) {
  const program = await startWithFolder(t, variables)
  const proxy = await startProxy(t, Number(program.address.split(':')[1]), fault)
  const started = await startApp(app)
  const uploader = started.uploader({ api: `${proxy.endpoint}/api/chat`, retry: { delays: [1, 5, 10] }, ...options })
  return { ...program, ...started, proxy, uploader }
}

async function withBucket(t, { app, store, ...options } = {}) {
  await bucket.clear()
  const storeProxy = await startProxy(t, bucket.port, store)
  const program = await startWithBucket(t, storeProxy.endpoint)
  const started = await startApp(app)
  const uploader = (more) => started.uploader({ api: `http://${program.address}/api/chat`, retry: { delays: [1, 5, 10] }, ...options, ...more })
  return { ...started, storeProxy, uploader, puts: () => storeProxy.log.filter(({ method, path }) => method === 'PUT' && /X-Amz-Signature=/.test(path)) }
}

/** An App whose natives do what the test says. */
async function scripted(app, options) {
  const started = await startApp({ scripted: true, ...app })
  const uploader = started.uploader({ api: 'https://example.com/api/chat', retry: { delays: [1] }, ...options })
  const path = started.file('a.png', Buffer.alloc(100_000))
  const begun = (index = 0) => eventually(() => started.uploads[index], `upload ${index} has begun`)
  return { ...started, uploader, path, begun }
}

function assertRising(progress) {
  const percents = progress.map(({ percent }) => percent)
  assert.deepEqual(percents, [...percents].sort((a, b) => a - b))
  assert.deepEqual(progress.filter(({ percent }) => percent === 100).map(({ phase }) => phase), ['done'])
}

test('the shim invents nothing, but for what uni-app adds', () => {
  assert.ok(existsSync(TYPINGS))
  const typings = readFileSync(TYPINGS, 'utf8')
  const members = (type) => new RegExp(`(?:interface|class) ${type} \\{([\\s\\S]*?)\\n\\}`).exec(typings)[1]
  const { known } = makePlus()
  const types = { io: 'PlusIo', uploader: 'PlusUploader', storage: 'PlusStorage', networkinfo: 'PlusNetworkinfo', os: 'PlusOs', navigator: 'PlusNavigator' }
  for (const [module, type] of Object.entries(types)) {
    for (const name of Object.keys(known[module])) assert.match(members(type), new RegExp(`\\n {4}${name}\\??[(:]`), `${module}.${name}`)
  }
  assert.deepEqual(Object.keys(known).filter((name) => !types[name]), ['globalEvent'])
  const upload = known.uploader.createUpload('http://127.0.0.1/', {}, () => {})
  for (const name of Object.keys(upload)) assert.match(members('PlusUploaderUpload'), new RegExp(`\\n {4}${name}\\??[(:]`), name)
  for (const name of Object.keys(new known.io.FileReader())) assert.match(members('PlusIoFileReader'), new RegExp(`\\n {4}${name}\\??[(:]`), name)
})

test('the shim is strict', async () => {
  const { plus, weex, file } = makePlus({ scripted: true })
  assert.throws(() => plus.camera, /not in this shim/)
  assert.throws(() => weex.requireModule('modal'), /not in this shim/)
  assert.throws(() => plus.uploader.createUpload('http://127.0.0.1/', { headers: {} }, () => {}), /headers/)
  assert.throws(() => plus.uploader.createUpload('_doc/a', {}, () => {}))
  const upload = plus.uploader.createUpload('http://127.0.0.1/', {}, () => {})
  assert.throws(() => upload.addEventListener('progress', () => {}))
  assert.throws(() => upload.setRequestHeader('token', 1))
  const path = `file:///app/${file('a.png', Buffer.alloc(3))}`
  assert.deepEqual([upload.addFile(`${path}x`, { key: 'img' }), upload.addFile(path, { key: 'img' }), upload.addData('img', 'a')], [false, true, false])
  upload.start()
  assert.equal(upload.addData('b', 'a'), false)
  const reader = new plus.io.FileReader()
  assert.throws(() => reader.readAsArrayBuffer, /not in this shim/)
  assert.throws(() => (reader.onprogress = () => {}), /not in this shim/)
  assert.throws(() => reader.readAsDataURL({}))
})

describe('a form', () => {
  test('is stored as it is, with the token; the states and the progress are in order', async (t) => {
    const { stored, read, file, proxy, uploader, uploads } = await withFolder(t, { variables: { UPLOAD_JWT_SECRET: 'secret of check-client' }, token: () => token() })
    const picture = await content(3_000_000)
    const { item, states, progress, retries } = await watched(uploader.upload(file('IMG_0001.png', picture), { imageClassId: 3 }))
    assert.deepEqual(stored(), [item.path])
    assert.ok(read(item.path).equals(picture))
    assert.deepEqual([item.name, item.image_class_id, item.size], ['IMG_0001.png', 3, picture.length])
    assert.deepEqual([states, retries], [['sending', 'finishing', 'done'], []])
    assertRising(progress)
    const [upload] = uploads
    // Seconds; and no retries but ours.
    assert.deepEqual({ ...upload.options }, { timeout: 600, retry: 0, retryInterval: 0 })
    assert.deepEqual([...upload.parts.keys()], ['imageClassId', 'img'])
    assert.deepEqual(Object.keys(upload.headers), ['token'])
    assert.deepEqual([...new Set(upload.states)], [1, 2, 3, 4])
    assert.equal(proxy.count(FORM), 1)
  })

  test('takes what uni.choose* and the recorder answer in an App', async (t) => {
    const { stored, file, uploader } = await withFolder(t)
    const picture = await content(2000)
    const path = file('IMG_0002.png', picture)
    const given = [path, `file:///app/${path}`, { path, size: picture.length }, { tempFilePath: path, duration: 3 }]
    for (const result of await uploader.uploadAll(given)) assert.equal(result.status, 'done', String(result.error?.cause))
    assert.equal(stored().length, 4)
  })

  test('tells of every step of its progress, and never of less than before', async () => {
    let seconds = 0
    const { uploader, path, begun } = await scripted({ now: () => 1000 * seconds++ })
    const told = watched(uploader.upload(path))
    const tell = async (upload, sizes) => {
      for (const sent of sizes) {
        // One object, whose sizes change, tells of them all.
        upload.tell(sent, 101_000)
        await ticks()
      }
    }
    await tell(await begun(), [1010, 50_500, 40_400])
    ;(await begun()).end(0)
    await tell(await begun(1), [10_100, 60_600, 100_999, 101_000])
    ;(await begun(1)).end(200, OK)
    const { progress, states } = await told
    assertRising(progress)
    const percents = progress.map(({ percent }) => percent)
    assert.deepEqual(percents.filter((percent, index) => percent !== percents[index - 1]), [0, 1, 50, 60, 99, 100])
    assert.ok(progress.every(({ known, total }) => known && total === 100_000))
    const phases = new Set(progress.map(({ phase, percent }) => `${phase} ${percent > 98 ? percent : ''}`))
    assert.deepEqual([...phases], ['sending ', 'sending 99', 'finishing 99', 'done 100'])
    assert.deepEqual(states, ['sending', 'finishing', 'done'])
  })

  test('cut in the middle is sent again and stored once, and progress does not go back', async (t) => {
    const { stored, read, file, uploader } = await withFolder(t, { fault: inOrder(FORM, { cutAfter: 2_000_000 }, { cutAfter: 1000 }) })
    const picture = await content(3_000_000)
    const { item, progress, retries } = await watched(uploader.upload(file('a.png', picture)))
    assert.deepEqual(retries, ['network', 'network'])
    assertRising(progress)
    assert.deepEqual(stored(), [item.path])
    assert.ok(read(item.path).equals(picture))
  })

  test('after so many retries it is a failure', async (t) => {
    const { file, proxy, uploader } = await withFolder(t, { fault: () => ({ refuse: true }) })
    const { error, states } = await watched(uploader.upload(file('a.png', await content(5000))))
    assert.deepEqual([error.code, error.status, error.attempts, error.retryable, states.at(-1)], ['network', 0, 4, true, 'failed'])
    assert.equal(proxy.count(FORM), 4)
  })

  test('Android says that all is sent before anything is, and again after the end', async (t) => {
    const { stored, file, uploader } = await withFolder(t, { app: { progress: 'android' } })
    const { item, progress, states } = await watched(uploader.upload(file('a.png', await content(3_000_000))))
    assert.deepEqual(stored(), [item.path])
    assert.ok(progress.filter(({ sent }) => sent).every(({ known }) => !known))
    assertRising(progress)
    assert.deepEqual(states, ['sending', 'finishing', 'done'])
  })

  test('an App that tells of no progress', async (t) => {
    const { stored, file, uploader } = await withFolder(t, { app: { progress: 'none' } })
    const { item, progress, states } = await watched(uploader.upload(file('a.png', await content(3_000_000))))
    assert.deepEqual(stored(), [item.path])
    assertRising(progress)
    assert.deepEqual(states, ['sending', 'done'])
  })

  for (const [status, text, code, again] of [
    [0, '', 'network', true],
    [415, failed(415, 'type_refused'), 'type_refused', false],
    [413, failed(413, 'too_large'), 'too_large', false],
    [403, failed(403, 'guest_denied'), 'guest_denied', false],
    // An App does not hear of Retry-After.
    [503, failed(503, 'busy', { 'Retry-After': '9' }), 'busy', true],
    [429, failed(429, 'too_many_requests', { 'Retry-After': '9' }), 'too_many_requests', true],
    [502, http(502, '<html>'), 'not_ours', true],
    [404, http(404, '<html>'), 'not_ours', false],
    [200, http(200, '<html>'), 'not_ours', false],
    [204, '', 'not_ours', false],
  ]) {
    test(`${status} ${code} is ${again ? '' : 'not '}tried again`, async () => {
      const { uploader, path, uploads, fetches, begun } = await scripted()
      const told = watched(uploader.upload(path))
      const body = text.split('\r\n\r\n')[1]
      ;(await begun()).end(status, body)
      if (again) (await begun(1)).end(status, body)
      // Another lane is looked for.
      if (status === 413) (await eventually(() => fetches[0], 'the limits are asked for')).end({ status: 404 })
      const { error, retries } = await told
      assert.deepEqual([error.code, error.status, error.retryable], [code, status, again])
      assert.deepEqual(retries, again ? [code] : [])
      assert.equal(uploads.length, again ? 2 : 1)
      if (body?.startsWith('{')) assert.match(error.message, /^上传失败/)
      if (status === 0) assert.equal(error.cause, 'uploadFile:fail statusCode: 0')
    })
  }

  test('a token that has expired is asked for once more', async () => {
    const asked = []
    const { uploader, path, uploads, begun } = await scripted({}, { token: (renew) => (asked.push(renew), `token ${asked.length}`) })
    const told = watched(uploader.upload(path))
    ;(await begun()).end(401, failed(401, 'token_expired').split('\r\n\r\n')[1])
    ;(await begun(1)).end(200, OK)
    assert.equal((await told).item.url, ITEM.url)
    assert.deepEqual(asked, [false, true])
    assert.deepEqual(uploads.map(({ headers }) => headers.token), ['token 1', 'token 2'])
  })

  test('an app\'s interceptor that takes its time does no harm', async (t) => {
    const { stored, file, uni, uploader } = await withFolder(t)
    const invoke = async (options) => {
      await tick()
      return options
    }
    uni.addInterceptor('uploadFile', { invoke })
    uni.addInterceptor('request', { invoke })
    const { item, progress, retries } = await watched(uploader.upload(file('a.png', await content(5_000_000))))
    assert.deepEqual([stored(), retries], [[item.path], []])
    assert.ok(progress.some(({ sent }) => sent))
    assertRising(progress)
  })

  test('a file that is not there, or goes before it is read', async (t) => {
    const { uploader, file, remove, uploads } = await withFolder(t)
    const { error } = await watched(uploader.upload('_doc/gone.png'))
    assert.deepEqual([error.code, error.retryable, error.cause.code], ['file_unreadable', false, -4])
    assert.equal(uploads.length, 0)
    // `uploadFile` does not look whether the file could be added, and sends the form without.
    const path = file('a.png', await content(5000))
    const task = uploader.upload(path)
    task.on('state', (state) => state === 'sending' && remove(path))
    const { error: second } = await watched(task)
    assert.deepEqual([second.code, second.retryable], ['file_missing', false])
  })
})

describe('a form that is ended', () => {
  for (const tellsAbort of [false, true]) {
    test(`by abort, of which the App ${tellsAbort ? 'tells' : 'says nothing'}`, async (t) => {
      const { stored, file, proxy, uploader, uploads } = await withFolder(t, { app: { tellsAbort }, fault: inOrder(FORM, { stallAfter: 20_000 }), lane: 'form' })
      // More than the buffers on the way hold.
      const task = uploader.upload(file('a.png', await content(16 * MIB)))
      const told = watched(task)
      await eventually(() => proxy.log.some(({ fault }) => fault), 'it is on its way')
      task.abort()
      const { error, states, retries } = await told
      assert.deepEqual([error.code, states.at(-1), retries, uploads[0].aborted], ['aborted', 'aborted', [], 1])
      await eventually(() => stored().length === 0, 'nothing is stored')
      assert.equal(proxy.count(FORM), 1)
    })

    test(`by a pause, of which the App ${tellsAbort ? 'tells' : 'says nothing'}: it goes on`, async () => {
      const { uploader, path, uploads, begun } = await scripted({ tellsAbort })
      const task = uploader.upload(path)
      const told = watched(task)
      ;(await begun()).tell(50_000, 100_000)
      assert.equal(task.pause(), true)
      await ticks()
      assert.deepEqual([uploads.length, uploads[0].aborted, task.state], [1, 1, 'paused'])
      task.resume()
      ;(await begun(1)).end(200, OK)
      const { item, retries, states } = await told
      assert.deepEqual([item.url, retries, states], [ITEM.url, [], ['sending', 'paused', 'waiting', 'sending', 'done']])
    })
  }

  test('while its answer is on the way: it is waited for and taken back', async () => {
    const { uploader, path, uploads, fetches, begun } = await scripted()
    const task = uploader.upload(path)
    const told = watched(task)
    const upload = await begun()
    upload.tell(100_000, 100_000)
    await eventually(() => task.state === 'finishing', 'all is sent')
    task.abort()
    assert.equal((await told).error.code, 'aborted')
    assert.equal(uploads[0].aborted, 0)
    upload.end(200, OK)
    const recall = await eventually(() => fetches[0], 'it is taken back')
    assert.deepEqual([recall.url, JSON.parse(recall.body)], ['https://example.com/api/chat/uploadRecall', { recall_token: 'token' }])
    recall.end({ status: 200, text: '{"msg":"ok","data":""}' })
    // Until its clock has been stopped.
    await ticks()
  })

  test('by our clock, when the App never tells of an end; what it tells later counts for nothing', async () => {
    mock.timers.enable({ apis: ['setTimeout'] })
    try {
      const { uploader, path, uploads, begun } = await scripted()
      const told = watched(uploader.upload(path))
      const turns = async (isSo) => {
        for (let left = 1000; left && !isSo(); left--) await tick()
        assert.ok(isSo())
      }
      await turns(() => uploads.length === 1)
      const [first] = uploads
      first.tell(10_000, 100_000)
      await ticks()
      // Where progress cannot be relied on, a MiB has a minute.
      mock.timers.tick(59_000)
      await tick()
      assert.equal(first.aborted, 0)
      mock.timers.tick(2000)
      await tick()
      assert.equal(first.aborted, 1)
      mock.timers.tick(10)
      await turns(() => uploads.length === 2)
      first.end(200, JSON.stringify({ msg: 'ok', data: [{ url: 'late' }] }), true)
      await ticks()
      uploads[1].tell(100_000, 100_000)
      await ticks()
      // All is sent, so that the answer has two minutes.
      mock.timers.tick(119_000)
      await tick()
      assert.equal(uploads[1].aborted, 0)
      mock.timers.tick(2000)
      const { error, retries } = await told
      assert.deepEqual([error.code, retries, uploads[1].aborted], ['timeout', ['stalled'], 1])
    } finally {
      mock.timers.reset()
    }
  })

  test('by another network: at once, and no attempt is used while there is none', async () => {
    const { uploader, path, uploads, begun, change } = await scripted({}, { retry: { delays: [] } })
    const told = watched(uploader.upload(path))
    await begun()
    change('none')
    await eventually(() => uploads[0].aborted, 'it is ended')
    await ticks()
    assert.equal(uploads.length, 1)
    change('wifi')
    ;(await begun(1)).end(200, OK)
    assert.deepEqual([(await told).item.url, (await told).retries], [ITEM.url, ['network']])
  })

  test('by the App\'s going to the background: it goes on when the App is back', async () => {
    const { uploader, path, uploads, begun, enter } = await scripted({}, { retry: { delays: [] } })
    const told = watched(uploader.upload(path))
    const first = await begun()
    enter('onHide')
    first.end(0)
    await ticks()
    assert.equal(uploads.length, 1)
    enter('onShow')
    ;(await begun(1)).end(200, OK)
    assert.deepEqual([(await told).item.url, (await told).retries], [ITEM.url, ['network']])
  })
})

describe('calls', () => {
  for (const [sentence, answer, code, again] of [
    ['no connection', { status: -1, errorMsg: 'Failed to connect to /10.0.0.1:443' }, 'network', true],
    ['the platform\'s timeout', { status: -1, errorMsg: 'java.net.SocketTimeoutException: timeout' }, 'timeout', true],
    ['nothing but a status', { status: 0, errorMsg: '' }, 'network', true],
    ['a refusal', { status: 400, text: failed(400, 'parameter_invalid').split('\r\n\r\n')[1] }, 'parameter_invalid', false],
    ['busy', { status: 503, text: failed(503, 'busy').split('\r\n\r\n')[1], headers: { 'Retry-After': '0' } }, 'busy', true],
    ['a gateway\'s page', { status: 403, text: '<html>' }, 'not_ours', false],
  ]) {
    test(sentence, async () => {
      const { uploader, path, fetches } = await scripted({}, { lane: 'direct' })
      const told = watched(uploader.upload(path))
      for (let index = 0; index <= (again ? 1 : 0); index++) (await eventually(() => fetches[index], 'it is asked')).end(answer)
      const { error, retries } = await told
      assert.deepEqual([error.code, error.phase, error.retryable, retries], [code, 'sign', again, again ? [code] : []])
      const [{ name, method, headers, body }] = fetches
      assert.deepEqual([name, method, headers['Content-Type']], ['fetch', 'POST', 'application/json'])
      assert.equal(JSON.parse(body).name, 'a.png')
    })
  }

  test('Retry-After is heard, whatever its case', async () => {
    const { uploader, path, fetches } = await scripted({}, { lane: 'direct', retry: { delays: [1, 1], maxMs: 5000 } })
    const told = watched(uploader.upload(path))
    ;(await eventually(() => fetches[0], 'it is asked')).end({ status: 429, text: failed(429, 'too_many_requests').split('\r\n\r\n')[1], headers: { 'retry-after': '7' } })
    // Longer than the whole may take.
    assert.deepEqual([(await told).error.code, (await told).error.afterMs], ['too_many_requests', 7000])
  })
})

describe('the bucket', () => {
  test('lane direct: the signed form alone, without the token', async (t) => {
    const { uploader, file, uploads } = await withBucket(t, { lane: 'direct' })
    const picture = await content(3_000_000)
    const { item, progress, states } = await watched(uploader({ token: 'secret' }).upload(file('a.png', picture)))
    assert.ok((await bucket.read(item.path)).equals(picture))
    assertRising(progress)
    assert.deepEqual(states, ['sending', 'finishing', 'done'])
    assert.deepEqual([uploads.length, uploads[0].headers], [1, {}])
    assert.equal([...uploads[0].parts.keys()].at(-1), 'file')
  })

  for (const inclusive of [false, true]) {
    test(`lane parts: one at a time, each as it is in the file${inclusive ? ', where a slice is one byte too long' : ''}`, async (t) => {
      const { uploader, file, fetches, puts } = await withBucket(t, { app: { inclusive }, lane: 'parts' })
      const film = await content(11 * MIB + 1)
      const task = uploader({ token: 'secret' }).upload(file('a.png', film))
      let most = 0
      task.on('progress', () => (most = Math.max(most, fetches.filter(({ method, over }) => method === 'PUT' && !over).length)))
      const { item, progress, states } = await watched(task)
      assert.ok((await bucket.read(item.path)).equals(film))
      assert.deepEqual(puts().map(({ length }) => length), [5 * MIB, 5 * MIB, MIB + 1])
      assert.ok(most <= 1)
      assertRising(progress)
      assert.deepEqual(states, ['sending', 'finishing', 'done'])
      const sent = fetches.filter(({ method }) => method === 'PUT')
      for (const { name, headers } of sent) assert.deepEqual([name, { ...headers }], ['fetchWithArrayBuffer', { 'Content-Type': 'application/octet-stream' }])
    })
  }

  test('lane parts: only what was cut is sent again, also by an App that was started anew', async (t) => {
    const cut = (number, times) => {
      let left = times
      return ({ path }) => (path.includes(`partNumber=${number}&`) && left-- > 0 ? { cutAfter: 1000 } : undefined)
    }
    const app = await withBucket(t, { lane: 'parts', store: cut(2, 1) })
    const film = await content(11 * MIB)
    const first = await watched(app.uploader().upload(app.file('a.png', film)))
    assert.deepEqual([first.retries, app.puts().length], [['network'], 4])
    await bucket.clear()

    app.storeProxy.fault = cut(3, 9)
    const path = app.file('b.png', film)
    const before = app.uploader({ retry: { delays: [1] } })
    assert.equal((await watched(before.upload(path))).error.code, 'network')
    assert.deepEqual(Array.from(before.pending(), ({ name, size }) => [name, size]), [['b.png', film.length]])
    app.storeProxy.fault = () => undefined
    app.storeProxy.log.length = 0
    const after = app.uploader()
    const { item } = await watched(after.upload(path))
    assert.deepEqual(app.puts().map(({ path }) => /partNumber=(\d+)/.exec(path)[1]), ['3'])
    assert.equal(after.pending().length, 0)
    assert.ok((await bucket.read(item.path)).equals(film))
  })

  test('lane parts: a part that cannot be stopped is waited for, and then nothing stays', async (t) => {
    const { uploader, file, fetches } = await withBucket(t, { lane: 'parts', store: ({ method, path }) => (method === 'PUT' && /X-Amz-Signature=/.test(path) ? { delay: 300 } : undefined) })
    const task = uploader().upload(file('a.png', await content(6 * MIB)))
    const told = watched(task)
    const part = await eventually(() => fetches.find(({ method }) => method === 'PUT'), 'a part is on its way')
    task.abort()
    assert.equal((await told).error.code, 'aborted')
    assert.ok(!part.over)
    assert.ok(!fetches.some(({ method }) => method === 'DELETE'))
    await eventually(() => fetches.some(({ method }) => method === 'DELETE'), 'it is taken back')
    assert.ok(part.over)
    await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
    assert.deepEqual(await bucket.objects(), {})
    assert.ok(!fetches.filter(({ method }) => method === 'PUT')[1], 'nothing was begun after it')
  })

  test('lane parts: a file that goes meanwhile is unreadable, and nothing stays', async (t) => {
    const { uploader, file, remove, fetches } = await withBucket(t, { lane: 'parts' })
    const path = file('a.png', await content(11 * MIB))
    const task = uploader().upload(path)
    const told = watched(task)
    await eventually(() => fetches.some(({ method }) => method === 'PUT'), 'a part is on its way')
    remove(path)
    const { error } = await told
    assert.deepEqual([error.code, error.retryable, error.cause.target.error.code], ['file_unreadable', false, -4])
    await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
  })

  test('lane parts: a piece that comes short is not sent', async (t) => {
    const { uploader, file, puts } = await withBucket(t, { app: { short: true }, lane: 'parts' })
    const { error } = await watched(uploader().upload(file('a.png', await content(300_000))))
    assert.deepEqual([error.code, error.cause.message, puts().length], ['file_unreadable', 'short read', 0])
    await eventually(async () => (await bucket.uploads()).length === 0, 'no upload is open')
  })
})
