// For browsers. In a uni-app project import `uni.js`, which takes the platform's own transport.

import { browser } from './browser.js'
import { createUploader as create } from './uploader.js'

export { UploadError } from './errors.js'

export function createUploader(options) {
  return create(Object.assign({ transport: browser }, options))
}
