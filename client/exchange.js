// One request, on a clock of our own. No two platforms tell of an abort or a lost connection alike, and some never do, so
// the promise here is settled by whichever comes first: the answer, the failure, the clock, or a word from outside.

import { UploadError } from './errors.js'

/**
 * Starts a request by `start`, which gets the function to tell progress to.
 *
 * hooks      a set to be in while this runs: called with a reason to end, or with none when the network has changed
 * sent       told of bytes sent and the body's length; without it, there is no body to speak of
 * silentMs   longest time without progress while the body goes out
 * answerMs   longest time from then to the answer
 * once       a second attempt would leave a copy: a request whose body is out outlives a change of the network
 */
export function exchange(start, { hooks, phase = 'send', sent, silentMs, answerMs, once }) {
  return new Promise((resolve, reject) => {
    let out = !sent
    let timer

    function end(settle, value) {
      clearTimeout(timer)
      hooks.delete(hook)
      settle(value)
    }
    function fail(code, cause) {
      end(reject, new UploadError(code, { cause, out, phase }))
    }
    function arm() {
      clearTimeout(timer)
      timer = setTimeout(() => {
        fail(out ? 'timeout' : 'stalled')
        running.stop()
      }, out ? answerMs : silentMs)
    }
    function hook(reason) {
      if (!reason && once && out) return
      if (reason) end(reject, reason)
      else fail('network')
      running.stop()
    }

    const running = start((bytes, total) => {
      if (!sent || !hooks.has(hook)) return
      out = bytes >= total
      arm()
      sent(bytes, total)
    })
    hooks.add(hook)
    arm()
    running.answer.then(
      (answer) => (answer.status ? end(resolve, answer) : fail('network')),
      ({ code = 'network', cause }) => fail(code, cause),
    )
  })
}
