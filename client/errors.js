// Why an upload failed. Codes are stable: those of the server, and those below for what happens on this side.

const TEXTS = {
  aborted: '上传已取消',
  check_size: '文件太大',
  domain_not_listed: '域名未加入小程序的合法域名列表',
  file_unreadable: '无法读取文件',
  token_missing: '无法取得登录令牌',
}

// Nothing was answered: the network, and nobody else, is at fault.
const LOST = /^(network|timeout|stalled|interrupted|offline)$/
// Tried again: refusals that say that a body did not arrive whole.
const TRUNCATED = /^(body_truncated|RequestTimeout|IncompleteBody)$/

export class UploadError extends Error {
  constructor(code, more = {}) {
    const lost = LOST.test(code)
    super(more.message || TEXTS[code] || (lost ? '网络异常，请稍后重试' : '上传失败'))
    const { status, cause } = more
    const again = lost || TRUNCATED.test(code) || TRUNCATED.test(cause) || status === 408 || status === 429 || status > 499
    const retryable = again && code !== 'store_refused'
    const english = code.replace(/_/g, ' ')
    Object.assign(this, { name: 'UploadError', code, english, status: 0, requestId: '', phase: 'send', attempts: 1, retryable, lost }, more)
  }
}

/** The JSON of an answer; an empty object where it is none. */
export function parsed({ text }) {
  try {
    return JSON.parse(text) || {}
  } catch (_) {
    return {}
  }
}

/** The error that an answer stands for which is no success. */
export function failure(answer, phase, ofBucket) {
  const { status, text, headers } = answer
  const { msg, code, data, message, request_id } = parsed(answer)
  const after = /retry-after\W+(\d+)/i.exec(headers)
  const more = { status, phase, afterMs: after ? after[1] * 1000 : 0 }
  if (msg === 'fail' && code) return new UploadError(code, { ...more, message: data, english: message || data, requestId: request_id })
  const named = ofBucket && /<Code>(.*?)</.exec(text)
  return new UploadError(ofBucket ? 'bucket_refused' : 'not_ours', { ...more, cause: named ? named[1] : `HTTP ${status}` })
}
