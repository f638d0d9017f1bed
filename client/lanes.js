// The three ways of a file: a form through the server, a signed form into the bucket, parts into the bucket. A lane may be
// left by a pause or a failure and entered again: what was reached is kept in `job.memo`.

import { UploadError, failure, parsed } from './errors.js'
import { Halt } from './exchange.js'

const MIB = 1024 * 1024
// A part doubles from one to the next while it takes less than this, up to the size.
const QUICK_MS = 2000
const LARGEST_PART = 8 * MIB
// Smallest size of a part that every bucket takes, where the server names none.
const SMALLEST_PART = 5 * MIB
// A bucket takes 10,000.
const MOST_PARTS = 9000
// How often a lane begins anew before its failure counts.
const ROUNDS = 3

/** One multipart form through the server. An answer that gets lost leaves a copy that nobody knows of. */
export async function form(job) {
  const { folder, imageClassId } = job.options
  const path = folder ? `uploadStreamSingleToServerDiy/${encodeURIComponent(folder)}` : 'uploadAliyun'
  const fields = imageClassId ? { imageClassId: String(imageClassId) } : {}
  const item = (answer) => {
    const body = parsed(answer)
    const data = answer.status === 200 && body && body.msg === 'ok' && body.data
    if (!data) throw failure(answer, 'send')
    return folder ? data : data[0]
  }
  return job.persist('send', () =>
    job.authorised(async (headers) => {
      const request = { url: `${job.root}/api/chat/${path}`, field: 'img', fields, headers }
      const more = { once: true, late: (answer) => job.recallLate(item(answer)) }
      return item(await job.form(request, more))
    }),
  )
}

/** A form into the bucket, signed by the server, which then looks at the file and publishes it. The ticket is the key. */
export async function direct(job) {
  const { memo, source, options } = job
  for (let round = 1; ; round++) {
    if (!memo.policy) {
      const wanted = { name: job.name || 'file', size: source.size, imageClassId: options.imageClassId }
      memo.policy = await job.call('sign', 'POST', '/api/chat/uploadPolicy', wanted)
      memo.sent = false
    }
    try {
      if (!memo.sent) await job.persist('send', () => putForm(job))
      memo.sent = true
      return memo.item || (await job.persist('finish', () => publish(job)))
    } catch (error) {
      const stale = error.code === 'ticket_invalid' || (error.code === 'bucket_refused' && error.status === 403)
      if (round >= ROUNDS || !(stale || error.code === 'upload_incomplete')) throw error
      memo.sent = false
      if (stale || round > 1) memo.policy = undefined
      await job.again(error, round)
    }
  }
}

async function publish(job) {
  job.enter('finishing')
  const { ticket } = job.memo.policy
  const late = (items) => job.recallLate(items[0])
  return (await job.callOnce('finish', 'POST', '/api/chat/uploadComplete', { ticket }, late))[0]
}

async function putForm(job) {
  const { memo } = job
  const { url, name, formData } = memo.policy.upload
  // The file may be there although the bucket's answer is not: asking costs less than sending it again.
  if (memo.perhaps) {
    try {
      memo.item = await publish(job)
      return
    } catch (error) {
      if (error.code !== 'upload_incomplete') throw error
      memo.perhaps = false
    }
  }
  try {
    const answer = await job.form({ url, field: name, fields: formData, headers: {} })
    // 409: an earlier attempt got through.
    if (answer.status !== 409 && (answer.status < 200 || answer.status > 299)) throw failure(answer, 'send', true)
  } catch (error) {
    memo.perhaps = error.lost && error.out
    throw error
  }
}

/** Parts of the file, each by a signed address, which can be resumed after a reload. The upload's id is the key. */
export async function parts(job) {
  for (let round = 1; ; round++) {
    const { memo } = job
    try {
      if (!memo.record) memo.record = job.savedRecord()
      // Ours is known to be empty, another one is to be asked what it holds.
      const known = !memo.record
      if (known) memo.record = await begin(job)
      let held = known ? [] : await heldParts(job)
      for (let sendings = 0; missing(memo.record, held).length; sendings++) {
        if (sendings === ROUNDS) throw new UploadError('upload_incomplete', { phase: 'finish' })
        await sendMissing(job, held)
        held = await heldParts(job)
      }
      return await complete(job, held)
    } catch (error) {
      const ended = error.code === 'ticket_invalid' || error.code === 'upload_incomplete' || error.cause === 'NoSuchUpload'
      if (!memo.record || !ended || round >= ROUNDS) throw error
      // The answer of its completion may have been lost before a reload.
      if (memo.record.ending && error.code === 'upload_incomplete') {
        try {
          return await complete(job, [{ PartNumber: 1, ETag: '"ended"' }])
        } catch (other) {
          if (other.code !== 'upload_incomplete' && other.code !== 'ticket_invalid') throw other
        }
      }
      job.dropRecord()
      await job.again(error, round)
    }
  }
}

