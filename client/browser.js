// The transport of browsers, and of uni-app's H5: XMLHttpRequest, which alone tells how much was sent.

const isBlob = (file) => file instanceof Blob

export const browser = {
  /** Parts in flight at once. */
  parts: 3,
  /** Progress can be relied on. */
  steady: true,

  /** A File, a Blob, what uni.choose* answers, or a `blob:` or `data:` address. */
  async open(file) {
    let blob = [file, file.tempFile].find(isBlob)
    if (!blob) {
      const path = typeof file === 'string' ? file : file.tempFilePath || file.path
      blob = await (await fetch(path)).blob()
    }
    const name = blob.name || file.name || ''
    const { size, type } = blob
    return { blob, name, size, type, print: [name, size, blob.lastModified, type].join('/') }
  },

  async slice({ blob }, from, to) {
    return blob.slice(from, to)
  },

  form({ url, headers, field, fields, source, name, progress }) {
    const body = new FormData()
    Object.keys(fields).forEach((key) => body.append(key, fields[key]))
    body.append(field, source.blob, name || 'file')
    return send({ method: 'POST', url, headers, body, progress }, source.blob)
  },

  send: (request) => send(request, request.body),

  storage: {
    get: (key) => localStorage.getItem(key),
    set: (key, text) => localStorage.setItem(key, text),
  },

  online: () => navigator.onLine !== false,

  /** Calls `changed` whenever the network is back. */
  watch: (changed) => addEventListener('online', changed),
}

function send({ method, url, headers, body, progress }, blob) {
  const request = new XMLHttpRequest()
  const answer = new Promise((resolve, reject) => {
    request.open(method, url)
    Object.keys(headers).forEach((name) => request.setRequestHeader(name, headers[name]))
    request.upload.onprogress = ({ loaded, total }) => progress(loaded, total)
    request.onload = () => resolve({ status: request.status, text: request.responseText, headers: request.getAllResponseHeaders() })
    request.onabort = () => reject({ code: 'network' })
    // A file that has changed or is gone since it was chosen fails as the network does.
    request.onerror = () => (isBlob(blob) ? blob.slice(0, 1).arrayBuffer() : Promise.resolve()).then(
      () => reject({ code: 'network' }),
      (cause) => reject({ code: 'file_unreadable', cause }),
    )
    request.send(body)
  })
  return { answer, stop: () => request.abort() }
}
