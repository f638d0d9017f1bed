// The transport of any mini-program: what uni-app's own API can do everywhere. Forms only; weixin.js and app.js add parts.

// Texts of `fail`, in order: a failure of the platform's is told by its words alone.
const REASONS = [
  [/domain list/i, 'domain_not_listed'],
  [/interrupted/i, 'interrupted'],
  [/time ?out/i, 'timeout'],
  [/no such file|file not found|file error|not exist|permission denied/i, 'file_unreadable'],
]
// The platform's own limit, in milliseconds; ours ends before it.
const TIMEOUT_MS = 600000

export function reason(cause) {
  const text = String((cause && cause.errMsg) || cause)
  const found = REASONS.find(([words]) => words.test(text))
  return { code: found ? found[1] : 'network', cause: text }
}

/** Calls one of uni's functions that take `success` and `fail`; the task it returns goes to `begun`. */
export function promised(call, options, begun) {
  return new Promise((resolve, reject) => {
    const task = call(Object.assign({}, options, { success: resolve, fail: (why) => reject(reason(why)) }))
    if (begun) begun(task)
  })
}

/** The path, name and size of what uni.choose* or the recorder answered. */
export function described(file) {
  const path = typeof file === 'string' ? file : file.tempFilePath || file.path || file.filePath
  const name = file.name || String(path).split('/').pop()
  return { path, name, size: file.size }
}

function answered({ statusCode, data, header }) {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  const headers = header || {}
  const find = (name) => Object.keys(headers).find((each) => each.toLowerCase() === name)
  return { status: Number(statusCode), text, header: (name) => headers[find(name)] }
}

// What the platform has told, for as long as somebody listens.
let isOnline = true
let isShown = true

export const miniProgram = {
  parts: 0,
  steady: false,

  async open(file) {
    const { path, name, size } = described(file)
    const found = size > 0 ? size : (await promised(uni.getFileInfo, { filePath: path })).size
    return { path, name, size: found, type: '', print: [path, found].join('/') }
  },

  form({ url, headers, field, fields, source, progress }) {
    let task
    const options = { url, name: field, filePath: source.path, formData: fields, header: headers, timeout: TIMEOUT_MS }
    const answer = promised(uni.uploadFile, options, (begun) => (task = begun)).then(answered)
    if (task && task.onProgressUpdate) {
      task.onProgressUpdate(({ totalBytesSent, totalBytesExpectedToSend }) => progress(totalBytesSent, totalBytesExpectedToSend))
    }
    return { answer, stop: () => task && task.abort() }
  },

  send({ method, url, headers, body, progress }) {
    let task
    // Anything but `json` leaves the answer a string; without a content type, PUT would be sent as JSON.
    const options = { url, method, data: body, header: headers, dataType: 'text', responseType: 'text', timeout: TIMEOUT_MS }
    const answer = promised(uni.request, options, (begun) => (task = begun)).then((result) => {
      if (progress) progress(body.byteLength, body.byteLength)
      return answered(result)
    })
    return { answer, stop: () => task && task.abort() }
  },

  storage: {
    get: (key) => uni.getStorageSync(key),
    set: (key, text) => uni.setStorageSync(key, text),
  },

  online: () => isOnline && isShown,

  watch(changed) {
    const network = ({ isConnected }) => {
      isOnline = isConnected
      changed()
    }
    const shown = () => {
      isShown = true
      changed()
    }
    const hidden = () => (isShown = false)
    const pairs = [['NetworkStatusChange', network], ['AppShow', shown], ['AppHide', hidden]]
    pairs.forEach(([name, listener]) => uni[`on${name}`] && uni[`on${name}`](listener))
    return () => pairs.forEach(([name, listener]) => uni[`off${name}`] && uni[`off${name}`](listener))
  },
}
