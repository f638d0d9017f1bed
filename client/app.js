// The transport of Apps: files are read through HTML5+ and cross the bridge as base64.

import { miniProgram, described, reason } from './mini-program.js'

export const app = Object.assign({}, miniProgram, {
  // A part takes about four times its size of memory on its way.
  parts: 1,

  async open(given) {
    const { path, name } = described(given)
    const entry = await new Promise((resolve, reject) => plus.io.resolveLocalFileSystemURL(path, resolve, reject))
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject))
    return { path, file, name, size: file.size, type: '', print: [path, file.size, file.lastModifiedDate].join('/') }
  },

  async slice({ file }, from, to) {
    const reader = new plus.io.FileReader()
    const text = await new Promise((resolve, reject) => {
      reader.onload = ({ target }) => resolve(target.result)
      reader.onerror = (why) => reject(reason(why))
      reader.readAsDataURL(file.slice(from, to))
    })
    const bytes = uni.base64ToArrayBuffer(text.slice(text.indexOf(',') + 1))
    if (bytes.byteLength < to - from) throw new Error(`${bytes.byteLength} bytes instead of ${to - from}`)
    return bytes.slice(0, to - from)
  },

  // `abort` of a request only ends the waiting, not the sending: it counts as running until it has ended.
  send: (request) => ({ answer: miniProgram.send(request).answer, stop() {} }),
})
