// The page's words in Chinese and English; both tables have the same keys.

export const WORDS = {
  zh: {
    switch: 'English', switchTo: 'en',
    invite: '把文件拖到这里，或者直接粘贴', touch: '发送图片、视频、语音或文件', choose: '选择文件', camera: '拍照', record: '录音',
    recording: '正在录音', stop: '发送', discard: '丢弃', voice: '语音',
    noMicrophone: '无法使用麦克风', settings: '设置',
    token: '令牌 (JWT)', lane: '上传方式', classId: '图片分类 imageClassId',
    auto: '自动', form: '表单，经过服务器', direct: '直传，一次', parts: '直传，分片续传',
    files: '传输过程', chat: '聊天里的样子', empty: '还没有文件。也可以在终端里试：', local: '这个页面只在本机服务器上提供。',
    api: '接口描述 (OpenAPI)', scan: '用手机扫码打开', close: '关闭', onlyHere: '这个地址只有本机能打开。',
    answer: '服务器的回答', storeDisk: '存到本机文件夹', storeBucket: '存到 {store} 存储空间',
    image: '图片', video: '视频', audio: '语音', document: '文档', file: '其他文件', limits: '{types}，单个文件不超过 {size}',
    waiting: '等待中', paused: '已暂停', sending: '发送中', finishing: '等待确认', done: '完成', failed: '失败', aborted: '已取消', recalled: '已撤回',
    sums: '{n} 个文件，{done} 个完成，{failed} 个失败', said: '{name}：{state}',
    attempt: '第 {n} 次尝试', again: '{code}，{s} 秒后重试', left: '还需 {s} 秒', seconds: '{s} 秒', took: '用时 {s} 秒',
    pause: '暂停', resume: '继续', cancel: '取消', retry: '重试', remove: '移除', copy: '复制地址', copied: '已复制', qr: '二维码', recall: '撤回',
    took_back: '你撤回了一条消息', play: '播放语音 {s} 秒', halt: '停止播放', requestId: '请求号 {id}', progress: '{name} 的上传进度',
    geo_removed: '已去除位置信息', geo_kept: '可能含有位置信息', animated: '动图',
  },
  en: {
    switch: '中文', switchTo: 'zh',
    invite: 'Drop files here, or paste them', touch: 'Send pictures, videos, voice or files', choose: 'Choose files', camera: 'Take a photo', record: 'Record voice',
    recording: 'Recording', stop: 'Send', discard: 'Discard', voice: 'voice',
    noMicrophone: 'The microphone cannot be used', settings: 'Settings',
    token: 'Token (JWT)', lane: 'Way of upload', classId: 'Class, imageClassId',
    auto: 'Automatic', form: 'Form, through the server', direct: 'Direct, in one piece', parts: 'Direct, in parts, resumable',
    files: 'On the wire', chat: 'In the chat', empty: 'No files yet. It also works from a terminal:', local: 'Only the local server has this page.',
    api: 'API description (OpenAPI)', scan: 'Open it on a phone', close: 'Close', onlyHere: 'This address opens on this computer only.',
    answer: 'Answer of the server', storeDisk: 'stores into a local folder', storeBucket: 'stores into a bucket ({store})',
    image: 'pictures', video: 'videos', audio: 'voice', document: 'documents', file: 'other files', limits: '{types}; a file may have {size}',
    waiting: 'waiting', paused: 'paused', sending: 'sending', finishing: 'being confirmed', done: 'done', failed: 'failed', aborted: 'cancelled', recalled: 'recalled',
    sums: '{n} files, {done} done, {failed} failed', said: '{name}: {state}',
    attempt: 'attempt {n}', again: '{code}, again in {s} s', left: '{s} s left', seconds: '{s} s', took: 'took {s} s',
    pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Try again', remove: 'Remove', copy: 'Copy URL', copied: 'Copied', qr: 'QR code', recall: 'Recall',
    took_back: 'You recalled a message', play: 'Play voice message, {s} s', halt: 'Stop', requestId: 'request {id}', progress: 'Upload progress of {name}',
    geo_removed: 'location removed', geo_kept: 'may hold a location', animated: 'animated',
  },
}

let chosen = localStorage.getItem('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')
if (!WORDS[chosen]) chosen = 'en'

export const language = () => chosen

export function speakTo(next) {
  chosen = next
  localStorage.setItem('language', next)
}

/** The text under `key`, its `{places}` filled. */
export function t(key, places = {}) {
  return (WORDS[chosen][key] ?? key).replace(/\{(\w+)\}/g, (_, place) => places[place] ?? '')
}

/** Puts texts into whatever says `data-t` below `root`. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t)
}

export function bytes(n) {
  const units = ['B', 'KB', 'MB', 'GB']
  let unit = 0
  while (n >= 1024 && unit < 3) { n /= 1024; unit++ }
  return `${n < 10 && unit ? n.toFixed(1).replace('.0', '') : Math.round(n)} ${units[unit]}`
}

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
