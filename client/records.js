// What is remembered of uploads in parts, so that they go on after a reload: one entry of the platform's storage.

const KEY = 'chat-upload/1'
// The server lets an upload be resumed for a day.
const LIFE_MS = 23 * 60 * 60 * 1000

export function records(resume, transport, root) {
  const storage = resume && (resume === true ? transport.storage : resume)
  const inUse = new Set()

  function all() {
    const found = {}
    try {
      const saved = JSON.parse(storage.get(KEY) || '{}')
      const alive = (print) => Date.now() - saved[print].at < LIFE_MS
      Object.keys(saved).filter(alive).forEach((print) => (found[print] = saved[print]))
    } catch (_) {
      // Storage may be switched off, or hold what is not ours: then nothing is resumed.
    }
    return found
  }

  function change(print, record) {
    const found = all()
    if (record) found[print] = record
    else if (found[print]) delete found[print]
    else return
    try {
      storage.set(KEY, JSON.stringify(found))
    } catch (_) {
      // As above.
    }
  }

  return {
    list: () => Object.keys(all()).map((print) => {
      const { name, size, at } = all()[print]
      return { name, size, at }
    }),

    /** Where an upload keeps its record; a second upload of a file that is under way keeps none. */
    place(file) {
      const print = `${root}|${file}`
      const kept = Boolean(storage) && !inUse.has(print)
      if (kept) inUse.add(print)
      return {
        kept,
        get: () => (kept ? all()[print] : undefined),
        set: (record) => kept && change(print, record),
        remove: () => kept && change(print),
        leave: () => kept && inUse.delete(print),
      }
    },
  }
}
