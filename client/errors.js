// Why an upload failed. Codes are stable: those of the server, and those below for what happens on this side.

// What a person is told, in Chinese and in English.
const TEXTS = {
  aborted: ['上传已取消', 'the upload was cancelled'],
  check_size: ['文件太大', 'the file is too large'],
  check_type: ['不支持的文件类型', 'files of this type are not accepted'],
  file_unreadable: ['无法读取文件', 'the file cannot be read'],
  offline: ['网络不可用，请检查网络后重试', 'there is no network'],
  network: ['网络连接失败，请重试', 'the connection failed'],
  timeout: ['网络超时，请重试', 'the request took too long'],
  stalled: ['网络太慢，请重试', 'the connection stalled'],
  interrupted: ['小程序进入后台，上传中断', 'the upload was interrupted in the background'],
  not_ours: ['服务器返回异常', 'the answer is not that of an upload server'],
  bucket_refused: ['存储服务拒绝了文件', 'the bucket refused the file'],
  domain_not_listed: ['域名未加入小程序的合法域名列表', 'the domain is not on the list of the mini-program'],
  internal: ['上传组件内部错误', 'a bug of the client'],
  unsupported: ['当前平台不支持', 'this platform cannot do that'],
}

// Nothing was answered: the network, and nobody else, is at fault.
const LOST = ['network', 'timeout', 'stalled', 'interrupted', 'offline']
// Answers below 500 after which a second try may go through: the last three say that a body did not arrive whole.
const AGAIN = ['too_many_requests', 'client_too_slow', 'body_truncated', 'RequestTimeout', 'IncompleteBody']

export class UploadError extends Error {
  constructor(code, more) {
    const [chinese, english] = TEXTS[code] || [code, code]
    super((more && more.message) || chinese)
    this.name = 'UploadError'
    this.code = code
    this.status = 0
    this.requestId = ''
    this.phase = 'send'
    this.attempts = 1
    Object.assign(this, more)
    this.english = this.english || english
    this.lost = LOST.indexOf(code) >= 0
    const { status } = this
    const again = [code, this.cause].some((name) => AGAIN.indexOf(name) >= 0) || status === 408 || status === 429
    this.retryable = this.lost || again || (status >= 500 && code !== 'store_refused')
  }
}

/** The body of an answer of our server: `{msg: 'ok'}`, `{msg: 'fail'}`, or one of Companion's shapes. */
export function parsed(answer) {
  try {
    const body = JSON.parse(answer.text)
    return body && typeof body === 'object' ? body : undefined
  } catch (_) {
    return undefined
  }
}

/** What an answer that is no success means. */
export function failure(answer, phase, ofBucket) {
  const { status } = answer
  const seconds = parseInt(answer.header('retry-after'), 10)
  const more = { status, phase, afterMs: seconds > 0 ? seconds * 1000 : 0 }
  const body = parsed(answer)
  if (body && body.msg === 'fail' && body.code) {
    const texts = { message: body.data, english: body.message, requestId: body.request_id }
    return new UploadError(body.code, Object.assign(more, texts))
  }
  const named = /<Code>([^<]*)<\/Code>/.exec(answer.text)
  if (ofBucket) return new UploadError('bucket_refused', Object.assign(more, { cause: named ? named[1] : `HTTP ${status}` }))
  return new UploadError('not_ours', Object.assign(more, { cause: `HTTP ${status}` }))
}
