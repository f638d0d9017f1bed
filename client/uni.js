// For uni-app. The one file with conditional compilation: every platform's build takes its own transport.

// #ifdef H5
import { browser } from './browser.js'
// #endif
// #ifdef MP-WEIXIN
import { weixin } from './weixin.js'
// #endif
// #ifdef APP-PLUS
import { app } from './app.js'
// #endif
// #ifndef H5 || MP-WEIXIN || APP-PLUS
import { miniProgram } from './mini-program.js'
// #endif
import { createUploader as create } from './uploader.js'

export { UploadError } from './errors.js'

let transport
// #ifdef H5
transport = browser
// #endif
// #ifdef MP-WEIXIN
transport = weixin
// #endif
// #ifdef APP-PLUS
transport = app
// #endif
// #ifndef H5 || MP-WEIXIN || APP-PLUS
transport = miniProgram
// #endif

export function createUploader(options) {
  return create(Object.assign({ transport }, options))
}
