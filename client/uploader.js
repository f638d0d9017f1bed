// Uploads: which lane a file takes, what is tried again and when, and what is told about it. Knows no platform.

import { UploadError, failure, parsed } from './errors.js'
import { exchange } from './exchange.js'
import { lanesOf } from './lanes.js'
import { records } from './records.js'

const MIB = 1024 * 1024
const PAUSED = {}
// At most so often is progress told.
const TELL_MS = 200
// Without an event of the network's coming back, it is tried all the same.
const OFFLINE_MS = 30000
// Where progress cannot be relied on, a MiB has so long before it counts as stalled.
const UNSTEADY_MS_PER_MIB = 60000
const DEFAULTS = { lane: 'auto', formMaxBytes: 4 * MIB, partsMinBytes: 10 * MIB, files: 2, stallMs: 30000, resume: true, maxBytes: Infinity }
const RETRY = { delays: [0, 1000, 3000, 8000, 15000], maxMs: 600000 }

export function createUploader(given) {
  const settings = { ...DEFAULTS, ...given }
  const { api, token, transport, files, stallMs, resume } = settings
  const { delays, maxMs } = { ...RETRY, ...given.retry }
  // The routes below /s3 lie beside /api.
  const root = api.replace(/(\/api)?(\/chat)?\/*$/, '')
  const { pending, place: placeFor } = records(resume === true ? transport.storage : resume, root)
  // Requests under way hear of the network here.
  const all = new Set()
  transport.watch(() => all.forEach((hooks) => hooks.forEach((hook) => hook())))
  const queue = []
  let inFlight = 0
  // Learnt so far: the server's limits; that a gateway passes no larger form; that the server has no such lane.
  let known = {}
  let asking
  let formMaxBytes = settings.formMaxBytes
  const without = {}

  /** Uploads a file; or does `work` in the way of an upload: with its clock and its retries. */
  function begin(file, options = {}, work, tries = delays) {
    const hooks = new Set()
    const listeners = {}
    const flying = new Set()
    const shown = { percent: 0, sent: 0, speed: 0, known: true }
    let reason, resumed, source, name, place, lanes, fulfil, reject, toldAt, measuredAt, measured
    let retries = 0
    let renew = false
    let gotThrough = false
    let over = false
    const result = new Promise((...both) => ([fulfil, reject] = both))
    // Who only listens need not catch.
    result.catch(() => {})

    const task = {
      state: 'waiting',
      lane: undefined,
      on(event, listener) {
        const heard = (listeners[event] = listeners[event] || new Set())
        heard.add(listener)
        return () => heard.delete(listener)
      },
      pause() {
        // A body that is out cannot be held back.
        const can = /waiting|sending/.test(task.state)
        if (can) {
          enter('paused')
          halt(PAUSED)
        }
        return can
      },
      resume() {
        const can = task.state === 'paused'
        if (can) {
          reason = undefined
          enter('waiting')
          if (resumed) resumed()
        }
        return can
      },
      abort() {
        const error = new UploadError('aborted', { lane: task.lane })
        const finishing = task.state === 'finishing'
        // A body that is out cannot be stopped: its answer is waited for, and taken back.
        if (!end('aborted', reject, error) || finishing) return
        halt(error)
        if (resumed) resumed()
        if (lanes) drop()
      },
      then: (...both) => result.then(...both),
      catch: (failed) => result.catch(failed),
    }

    function form(url, field, fields, headers) {
      enter('sending')
      const tellOf = (bytes, total) => {
        sent((bytes / total) * source.size)
        if (bytes >= total) enter('finishing')
      }
      // With a token it goes through the server.
      const request = { url: headers ? root + url : url, field, fields, headers: headers || {}, source, name }
      return send('form', request, { bytes: source.size, sent: tellOf, once: headers })
    }

    async function put(url, from, to, sent) {
      const body = await transport.slice(source, from, to).catch(unreadable)
      return send('send', { method: 'PUT', url, body, headers: { 'content-type': 'application/octet-stream' } }, { bytes: to - from, sent })
    }

    function sent(bytes) {
      const now = Date.now()
      const ms = now - measuredAt
      const { size } = source
      // All at once is a buffer's word and not the network's.
      if (bytes && !shown.sent) shown.known = size < 65536 || bytes < size * 0.95
      if (!(ms < TELL_MS)) {
        const speed = Math.max(0, ((bytes - measured) / ms) * 1000) || 0
        shown.speed = Math.round(shown.speed ? shown.speed * 0.7 + speed * 0.3 : speed)
        measuredAt = now
        measured = bytes
      }
      shown.sent = Math.max(shown.sent, Math.round(bytes))
      shown.percent = Math.max(shown.percent, Math.min(99, Math.floor((bytes / size) * 100)))
      if (!(now - toldAt < TELL_MS)) tell()
    }

    function emit(event, value) {
      if (listeners[event]) listeners[event].forEach((listener) => listener(value))
    }
    function tell() {
      toldAt = Date.now()
      emit('progress', { phase: task.state, lane: task.lane, total: source.size, attempt: retries + 1, ...shown })
    }
    function enter(state) {
      if (task.state === state || over) return
      task.state = state
      emit('state', state)
      if (source && /ing|done/.test(state)) tell()
    }
    function end(state, settle, value) {
      if (over) return false
      if (place) place.leave()
      all.delete(hooks)
      enter(state)
      over = true
      settle(value)
      return true
    }
    function halt(why) {
      reason = why
      hooks.forEach((hook) => hook(why))
    }
    function retry(error, afterMs) {
      retries++
      emit('retry', { error, attempt: retries + 1, afterMs: Math.round(afterMs), lane: task.lane })
    }
    function unreadable(cause) {
      throw new UploadError('file_unreadable', { cause })
    }

    /** Waits; a change of the network ends the wait for it. */
    function wait(ms, forNetwork) {
      return new Promise((resolve, reject) => {
        const hook = (why) => (why || forNetwork) && done(why)
        const timer = setTimeout(done, ms)
        hooks.add(hook)
        function done(why) {
          clearTimeout(timer)
          hooks.delete(hook)
          if (why) reject(why)
          else resolve()
        }
      })
    }

    function send(kind, request, { bytes, ...more }) {
      if (reason) throw reason
      const silentMs = transport.steady ? stallMs : Math.max(stallMs, UNSTEADY_MS_PER_MIB * Math.ceil((bytes || 0) / MIB))
      const start = (progress) => {
        const running = transport[kind]({ ...request, progress })
        const land = () => flying.delete(settled)
        const settled = running.answer.then(land, land)
        flying.add(settled)
        return running
      }
      // A body that is out of our hands may still be on its way, and be copied within the bucket.
      return exchange(start, { hooks, silentMs, answerMs: Math.max(silentMs, stallMs * 4), ...more })
    }

    async function authorised() {
      try {
        const value = typeof token === 'function' ? await token(renew) : token
        return value ? { token: value } : {}
      } catch (cause) {
        throw new UploadError('token_missing', { cause, phase: 'sign' })
      }
    }

    /** A call to the server; what it answers. */
    async function call(phase, route, body, method = body ? 'POST' : 'GET') {
      const headers = phase === 'check' ? {} : await authorised()
      if (body) headers['content-type'] = 'application/json'
      const more = { phase, answerMs: phase === 'finish' ? stallMs * 4 : stallMs }
      const answer = await send('send', { method, url: root + route, headers, body: body && JSON.stringify(body) }, more)
      const found = parsed(answer)
      if (answer.status !== 200 || !answer.text || found.msg === 'fail') throw failure(answer, phase)
      return found.msg ? found.data : found
    }

    // Holds one of `files` places for as long as it is neither paused nor ended.
    async function run() {
      while (!over) {
        if (reason) await new Promise((resolve) => (resumed = resolve))
        if (!work) await (inFlight < files ? inFlight++ : new Promise((resolve) => queue.push(resolve)))
        try {
          const item = await attempts()
          if (!end('done', fulfil, item)) recall(item)
        } catch (error) {
          if (error !== PAUSED) fail(error instanceof UploadError ? error : new UploadError('internal', { cause: error }))
        }
        if (!work) (queue.shift() || (() => inFlight--))()
      }
    }

    function fail(error) {
      error.lane = task.lane
      // An upload that may go through later is kept for then.
      if (lanes && !(error.retryable && place.kept)) drop()
      end('failed', reject, error)
    }

    /** A part that arrives afterwards would stay. */
    function drop() {
      Promise.all(flying).then(lanes.drop)
    }

    /** Tries until it succeeds, fails for good, or has failed too often without anything getting through. */
    async function attempts() {
      let failures = 0
      let since = Date.now()
      for (;;) {
        try {
          if (reason) throw reason
          if (work) return await work(call)
          if (!source) await open()
          if (!task.lane) task.lane = await choose()
          enter('sending')
          const item = await lanes[task.lane]()
          place.set()
          shown.percent = 100
          shown.sent = source.size
          return item
        } catch (error) {
          if (reason || !(error instanceof UploadError)) throw reason || error
          if (gotThrough) {
            failures = 0
            since = Date.now()
            gotThrough = renew = false
          }
          error.attempts = failures + 1
          const other = await otherLane(error)
          if (other) {
            task.lane = other
            retry(error, 0)
          } else if (/^token_(expired|invalid)$/.test(error.code) && typeof token === 'function' && !renew) {
            renew = true
          } else if (!error.retryable) {
            throw error
          } else if (error.lost && !(await transport.online())) {
            if (Date.now() - since > maxMs) throw new UploadError('offline', { phase: error.phase, attempts: error.attempts, cause: error })
            // Nobody was there to answer: that was no attempt.
            const back = wait(OFFLINE_MS, true)
            retry(error, OFFLINE_MS)
            await back
          } else {
            // As long as the server asks for, and then a random share of the delay.
            const afterMs = (error.afterMs || 0) + Math.random() * tries[failures]
            if (!(Date.now() + afterMs - since < maxMs)) throw error
            failures++
            retry(error, afterMs)
            await wait(afterMs)
          }
        }
      }
    }

    async function open() {
      source = await transport.open(file).catch(unreadable)
      name = options.name || source.name || 'file'
      place = placeFor([source.print, name, options.imageClassId].join('/'))
      const partsAtOnce = settings.parts || transport.parts
      const through = () => (gotThrough = true)
      const undo = (route) => begin(0, {}, (call) => call('finish', route, undefined, 'DELETE'))
      lanes = lanesOf(source, name, options, { place, partsAtOnce, authorised, call, form, put, enter, sent, through, undo })
    }

    const wanted = options.folder ? 'form' : options.lane || settings.lane

    async function choose() {
      const { size } = source
      const small = size <= formMaxBytes
      // A small file does not wait for a round trip.
      if (!small) await health().catch(() => {})
      const { max_bytes = Infinity, direct, direct_max_bytes } = known.limits || {}
      if (size > settings.maxBytes || (size > max_bytes && !(direct && size <= direct_max_bytes))) throw new UploadError('check_size', { phase: 'check' })
      if (wanted === 'parts' && !transport.parts) throw new UploadError('unsupported', { phase: 'check' })
      if (wanted !== 'auto') return wanted
      return small && size <= max_bytes ? 'form' : large()
    }

    /** The lane past the server, as far as there is one. */
    function large() {
      const { store, limits = {} } = known
      if (without.direct || limits.direct === false) return 'form'
      return source.size >= settings.partsMinBytes && transport.parts && !without.parts && store !== 'disk' ? 'parts' : 'direct'
    }

    /** Where to go on after a failure that is the lane's fault, if anywhere. */
    async function otherLane({ code, status }) {
      const { lane } = task
      if (!lane || wanted !== 'auto') return undefined
      if (code === 'direct_disabled') {
        without[lane] = true
        // A server with a folder for a bucket takes the form, but not the parts.
        return lane === 'parts' ? 'direct' : 'form'
      }
      if (lane !== 'form' || (status !== 413 && (code !== 'not_ours' || status !== 400))) return undefined
      await health().catch(() => {})
      const { direct, direct_max_bytes } = known.limits || {}
      if (code === 'not_ours') formMaxBytes = Math.min(formMaxBytes, source.size - 1)
      else if (!direct || source.size > direct_max_bytes) return undefined
      const other = large()
      return other !== lane && other
    }

    all.add(hooks)
    // Listeners are added first.
    Promise.resolve().then(run)
    return task
  }

  /** The server's word on itself; asked until it has answered once. */
  function health() {
    asking = asking || begin(0, {}, (call) => call('check', '/healthz'), [])
    asking.then((answer) => (known = answer), () => (asking = undefined))
    return asking
  }
  function recall({ recall_token }) {
    return begin(0, {}, (call) => call('finish', '/api/chat/uploadRecall', { recall_token }))
  }
  function upload(file, options) {
    return begin(file, options)
  }
  function uploadAll(files, options) {
    const tasks = Array.from(files, (file) => begin(file, options))
    const results = tasks.map((task) => task.then((item) => ({ status: 'done', item }), (error) => ({ status: task.state, error })))
    return Object.assign(Promise.all(results), { tasks })
  }
  return { upload, uploadAll, recall, pending, health }
}
