// The client as the tests use it: the browser's transport over node:http, a network that can be switched off, short times.

import { XMLHttpRequest } from '../../scripts/uppy/xhr.mjs'

globalThis.XMLHttpRequest = XMLHttpRequest
const { browser } = await import('../../client/browser.js')
const { createUploader } = await import('../../client/index.js')

export { UploadError } from '../../client/index.js'

/** Storage that survives a "reload", which is a new uploader. */
export function memory() {
  const kept = new Map()
  return { kept, get: (key) => kept.get(key) ?? null, set: (key, text) => kept.set(key, text) }
}

/** An uploader for the server at `address`; `network.online` may be changed, `network.change()` tells of it. */
export function uploaderFor(address, { transport, ...options } = {}) {
  const listeners = new Set()
  const network = { online: true, change: () => listeners.forEach((listener) => listener()) }
  const watch = (listener) => listeners.add(listener)
  const uploader = createUploader({
    api: `http://${address}/api/chat`,
    retry: { delays: [1, 5, 10] },
    resume: memory(),
    ...options,
    transport: { ...browser, online: () => network.online, watch, ...transport },
  })
  return Object.assign(uploader, { network })
}

/** Uploads, and notes all that is told. Rejects never: `error` is what it failed with, and asking for `item` throws it. */
export async function watched(task) {
  let item
  const told = {
    states: [],
    retries: [],
    progress: [],
    get item() {
      if (told.error) throw told.error
      return item
    },
  }
  task.on('state', (state) => told.states.push(state))
  task.on('retry', ({ error }) => told.retries.push(error.code))
  task.on('progress', (progress) => told.progress.push(progress))
  try {
    item = await task
  } catch (error) {
    told.error = error
    // A bug, which no test expects.
    if (error.code === 'internal') throw error.cause
  }
  return told
}
