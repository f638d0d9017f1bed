// The transport of Apps: files are read through HTML5+ and cross the bridge as base64.

import { described, miniProgram } from './mini-program.js'

export const app = {
  ...miniProgram,

  // A part takes about four times its size of memory on its way.
  parts: 1,

  async open(given) {
    const found = described(given)
    const entry = await new Promise((resolve, reject) => plus.io.resolveLocalFileSystemURL(found.path, resolve, reject))
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject))
    return { ...found, file, size: file.size, print: [found.path, file.size, file.lastModifiedDate].join('/') }
  },

  async slice({ file }, from, to) {
    const text = await new Promise((resolve, reject) => {
      const reader = new plus.io.FileReader()
      reader.onload = ({ target }) => resolve(target.result)
      reader.onerror = reject
      reader.readAsDataURL(file.slice(from, to))
    })
    const bytes = uni.base64ToArrayBuffer(text.slice(text.indexOf(',') + 1))
    if (bytes.byteLength < to - from) throw new Error('short read')
    return bytes.slice(0, to - from)
  },

  // `abort` of a request only ends the waiting, not the sending: it counts as running until it has ended.
  send: (request) => ({ ...miniProgram.send(request), stop() {} }),
}
