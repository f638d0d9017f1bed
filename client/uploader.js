// Uploads: which lane a file takes, what is tried again and when, and what is told about it. Knows no platform.

import { UploadError, failure, parsed } from './errors.js'
import { Halt, exchange, wait } from './exchange.js'
import { checkLane, direct, form, parts, undoParts } from './lanes.js'
import { records } from './records.js'

const LANES = { form, direct, parts }
const MIB = 1024 * 1024
const PAUSED = { paused: true }
// At most so often is progress told, in milliseconds.
const TELL_MS = 200
// Without an event of the network's coming back, it is tried all the same.
const OFFLINE_MS = 30000
// The first word about the limits is not waited for any longer.
const LIMITS_MS = 5000
// A platform whose progress cannot be relied on has so long for each MiB before it counts as stalled.
const UNSTEADY_MS_PER_MIB = 60000
// Kinds by extension, as far as a name tells; what is not here is left to the server.
const KINDS = {
  image: /^(jpe?g|png|gif|webp|bmp|heic|heif|avif|tiff?)$/,
  video: /^(mp4|m4v|mov|avi|mkv|webm|flv|3gp|ogv|ogg)$/,
  audio: /^(mp3|m4a|aac|amr|wav|ogg|opus|flac|weba|webm|mp4|3gp)$/,
  document: /^(pdf|docx?|xlsx?|pptx?|txt|csv|zip|7z|rar)$/,
}

const DEFAULTS = {
  lane: 'auto',
  formMaxBytes: 4 * MIB,
  partsMinBytes: 10 * MIB,
  files: 2,
  stallMs: 30000,
  resume: true,
  check: {},
}
const RETRY = { delays: [0, 1000, 3000, 8000, 15000], maxMs: 600000 }

export function createUploader(options) {
  return new Uploader(options)
}

class Uploader {
  constructor(options) {
    const settings = Object.assign({}, DEFAULTS, options)
    settings.retry = Object.assign({}, RETRY, options.retry)
    this.settings = settings
    // The routes below /s3 lie beside /api.
    this.root = settings.api.replace(/\/+$/, '').replace(/\/api(\/chat)?$/, '')
    this.records = records(settings.resume, settings.transport, this.root)
    this.network = new Set()
    this.waiting = []
    this.running = 0
    // What was learnt: a gateway passes no larger form; the server has no such lane.
    this.formMaxBytes = settings.formMaxBytes
    this.without = {}
  }

  upload(file, options) {
    const job = new Job(this, file, options || {})
    return job.task
  }

  /** Settles all of them; `tasks` of the promise are the uploads. */
  uploadAll(files, options) {
    const tasks = Array.from(files, (file) => this.upload(file, options))
    const results = tasks.map((task) =>
      task.then((item) => ({ status: 'done', item }), (error) => ({ status: task.state, error })),
    )
    return Object.assign(Promise.all(results), { tasks })
  }

  /** Takes an upload back; the server allows that for some minutes. */
  async recall(item) {
    const end = this.listen()
    try {
      return await new Job(this).call('finish', 'POST', '/api/chat/uploadRecall', { recall_token: item.recall_token })
    } finally {
      end()
    }
  }

  /** Uploads in parts that go on when their file is uploaded again. */
  pending() {
    return this.records.list()
  }

  /** What the server says of itself: `{version, store, limits}`. Asked once. */
  health() {
    if (!this.asked) {
      this.asked = new Job(this).health()
      this.asked.then((health) => (this.known = health), () => (this.asked = undefined))
    }
    return this.asked
  }

  // A queue of `files` places.
  enter(halt) {
    return new Promise((resolve, reject) => {
      const place = () => {
        off()
        this.running++
        resolve(this.listen())
      }
      const off = halt.on((reason) => {
        this.waiting = this.waiting.filter((other) => other !== place)
        reject(reason)
      })
      if (halt.reason) return
      if (this.running < this.settings.files) place()
      else this.waiting.push(place)
    })
  }

  leave() {
    this.running--
    const next = this.waiting.shift()
    if (next) next()
  }

  /** Hears of the network until the function it returns is called. */
  listen() {
    return this.settings.transport.watch(() => this.network.forEach((changed) => changed()))
  }
}

/** One upload. `task` is what the caller gets to see of it. */
class Job {
  constructor(uploader, file, options) {
    this.uploader = uploader
    this.settings = uploader.settings
    this.transport = uploader.settings.transport
    this.root = uploader.root
    this.options = options
    this.halt = new Halt()
    this.memo = {}
    this.answers = new Set()
    this.listeners = {}
    this.state = 'waiting'
    this.retries = 0
    this.shown = { percent: 0, sent: 0, known: true, speed: 0 }
    if (options) this.begin(file)
  }

