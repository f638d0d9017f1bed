// The transport of WeChat: files are read piece by piece through the file system, and sent as ArrayBuffers.

import { described, miniProgram, promised } from './mini-program.js'

// `readFile` is good up to this size.
const READ_FILE_BYTES = 100 * 1024 * 1024

const ask = (name, options) => {
  const files = uni.getFileSystemManager()
  return promised((whole) => files[name](whole), options)
}

export const weixin = {
  ...miniProgram,

  // Of the ten requests that WeChat allows at once, most are left to the app.
  parts: 2,

  async open(file) {
    const found = described(file)
    const { stats } = await ask('stat', { path: found.path })
    return { ...found, size: stats.size, print: `${found.path}/${stats.size}` }
  },

  async slice({ path, size }, position, to) {
    const length = to - position
    if (size <= READ_FILE_BYTES) return (await ask('readFile', { filePath: path, position, length })).data
    const { fd } = await ask('open', { filePath: path, flag: 'r' })
    try {
      const arrayBuffer = new ArrayBuffer(length)
      const { bytesRead } = await ask('read', { fd, arrayBuffer, length, position })
      if (bytesRead !== length) throw new Error('short read')
      return arrayBuffer
    } finally {
      await ask('close', { fd })
    }
  },
}
