// The three ways of a file: a form through the server, a signed form into the bucket, parts into the bucket. A lane that
// fails, or is paused, is entered again; what it has reached is remembered here.

import { UploadError, failure, parsed } from './errors.js'

const MIB = 1024 * 1024
// So many parts at most, until they have reached the largest size.
const PARTS = 32
const LARGEST_PART = 8 * MIB
// Smallest size of a part that every bucket takes, where the server names none.
const SMALLEST_PART = 5 * MIB

const isDenied = ({ code, status }) => code === 'bucket_refused' && status === 403

/**
 * The lanes of one file, of which it goes through one, or through another when that one is closed.
 *
 * place             where the record of an upload in parts is kept
 * partsAtOnce       parts in flight
 * authorised        the headers with the token
 * call, form, put   send requests: to the server; with the file; with a part of it
 * enter             tells of a state
 * sent              tells of bytes sent
 * through           tells that something got through, so that failures are counted anew
 * undo              deletes what is at a path
 */
export function lanesOf({ size, type }, name, { folder, imageClassId }, { place, partsAtOnce, authorised, call, form, put, enter, sent, through, undo }) {
  // How often a lane has begun anew.
  let rounds = 0
  // Of the lane `direct`: what the server has signed, and whether the form is in the bucket, surely or perhaps.
  let policy, isThere, mayBeThere
  // Of the lane `parts`.
  let record, wasDenied

  /** One multipart form through the server. An answer that gets lost leaves a copy that nobody knows of. */
  async function throughServer() {
    const route = folder ? `uploadStreamSingleToServerDiy/${encodeURIComponent(folder)}` : 'uploadAliyun'
    const answer = await form(`/api/chat/${route}`, 'img', imageClassId ? { imageClassId } : {}, await authorised())
    const { msg, data } = parsed(answer)
    if (answer.status !== 200 || msg !== 'ok') throw failure(answer)
    return folder ? data : data[0]
  }

  /** A form into the bucket, signed by the server, which then looks at the file and publishes it. The ticket is the key. */
  async function direct() {
    try {
      if (!policy) {
        policy = await call('sign', '/api/chat/uploadPolicy', { name, size, imageClassId })
        through()
      }
      // The file may be there although the bucket's answer is not: asking costs less than sending it again.
      if (mayBeThere) {
        try {
          return await publish()
        } catch (error) {
          if (error.code !== 'upload_incomplete') throw error
          mayBeThere = false
        }
      }
      if (!isThere) {
        const { upload } = policy
        const answer = await form(upload.url, upload.name, upload.formData).catch((error) => {
          mayBeThere = error.out
          throw error
        })
        // 409: an earlier attempt got through.
        if (answer.status > 299 && answer.status !== 409) throw failure(answer, 'send', true)
        isThere = true
        through()
      }
      return await publish()
    } catch (error) {
      const stale = error.code === 'ticket_invalid' || isDenied(error)
      if (stale || error.code === 'upload_incomplete') {
        isThere = mayBeThere = false
        if (stale || rounds) policy = undefined
        beginAnew(error)
      }
      throw error
    }
  }

  async function publish() {
    enter('finishing')
    return (await call('finish', '/api/chat/uploadComplete', { ticket: policy.ticket }))[0]
  }

  /** A lane may begin anew twice. */
  function beginAnew(error) {
    error.retryable = rounds++ < 2
  }

  /** Parts of the file, each by a signed address, which go on after a reload. The upload's id is the key. */
  async function parts() {
    try {
      record = record || place.get()
      let held = record ? await list() : await begin()
      if (missing(held).length) {
        await sendMissing(held)
        held = await list()
        if (missing(held).length) throw new UploadError('bucket_refused', { cause: 'parts are missing' })
      }
      return await complete(held)
    } catch (error) {
      const incomplete = error.code === 'upload_incomplete'
      if (record && (incomplete || error.code === 'ticket_invalid' || error.cause === 'NoSuchUpload')) {
        // It may have been completed before a reload, and the answer been lost: then any parts will do.
        const ignore = (other) => other.code !== error.code && Promise.reject(other)
        const item = incomplete && (await complete([{ PartNumber: 1, ETag: '"any"' }]).catch(ignore))
        if (item) return item
        drop()
        beginAnew(error)
      }
      if (isDenied(error)) {
        // Signed anew, once.
        error.retryable = !wasDenied
        wasDenied = true
      }
      throw error
    }
  }

  async function begin() {
    const asked = { filename: name, type, metadata: { imageClassId } }
    const { key, uploadId, part_bytes = SMALLEST_PART } = await call('sign', '/s3/multipart', asked)
    const partBytes = Math.max(part_bytes, Math.min(LARGEST_PART, Math.ceil(size / PARTS)))
    record = { key, uploadId, partBytes, size, name, at: Date.now() }
    place.set(record)
    through()
    return []
  }

  function path(rest = '') {
    return `/s3/multipart/${record.uploadId}${rest}?key=${encodeURIComponent(record.key)}`
  }

  /** The parts that the bucket holds, by number: SeaweedFS lists a part twice that was sent twice, the later one last. */
  async function list() {
    const held = []
    const all = await call('sign', path())
    all.forEach((part) => (held[part.PartNumber] = part))
    return held
  }

  /** The numbers of the parts that the bucket does not hold, and where they lie in the file. */
  function missing(held) {
    const { partBytes } = record
    const left = []
    for (let from = 0, number = 1; from < size; number++, from += partBytes) {
      const to = Math.min(size, from + partBytes)
      if (!held[number] || held[number].Size !== to - from) left.push({ number, from, to })
    }
    return left
  }

  async function sendMissing(held) {
    const queue = missing(held)
    const flying = {}
    let done = queue.reduce((sum, { from, to }) => sum + from - to, size)
    let failed
    async function worker() {
      for (let part; !failed && (part = queue.shift()); ) {
        const { number, from, to } = part
        const tell = (bytes) => {
          flying[number] = bytes
          sent(Object.values(flying).reduce((sum, each) => sum + each, done))
        }
        try {
          // Signed just before it is sent, so that no address is ever too old.
          const { url } = await call('sign', path(`/${number}`))
          const answer = await put(url, from, to, tell)
          if (answer.status !== 200) throw failure(answer, 'send', true)
          done += to - from
          wasDenied = false
          through()
        } catch (error) {
          // Other parts on their way may arrive.
          failed = failed || error
        }
        tell(0)
      }
    }
    await Promise.all(Array.from({ length: partsAtOnce }, worker))
    if (failed) throw failed
  }

  async function complete(held) {
    enter('finishing')
    const named = held.map(({ PartNumber, ETag }) => ({ PartNumber, ETag })).filter(Boolean)
    const { location, ...item } = await call('finish', path('/complete'), { parts: named })
    return item
  }

  /** Takes back what an upload in parts has left in the bucket. */
  function drop() {
    if (!record) return
    undo(path())
    record = undefined
    place.set()
  }

  return { form: throughServer, direct, parts, drop }
}
