// Videos and sounds of a private store, in a browser. It asks for `url` once and is sent on to an address of the bucket, which
// ends. A player keeps to that address for as long as it lives; afterwards it tries in vain, for minutes and without a word.

// With nothing new for so long, an address has probably ended.
const PATIENCE_MS = 3000
const LONGEST_MS = 60000
const DECODE = 3
const ignore = () => {}

/**
 * Loads `url` into a `<video>` or `<audio>` that may play for longer than an address lives: when nothing comes any more, it
 * asks for a new one, and goes on where it was. Calls `failed` when the file cannot be played.
 */
export function keepPlaying(player, url, failed = ignore) {
  let patience = PATIENCE_MS
  let timer
  let wasGood = false

  function calm() {
    clearTimeout(timer)
    timer = undefined
  }
  function watch() {
    calm()
    timer = setTimeout(renew, patience)
  }
  function renew() {
    const { currentTime, paused, playbackRate } = player
    // A network that is only slow gets more time with every turn.
    patience *= 2
    player.src = url
    // As long as nothing is loaded, that is where it will begin.
    player.currentTime = currentTime
    player.playbackRate = playbackRate
    if (!paused) player.play().catch(ignore)
    watch()
  }
  function good() {
    calm()
    wasGood = true
    patience = PATIENCE_MS
  }
  function error() {
    const soon = patience === PATIENCE_MS
    calm()
    if (!wasGood || player.error.code === DECODE || patience > LONGEST_MS) failed()
    else if (soon) renew()
    else watch()
  }

  const heard = { seeking: watch, waiting: watch, progress: () => timer && watch(), seeked: good, playing: good, canplay: good, error }
  Object.keys(heard).forEach((event) => player.addEventListener(event, heard[event]))
  player.src = url
}
