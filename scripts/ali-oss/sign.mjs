// Signs an address of OSS with ali-oss, for scripts/check-signatures: JSON on stdin, the address on stdout.

import { readFileSync } from 'node:fs'
import { mock } from 'node:test'
import OSS from 'ali-oss'

const { options, region, method, key, process, signedAt, life } = JSON.parse(readFileSync(0, 'utf8'))
mock.timers.enable({ apis: ['Date'], now: signedAt })
const client = new OSS({ ...options, region: `oss-${region}`, secure: true })
const queries = process ? { 'x-oss-process': process } : {}
console.log(await client.signatureUrlV4(method, life, { queries }, key))
