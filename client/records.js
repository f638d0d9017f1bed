// Remembers uploads in parts, so that they go on after a reload: one entry of the platform's storage.

const KEY = 'chat-upload/1'
// The server lets an upload be resumed for a day.
const LIFE_MS = 23 * 60 * 60 * 1000

export function records(storage, root) {
  const inUse = new Set()

  function all() {
    try {
      const saved = JSON.parse(storage.get(KEY))
      Object.keys(saved).forEach((print) => Date.now() - saved[print].at > LIFE_MS && delete saved[print])
      return saved
    } catch (_) {
      // Nothing was noted, or storage is switched off, or it holds what is not ours.
      return {}
    }
  }

  return {
    pending: () => Object.values(all()).map(({ name, size, at }) => ({ name, size, at })),

    /** Where an upload keeps its record; a second upload of a file that is under way keeps none. */
    place(file) {
      const print = `${root}|${file}`
      const kept = Boolean(storage) && !inUse.has(print)
      inUse.add(print)
      return {
        kept,
        get: () => (kept ? all()[print] : undefined),
        set(record) {
          const found = all()
          if (!kept || (!record && !found[print])) return
          // Without a value JSON leaves the key out.
          found[print] = record
          try {
            storage.set(KEY, JSON.stringify(found))
          } catch (_) {
            // Full, or switched off: then nothing is resumed.
          }
        },
        leave: () => kept && inUse.delete(print),
      }
    },
  }
}
