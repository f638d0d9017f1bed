// The page: files come in, each becomes an upload of the client package and a row of the list.

import { createUploader } from './client/index.js'
import { canRecord, record } from './recorder.js'
import { Row, rows } from './row.js'
import { bytes, clock, language, speakTo, t, translate } from './words.js'

const at = (id) => document.getElementById(id)
const base = new URL('.', document.baseURI)
const uploader = createUploader({ api: `${base}api/chat`, token: () => at('token').value })
let health = {}

function add(files) {
  const options = { lane: at('lane').value, imageClassId: Number(at('class').value) || 0 }
  // The newest is on top, as they were chosen.
  for (const file of Array.from(files).reverse()) {
    const row = new Row(uploader, file, options, health.limits)
    row.onchange = sums
    at('uploads').prepend(row.element)
    row.start()
  }
  sums()
}

function sums(name, state) {
  const count = (wanted) => rows.filter((row) => row.state === wanted).length
  at('empty').hidden = rows.length > 0
  at('sums').textContent = rows.length ? t('sums', { n: rows.length, done: count('done'), failed: count('failed') }) : ''
  if (['done', 'failed', 'aborted', 'recalled'].includes(state)) at('status').textContent = t('said', { name, state: t(state) })
}

function words() {
  document.documentElement.lang = language() === 'zh' ? 'zh-CN' : 'en'
  translate(document)
  at('language').textContent = t('switch')
  at('language').lang = t('switchTo')
  const { version, store, limits } = health
  if (version) at('about').textContent = `${version} · ${t(store === 'disk' ? 'storeDisk' : 'storeBucket', { store: store.toUpperCase() })}`
  if (limits) {
    const size = bytes(Math.max(limits.max_bytes, limits.direct ? limits.direct_max_bytes : 0))
    at('limits').textContent = t('limits', { types: limits.types.map((type) => t(type)).join(language() === 'zh' ? '、' : ', '), size })
  }
  at('curl').textContent = `curl -F img=@photo.jpg ${base}api/chat/uploadAliyun`
  at('invite').textContent = t(matchMedia('(pointer: coarse)').matches ? 'touch' : 'invite')
  at('status').textContent = ''
  for (const row of rows) {
    row.render()
    row.show()
  }
  sums()
}

for (const id of ['file', 'camera']) {
  at(id).onchange = ({ target }) => {
    add(target.files)
    // Choosing the same file again is a change again.
    target.value = ''
  }
}

document.addEventListener('paste', ({ clipboardData }) => clipboardData.files.length && add(clipboardData.files))
const dragging = (is) => document.body.classList.toggle('dragging', is)
document.addEventListener('dragover', (event) => {
  event.preventDefault()
  dragging(true)
})
document.addEventListener('dragleave', ({ relatedTarget }) => relatedTarget || dragging(false))
document.addEventListener('drop', (event) => {
  event.preventDefault()
  dragging(false)
  add(event.dataTransfer.files)
})

at('language').onclick = () => {
  speakTo(t('switchTo'))
  words()
}

at('token').value = sessionStorage.getItem('token') ?? ''
at('token').onchange = ({ target }) => sessionStorage.setItem('token', target.value)

at('record').hidden = !canRecord()
at('record').onclick = async () => {
  let recording
  try {
    recording = await record()
  } catch {
    at('status').textContent = at('limits').textContent = t('noMicrophone')
    return
  }
  const began = Date.now()
  const timer = setInterval(() => (at('clock').textContent = clock((Date.now() - began) / 1000)), 250)
  const show = (is) => {
    at('recording').hidden = !is
    at('record').parentElement.hidden = is
    at(is ? 'send' : 'record').focus()
  }
  const end = (how) => async () => {
    clearInterval(timer)
    const file = await recording[how]()
    show(false)
    if (file) add([file])
  }
  at('clock').textContent = clock(0)
  at('send').onclick = end('stop')
  at('discard').onclick = end('discard')
  show(true)
}

words()
uploader.health().then((found) => {
  health = found
  at('settings').open = Boolean(found.limits?.token && !at('token').value)
  words()
}, () => {})
setInterval(() => rows.forEach((row) => row.tick()), 1000)