  begin(file) {
    const { signal } = this.options
    const result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // Whoever only listens need not catch.
    result.catch(() => {})
    const job = this
    this.task = {
      on(event, listener) {
        const all = job.listeners[event] || (job.listeners[event] = new Set())
        all.add(listener)
        return () => all.delete(listener)
      },
      pause: () => this.pause(),
      resume: () => this.resume(),
      abort: () => this.abort(),
      get state() {
        return job.state
      },
      get lane() {
        return job.lane
      },
      then: (done, failed) => result.then(done, failed),
      catch: (failed) => result.catch(failed),
      finally: (ended) => result.finally(ended),
    }
    if (signal) {
      if (signal.aborted) this.abort()
      else signal.addEventListener('abort', () => this.abort())
    }
    // Listeners are added first.
    Promise.resolve().then(() => this.run(file))
  }

  async run(file) {
    while (this.open()) {
      if (this.state === 'paused') await new Promise((resolve) => (this.resumed = resolve))
      try {
        const unlisten = await this.uploader.enter(this.halt)
        try {
          if (!this.source) await this.read(file)
          this.done(await this.send())
        } finally {
          unlisten()
          this.uploader.leave()
        }
      } catch (error) {
        if (error !== PAUSED) this.failed(error)
      }
    }
  }

  open() {
    return ['done', 'failed', 'aborted'].indexOf(this.state) < 0
  }

  async read(file) {
    try {
      this.source = await this.transport.open(file)
    } catch (error) {
      const code = error.code || 'file_unreadable'
      throw new UploadError(code, { phase: 'check', cause: error })
    }
    this.name = this.options.name || this.source.name
    const print = [this.source.print, this.name, this.options.imageClassId || 0].join('/')
    this.place = this.uploader.records.place(print)
  }

  async send() {
    const tried = {}
    for (let lane = await this.choose(); ; ) {
      this.lane = lane
      tried[lane] = true
      this.enter('sending')
      try {
        return await LANES[lane](this)
      } catch (error) {
        const other = error instanceof UploadError && (await this.otherLane(lane, error))
        if (!other || tried[other]) throw error
        lane = other
        this.retry(error, 0)
      }
    }
  }

  async choose() {
    const { uploader, settings, source } = this
    const lane = this.options.folder ? 'form' : this.options.lane || settings.lane
    checkLane(lane, this.transport)
    const small = source.size <= uploader.formMaxBytes
    // A small file does not wait for a round trip.
    const health = small ? uploader.known : await uploader.health().catch(() => undefined)
    const limits = (health && health.limits) || {}
    this.check(limits)
    if (lane !== 'auto') return lane
    if (small && !(source.size > limits.max_bytes)) return 'form'
    return this.large(health, limits)
  }

  /** The lane past the server, as far as there is one. */
  large(health, limits) {
    const { without } = this.uploader
    if (without.direct || limits.direct === false) return 'form'
    const inParts = this.source.size >= this.settings.partsMinBytes && this.transport.parts
    return inParts && !without.parts && !(health && health.store === 'disk') ? 'parts' : 'direct'
  }

  check(limits) {
    const { check } = this.settings
    if (!check) return
    const { size } = this.source
    const name = String(this.name || '')
    const extension = name.slice(name.lastIndexOf('.') + 1).toLowerCase()
    const most = Math.max(limits.max_bytes || 0, (limits.direct && limits.direct_max_bytes) || 0)
    if (size > check.maxBytes || (most && size > most)) throw new UploadError('check_size', { phase: 'check' })
    const kinds = Object.keys(KINDS).filter((kind) => KINDS[kind].test(extension))
    for (const types of [check.types, limits.types]) {
      if (types && kinds.length && !kinds.some((kind) => types.indexOf(kind) >= 0)) throw new UploadError('check_type', { phase: 'check' })
    }
  }

  /** Where to go on after a failure that is the lane's fault, if anywhere. */
  async otherLane(lane, error) {
    const { uploader } = this
    if ((this.options.lane || this.settings.lane) !== 'auto') return undefined
    if (error.code === 'direct_disabled') {
      uploader.without[lane] = true
      // A server with a folder for a bucket takes the form, but not the parts.
      return lane === 'parts' ? 'direct' : 'form'
    }
    const tooLarge = error.status === 413 || (error.code === 'not_ours' && error.status === 400)
    if (lane !== 'form' || !tooLarge || this.options.folder) return undefined
    const health = await uploader.health().catch(() => undefined)
    const limits = (health && health.limits) || {}
    if (error.code === 'not_ours') uploader.formMaxBytes = Math.min(uploader.formMaxBytes, this.source.size - 1)
    else if (!(limits.direct && this.source.size <= limits.direct_max_bytes)) return undefined
    return this.large(health, limits)
  }