async function begin(job) {
  const { source, options, name } = job
  const wanted = { filename: name || 'file', type: source.type, metadata: { imageClassId: options.imageClassId } }
  const { key, uploadId, part_bytes } = await job.call('sign', 'POST', '/s3/multipart', wanted)
  const partBytes = Math.max(part_bytes || SMALLEST_PART, Math.ceil(source.size / MOST_PARTS))
  const record = { key, uploadId, partBytes, sizes: [], size: source.size, name, at: Date.now() }
  job.saveRecord(record)
  return record
}

function path({ uploadId, key }, rest) {
  return `/s3/multipart/${uploadId}${rest || ''}?key=${encodeURIComponent(key)}`
}

function heldParts(job) {
  return job.call('sign', 'GET', path(job.memo.record))
}

/** The parts that were begun and are not held by the bucket. */
function missing(record, held) {
  const sizes = {}
  held.forEach((part) => (sizes[part.PartNumber] = part.Size))
  let from = 0
  const list = record.sizes.map((size, index) => ({ number: index + 1, from, to: (from += size) }))
  const left = list.filter((part) => sizes[part.number] !== part.to - part.from)
  // Not begun yet.
  if (from < record.size) left.push(undefined)
  return left
}

async function sendMissing(job, held) {
  const { memo, halt } = job
  const { record } = memo
  const queue = missing(record, held).filter(Boolean)
  let begun = record.sizes.reduce((sum, size) => sum + size, 0)
  let done = begun - queue.reduce((sum, part) => sum + part.to - part.from, 0)
  let partBytes = record.partBytes
  const flying = {}
  const tell = () => job.sent(done + Object.keys(flying).reduce((sum, number) => sum + flying[number], 0), record.size)

  function next() {
    if (queue.length) return queue.shift()
    if (begun >= record.size) return undefined
    const from = begun
    begun = Math.min(record.size, from + partBytes)
    record.sizes.push(begun - from)
    job.saveRecord(record)
    return { number: record.sizes.length, from, to: begun }
  }

  // The first part that fails for good stops the others.
  const group = new Halt()
  const off = halt.on((reason) => group.now(reason))
  async function worker() {
    for (let part = next(); part && !group.reason; part = next()) {
      const { number, from, to } = part
      const start = Date.now()
      await sendPart(job, group, part, (bytes) => {
        flying[number] = bytes
        tell()
      })
      delete flying[number]
      done += to - from
      tell()
      if (Date.now() - start < QUICK_MS) partBytes = Math.max(partBytes, Math.min(partBytes * 2, LARGEST_PART))
    }
  }
  job.enter('sending')
  tell()
  try {
    const workers = Array.from({ length: job.partsAtOnce }, worker)
    await Promise.all(workers.map((each) => each.catch((error) => (group.now(error), Promise.reject(error)))))
  } finally {
    off()
  }
}

function sendPart(job, halt, { number, from, to }, sent) {
  let refused = 0
  return job.persist(
    'send',
    async () => {
      sent(0)
      // Signed anew each time, so that no address is ever too old.
      const { url } = await job.callOnce('sign', 'GET', path(job.memo.record, `/${number}`), undefined, undefined, halt)
      const answer = await job.put(url, from, to, halt, sent)
      if (answer.status === 200) return
      const error = failure(answer, 'send', true)
      if (error.status === 403 && refused++ === 0) error.retryable = true
      throw error
    },
    halt,
  )
}

async function complete(job, held) {
  const { record } = job.memo
  job.enter('finishing')
  if (!record.ending) {
    record.ending = true
    job.saveRecord(record)
  }
  const list = held.map(({ PartNumber, ETag }) => ({ PartNumber, ETag }))
  const item = await job.call('finish', 'POST', path(record, '/complete'), { parts: list }, (late) => job.recallLate(late))
  delete item.location
  return item
}

/** Takes back what an upload in parts has left in the bucket. */
export function undoParts(job) {
  const { record } = job.memo
  if (record) job.aside().callOnce('finish', 'DELETE', path(record)).catch(() => {})
}

export function checkLane(lane, transport) {
  if (lane === 'parts' && !transport.parts) throw new UploadError('unsupported', { phase: 'check' })
}
