export function upload(filePath, token, onPercent) {
  return new Promise((resolve, reject) => {
    const task = uni.uploadFile({
      url: 'http://127.0.0.1:9000/api/chat/uploadAliyun',
      filePath,
      name: 'img',
      formData: { imageClassId: 0 },
      header: { token },
      timeout: 120000,
      success: ({ statusCode, data }) => {
        if (statusCode === 200) resolve(JSON.parse(data).data[0])
        else reject(new Error(reason(data) ?? `HTTP ${statusCode}`))
      },
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    })
    task.onProgressUpdate(({ progress }) => onPercent(progress))
  })
}

function reason(body) {
  try {
    return JSON.parse(body).data
  } catch {
    return undefined
  }
}