  // What the lanes use.

  get partsAtOnce() {
    return this.settings.parts || this.transport.parts
  }

  /** Calls `attempt` until it succeeds, fails for good, or has failed too often. */
  async persist(phase, attempt, halt) {
    const { delays, maxMs } = this.settings.retry
    const end = Date.now() + maxMs
    for (let failures = 0; ; ) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof UploadError)) throw error
        error.phase = phase
        error.attempts = failures + 1
        if (!error.retryable || Date.now() > end) throw error
        if (error.lost && !(await this.transport.online())) {
          this.retry(error, OFFLINE_MS)
          await this.networkIsBack(halt || this.halt)
          // Nobody was there to answer: that was no attempt.
          if (Date.now() > end) throw new UploadError('offline', { phase, attempts: failures + 1, cause: error })
          continue
        }
        if (failures >= delays.length) throw error
        await this.again(error, ++failures, halt)
      }
    }
  }

  /** Waits before the next attempt: what the server asks for, and then a random share of the delay. */
  async again(error, failures, halt) {
    const { delays, maxMs } = this.settings.retry
    const afterMs = (error.afterMs || 0) + Math.random() * (delays[failures - 1] || 0)
    if (afterMs > maxMs) throw error
    this.retry(error, afterMs)
    await wait(afterMs, halt || this.halt)
  }

  networkIsBack(halt) {
    const { network } = this.uploader
    let wake
    const back = wait(OFFLINE_MS, halt, (done) => {
      wake = done
      network.add(wake)
    })
    const off = () => network.delete(wake)
    back.then(off, off)
    return back
  }

  /** Calls `send` with the headers that authorise it; once more with a new token when the first was refused. */
  async authorised(send) {
    const { token } = this.settings
    const asks = typeof token === 'function'
    for (let renew = false; ; renew = true) {
      let value
      try {
        value = asks ? await token(renew) : token
      } catch (cause) {
        throw new UploadError('token_missing', { cause })
      }
      try {
        return await send(value ? { token: value } : {})
      } catch (error) {
        const refused = error.code === 'token_expired' || error.code === 'token_invalid'
        if (!refused || renew || !asks) throw error
      }
    }
  }

  /** A call to the server, tried again where that helps; its answer. */
  call(phase, method, path, body, late) {
    return this.persist(phase, () => this.callOnce(phase, method, path, body, late))
  }

  async callOnce(phase, method, path, body, late, halt) {
    const read = (answer) => {
      const found = parsed(answer)
      if (answer.status !== 200 || !found || found.msg === 'fail') throw failure(answer, phase)
      return found.msg === 'ok' ? found.data : found
    }
    return this.authorised(async (headers) => {
      const request = { method, url: this.root + path, headers }
      if (body) {
        request.body = JSON.stringify(body)
        headers['content-type'] = 'application/json'
      }
      const more = { halt, late: late && ((answer) => late(read(answer))) }
      if (phase !== 'finish') more.answerMs = this.settings.stallMs
      return read(await this.exchange('send', request, more))
    })
  }

  async health() {
    const request = { method: 'GET', url: `${this.root}/healthz`, headers: {} }
    const answer = await this.exchange('send', request, { answerMs: Math.min(LIMITS_MS, this.settings.stallMs) })
    const body = parsed(answer)
    if (answer.status !== 200 || !body || body.msg !== 'ok') throw failure(answer, 'sign')
    return body.data
  }

  form(request, more) {
    const { source } = this
    this.enter('sending')
    const sent = (bytes, total) => {
      this.sent((bytes / total) * source.size, source.size)
      if (bytes >= total) this.enter('finishing')
    }
    const whole = Object.assign({ source, name: this.name }, request)
    return this.exchange('form', whole, Object.assign({ size: source.size, sent }, more))
  }

  async put(url, from, to, halt, sent) {
    let body
    try {
      body = await this.transport.slice(this.source, from, to)
    } catch (cause) {
      throw new UploadError('file_unreadable', { cause })
    }
    const headers = { 'content-type': 'application/octet-stream' }
    return this.exchange('send', { method: 'PUT', url, headers, body }, { halt, size: to - from, sent })
  }

  exchange(kind, request, more) {
    const { transport, uploader } = this
    const start = (whole) => {
      const running = transport[kind](whole)
      const ended = running.answer.then(() => this.answers.delete(ended), () => this.answers.delete(ended))
      this.answers.add(ended)
      return running
    }
    const given = Object.assign({ network: uploader.network }, this.clock(more.size || 0), more)
    given.halt = more.halt || this.halt
    return exchange(start, request, given)
  }

  clock(size) {
    const { stallMs } = this.settings
    const silentMs = this.transport.steady ? stallMs : Math.max(stallMs, UNSTEADY_MS_PER_MIB * Math.ceil(size / MIB))
    // What is out of our hands may still be on its way, and be copied within the bucket.
    return { silentMs, answerMs: Math.max(silentMs, stallMs * 4) }
  }

  /** For a call that goes on when this upload has ended. */
  aside() {
    return new Job(this.uploader)
  }

  savedRecord() {
    return this.place.get()
  }

  saveRecord(record) {
    this.place.set(record)
  }

  dropRecord() {
    undoParts(this)
    this.memo.record = undefined
    this.place.remove()
  }

  /** An answer that came when nobody wanted it any more. */
  recallLate(item) {
    if (item && item.recall_token) this.uploader.recall(item).catch(() => {})
  }

  // What is told.

  emit(event, value) {
    const listeners = this.listeners[event] || []
    listeners.forEach((listener) => {
      try {
        listener(value)
      } catch (error) {
        // The page's own fault is reported, and is no reason to stop.
        Promise.reject(error)
      }
    })
  }

  enter(state) {
    if (this.state === state || !this.open()) return
    this.state = state
    this.emit('state', state)
    this.tell(true)
  }

  retry(error, afterMs) {
    this.retries++
    this.emit('retry', { error, attempt: this.retries + 1, afterMs: Math.round(afterMs), lane: this.lane })
  }

  sent(bytes, total) {
    const { shown } = this
    const now = Date.now()
    if (!shown.start) Object.assign(shown, { start: now, at: now, bytes })
    // All at once, and at once: these are a buffer's bytes and not the network's.
    if (bytes > 0 && !shown.first) {
      shown.first = true
      shown.known = !(total > 65536 && bytes >= total * 0.95 && now - shown.start < 300)
    }
    const ms = now - shown.at
    if (ms >= TELL_MS) {
      const speed = Math.max(0, ((bytes - shown.bytes) / ms) * 1000)
      shown.speed = shown.speed ? shown.speed * 0.7 + speed * 0.3 : speed
      Object.assign(shown, { at: now, bytes })
    }
    shown.sent = Math.max(shown.sent, Math.round(bytes))
    shown.percent = Math.max(shown.percent, Math.min(99, Math.floor((bytes / total) * 100)))
    this.tell(false)
  }

  tell(now) {
    const { shown, state } = this
    const going = ['sending', 'finishing', 'done'].indexOf(state) >= 0
    if (!going || (!now && Date.now() - shown.told < TELL_MS)) return
    shown.told = Date.now()
    const total = this.source.size
    const { percent, sent, speed, known } = shown
    const eta = speed > 0 ? Math.ceil((total - sent) / speed) : undefined
    this.emit('progress', { phase: state, sent, total, percent, speed: Math.round(speed), eta, attempt: this.retries + 1, known, lane: this.lane })
  }

  // How it ends.

  done(item) {
    if (!this.open()) return
    this.place.remove()
    this.place.leave()
    Object.assign(this.shown, { percent: 100, sent: this.source.size })
    this.enter('done')
    this.resolve(item)
  }

  failed(error) {
    if (!this.open()) return
    const known = error instanceof UploadError ? error : new UploadError('internal', { cause: error })
    known.lane = this.lane
    if (this.place) {
      // What may go through later is kept for then.
      if (!(known.retryable && this.place.kept)) this.dropRecord()
      this.place.leave()
    }
    this.enter('failed')
    this.reject(known)
  }

  pause() {
    // What is out cannot be held back.
    if (this.state !== 'waiting' && this.state !== 'sending') return false
    this.enter('paused')
    this.halt.now(PAUSED)
    return true
  }

  resume() {
    if (this.state !== 'paused') return false
    this.halt = new Halt()
    this.enter('waiting')
    if (this.resumed) this.resumed()
    return true
  }

  abort() {
    if (!this.open()) return
    const error = new UploadError('aborted', { lane: this.lane, attempts: this.retries + 1 })
    this.enter('aborted')
    this.reject(error)
    this.halt.now(error)
    if (this.resumed) this.resumed()
    if (!this.place) return
    if (this.memo.record) this.place.remove()
    this.place.leave()
    // A part that arrives after the end would stay.
    Promise.all(this.answers).then(() => undoParts(this))
  }
}
