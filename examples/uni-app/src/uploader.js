// One uploader for the whole app.

import { createUploader } from 'chat-upload-client/uni'

export const uploader = createUploader({
  // On a phone: the address of your computer in the same network, and UPLOAD_ADDR=0.0.0.0:9000 on that computer.
  api: 'http://127.0.0.1:9000/api/chat',
  token: () => uni.getStorageSync('token'),
})
