// The transport of any mini-program: what uni-app's own API can do everywhere. Forms only; weixin.js and app.js add parts.

// A failure of the platform's is told by its words alone.
const REASONS = [
  [/domain list/i, 'domain_not_listed'],
  [/interrupted/i, 'interrupted'],
  [/time ?out/i, 'timeout'],
  [/no such file|file not found|file error|not exist|permission denied/i, 'file_unreadable'],
]
// The platform's own limit; ours ends before it.
const TIMEOUT_MS = 600000

function reason({ errMsg: cause = '' }) {
  const [, code] = REASONS.find(([words]) => words.test(cause)) || []
  return { code, cause }
}

/** Calls a function that takes `success` and `fail`; `begun` gets what it returns. */
export function promised(call, options, begun = () => {}) {
  return new Promise((resolve, reject) => begun(call({ ...options, success: resolve, fail: (why) => reject(reason(why)) })))
}

/** Path, name and size of what uni.choose* or the recorder answered. */
export function described(file) {
  const path = file.tempFilePath || file.path || file
  return { path, name: file.name || path.split('/').pop(), size: file.size, type: '' }
}

function start(call, { headers, ...options }, begun) {
  let task
  // Of a call that an app's interceptor holds back, the task comes later.
  const answer = promised(call, { ...options, header: headers, timeout: TIMEOUT_MS }, (given) =>
    Promise.resolve(given).then((given) => {
      task = given
      if (task && begun) begun(task)
    }),
  )
  return {
    answer: answer.then(({ statusCode, data, header }) => ({
      status: Number(statusCode),
      text: typeof data === 'string' ? data : JSON.stringify(data),
      headers: JSON.stringify(header),
    })),
    stop: () => task && task.abort(),
  }
}

// Told by the platform.
let isOnline = true
let isShown = true

export const miniProgram = {
  parts: 0,
  steady: false,

  async open(file) {
    const found = described(file)
    if (!found.size) found.size = (await promised(uni.getFileInfo, { filePath: found.path })).size
    return { ...found, print: found.path }
  },

  form: ({ url, headers, field, fields, source, progress }) =>
    start(uni.uploadFile, { url, headers, name: field, filePath: source.path, formData: fields }, (task) =>
      task.onProgressUpdate((told) => progress(told.totalBytesSent, told.totalBytesExpectedToSend)),
    ),

  // Anything but `json` leaves the answer a string.
  send: ({ url, method, headers, body }) => start(uni.request, { url, method, headers, data: body, dataType: 'text' }),

  storage: {
    get: (key) => uni.getStorageSync(key),
    set: (key, text) => uni.setStorageSync(key, text),
  },

  online: () => isOnline && isShown,

  watch(changed) {
    uni.onNetworkStatusChange(({ isConnected }) => {
      isOnline = isConnected
      changed()
    })
    // Where the platform has them.
    if (!uni.onAppHide) return
    uni.onAppHide(() => (isShown = false))
    uni.onAppShow(() => {
      isShown = true
      changed()
    })
  },
}
