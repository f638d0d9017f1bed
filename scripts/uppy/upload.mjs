// Uploads one file with Uppy as a page would, and prints the result as JSON. Argument: JSON of
//
//   modules      folder whose node_modules hold @uppy/core and @uppy/aws-s3
//   endpoint     address of the function
//   token        sent in the header `token`; version 6 cannot send headers
//   file, name, type, multipart
//   pauseAfter   pause after this many parts, and resume a little later
//   cancelAfter  cancel after this many parts

import { openAsBlob } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

import { XMLHttpRequest } from './xhr.mjs'

globalThis.XMLHttpRequest = XMLHttpRequest
// The ticket in the response of GET /s3/params, which Uppy does not pass on.
let ticket
const plainFetch = fetch
globalThis.fetch = async (url, options) => {
  const answer = await plainFetch(url, options)
  if (String(url).includes('/s3/params')) ticket = (await answer.clone().json()).ticket
  return answer
}

const order = JSON.parse(process.argv[2])
const { resolve } = createRequire(`${order.modules}/`)
const { default: Uppy } = await import(pathToFileURL(resolve('@uppy/core')))
const { default: AwsS3 } = await import(pathToFileURL(resolve('@uppy/aws-s3')))

// Standard output is reserved for the result.
const quiet = { debug() {}, warn() {}, error: (...words) => console.error(...words) }
// Milliseconds that a failure stays on display; the process does not end before.
const infoTimeout = 1
const uppy = new Uppy({ logger: quiet, infoTimeout })
uppy.use(AwsS3, {
  // Version 6 renamed it.
  endpoint: order.endpoint,
  companionEndpoint: order.endpoint,
  headers: order.token ? { token: order.token } : {},
  shouldUseMultipart: order.multipart,
})

const parts = []
let partsBeforePause = []
uppy.on('s3-multipart:part-uploaded', (_, part) => {
  parts.push(part.PartNumber)
  if (parts.length === order.pauseAfter) {
    partsBeforePause = [...parts]
    uppy.pauseAll()
    setTimeout(() => uppy.resumeAll(), 300)
  }
  if (parts.length === order.cancelAfter) uppy.cancelAll()
})

uppy.addFile({ name: order.name, type: order.type, data: await openAsBlob(order.file, { type: order.type }) })
const result = await uppy.upload()
const answer = {
  successful: result?.successful?.map(({ uploadURL, response }) => ({ uploadURL, body: response?.body })) ?? [],
  failed: result?.failed?.map(({ error }) => error) ?? [],
  ticket,
  parts,
  partsBeforePause,
}
console.log(JSON.stringify(answer))
