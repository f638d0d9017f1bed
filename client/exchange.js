// One request, on a clock of our own. No two platforms tell of an abort or a lost connection alike, and some never do, so
// the promise here is settled by whichever comes first: the answer, the failure, the clock, or a halt.

import { UploadError } from './errors.js'

/** Stops what is under way: requests and waits that have subscribed. */
export class Halt {
  constructor() {
    this.reason = undefined
    this.listeners = new Set()
  }

  on(listener) {
    if (this.reason) listener(this.reason)
    else this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  now(reason) {
    if (this.reason) return
    this.reason = reason
    this.listeners.forEach((listener) => listener(reason))
    this.listeners.clear()
  }
}

/** Resolves after `ms`, or rejects when halted. `wake`, if given, is handed a function that ends the wait early. */
export function wait(ms, halt, wake) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms)
    const off = halt.on((reason) => {
      clearTimeout(timer)
      reject(reason)
    })
    function done() {
      clearTimeout(timer)
      off()
      resolve()
    }
    if (wake) wake(done)
  })
}

// How long a request may be silent after the network has come back or changed: its connection is most likely dead.
const AFTER_CHANGE_MS = 3000

/**
 * Sends `request` by `start`, a function of the transport.
 *
 * silentMs   longest time without progress while the body goes out
 * answerMs   longest time from then to the answer
 * halt       a Halt
 * network    set of functions to call when the network has changed
 * sent       told of bytes sent and the body's length
 * late       if given, a halt lets the request run on once its body is out, and `late` gets the answer
 * once       a second attempt would leave a copy, so that a lost connection has to prove itself
 */
export function exchange(start, request, { silentMs, answerMs, halt, network, sent, late, once }) {
  return new Promise((resolve, reject) => {
    let timer, running
    let open = true
    let out = !sent

    function end(settle, value) {
      if (!open) return
      open = false
      clearTimeout(timer)
      network.delete(changed)
      off()
      settle(value)
    }
    function fail(code, cause) {
      end(reject, new UploadError(code, { cause, out }))
    }
    function arm(ms) {
      clearTimeout(timer)
      timer = setTimeout(() => {
        fail(out ? 'timeout' : 'stalled')
        running.stop()
      }, ms)
    }
    function changed() {
      if (!(once && out)) arm(Math.min(AFTER_CHANGE_MS, silentMs))
    }
    const off = halt.on((reason) => {
      end(reject, reason)
      if (!running) return
      if (late && out) running.answer.then(late).catch(() => {})
      else running.stop()
    })
    if (!open) return

    function progress(bytes, total) {
      if (!open) return
      if (bytes >= total) out = true
      arm(out ? answerMs : silentMs)
      sent(bytes, total)
    }
    running = start(Object.assign({}, request, { progress: sent && progress }))
    arm(out ? answerMs : silentMs)
    network.add(changed)
    running.answer.then(
      (answer) => (answer.status ? end(resolve, answer) : fail('network')),
      (why) => fail(typeof why.code === 'string' ? why.code : 'network', why.cause || why),
    )
  })
}
