// One upload: what happens on the wire to the left, what the chat shows to the right.

import { bubble, make } from './bubble.js'
import { Curve } from './curve.js'
import { bytes, clock, language, t, translate } from './words.js'

const RECALL_SECS = 300
const LOOPBACK = /^(localhost|127\..*|\[::1\])$/

/** All of them, the newest last. */
export const rows = []

export class Row {
  constructor(uploader, file, options, limits) {
    Object.assign(this, { uploader, file, options, name: file.name, state: 'waiting', recallSecs: limits?.recall_secs ?? RECALL_SECS })
    this.element = document.getElementById('item').content.firstElementChild.cloneNode(true)
    this.curve = new Curve(this.part('canvas'))
    this.src = URL.createObjectURL(file)
    rows.push(this)
  }

  part(selector) {
    return this.element.querySelector(selector)
  }

  start() {
    Object.assign(this, { error: undefined, paused: false, began: Date.now(), progress: {}, again: undefined })
    const task = (this.task = this.uploader.upload(this.file, this.options))
    task.on('state', (state) => {
      this.again = undefined
      this.paused = state === 'paused'
      // How it ended is told by the promise, with the item or the failure.
      if (this.paused) this.enter('waiting')
      else if (['waiting', 'sending', 'finishing'].includes(state)) this.enter(state)
    })
    task.on('progress', (progress) => {
      this.progress = progress
      if (progress.speed && progress.phase === 'sending') this.curve.add(progress.speed)
      this.render()
    })
    task.on('retry', ({ error, attempt, afterMs }) => {
      this.again = { code: error.code, until: Date.now() + afterMs }
      this.progress = { ...this.progress, attempt }
      this.render()
    })
    task.then(
      (item) => {
        this.took = Date.now() - this.began
        this.item = item
        this.until = item.recall_token && Date.now() + this.recallSecs * 1000
        this.enter('done')
        this.show()
      },
      (error) => {
        this.error = error
        this.enter(error.code === 'aborted' ? 'aborted' : 'failed')
      },
    )
    this.enter('waiting')
    this.show()
  }

  async recall() {
    try {
      await this.uploader.recall(this.item)
      this.error = undefined
      this.enter('recalled')
      this.show()
    } catch (error) {
      this.error = error
      this.render()
    }
  }

  remove() {
    rows.splice(rows.indexOf(this), 1)
    URL.revokeObjectURL(this.src)
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling
    ;(next?.querySelector('button') ?? document.getElementById('file')).focus()
    this.element.remove()
    this.onchange()
  }

  enter(state) {
    if (state === this.state && this.element.dataset.state) return this.render()
    this.state = state
    this.element.dataset.state = state
    this.render()
    this.onchange?.(this.name, state)
  }

  /** The bubble: of the file until the answer is there, then of what was stored. */
  show() {
    const { file, item, state } = this
    const place = this.part('.bubble')
    if (state === 'recalled') return place.replaceChildren(make('p', { className: 'note', textContent: t('took_back') }))
    const facts = item ?? { name: file.name, size: file.size, mime: file.type }
    place.replaceChildren(bubble(facts, item ? item.url : this.src))
  }

  /** Every second: what counts down. */
  tick() {
    if (this.again || (this.state === 'done' && this.until)) this.render()
  }

  render() {
    const { file, item, error, state, progress, again, paused } = this
    const part = (selector) => this.part(selector)
    const shows = (selector, is) => (part(selector).hidden = !is)
    const under = state === 'waiting' || state === 'sending' || state === 'finishing'
    translate(this.element)
    part('.name').textContent = this.name
    part('.state').textContent = t(paused ? 'paused' : state)
    const facts = [bytes(item?.size ?? file.size), this.task.lane && t(this.task.lane).split(/[,，]/)[0], item?.mime]
    if (under && progress.speed) facts.push(`${bytes(progress.speed)}/s`)
    if (under && progress.eta) facts.push(t('left', { s: progress.eta }))
    if (progress.attempt > 1) facts.push(t('attempt', { n: progress.attempt }))
    if (under && again) facts.push(t('again', { code: again.code, s: Math.max(0, Math.ceil((again.until - Date.now()) / 1000)) }))
    if (item) {
      if (item.width) facts.push(`${item.width} × ${item.height}`)
      if (item.duration_ms) facts.push(t('seconds', { s: (item.duration_ms / 1000).toFixed(1) }))
      if (item.animated) facts.push(t('animated'))
      if (item.geo && item.geo !== 'none') facts.push(t(`geo_${item.geo}`))
      facts.push(t('took', { s: (this.took / 1000).toFixed(1) }))
    }
    part('.facts').replaceChildren(...facts.filter(Boolean).map((fact) => make('span', { textContent: fact })))
    shows('.flow', under || this.curve.speeds.length > 1)
    const bar = part('progress')
    bar.setAttribute('aria-label', t('progress', { name: this.name }))
    if (state === 'finishing' || progress.known === false) bar.removeAttribute('value')
    // An empty file is no percentage of itself.
    else bar.value = progress.percent || 0
    if (state === 'done') bar.value = 100
    shows('.failure', error && state !== 'aborted')
    if (error) {
      part('.text').textContent = language() === 'zh' ? error.message : error.english
      part('.code').textContent = error.code
      part('.http').textContent = error.status ? `HTTP ${error.status}` : ''
      part('.request').textContent = error.requestId ? t('requestId', { id: error.requestId }) : ''
    }
    shows('.link', state === 'done')
    shows('.answer', item)
    if (item) {
      Object.assign(part('.url'), { href: item.url, textContent: item.url })
      part('.answer pre').textContent = JSON.stringify(item, null, 2)
    }
    this.actions(under)
  }

  actions(under) {
    const { state, task } = this
    const left = this.until && Math.ceil((this.until - Date.now()) / 1000)
    const all = {
      pause: under && state !== 'finishing' && !this.paused && (() => task.pause()),
      resume: this.paused && (() => task.resume()),
      cancel: under && (() => task.abort()),
      retry: (state === 'failed' || state === 'aborted') && (() => this.start()),
      copy: state === 'done' && (({ target }) => copy(this.item.url, target)),
      qr: state === 'done' && (() => code(this.item.url)),
      recall: state === 'done' && left > 0 && (() => this.recall()),
      remove: !under && (() => this.remove()),
    }
    const place = this.part('.actions')
    for (const [name, act] of Object.entries(all)) {
      let button = place.querySelector(`.${name}`)
      // Kept when it stays, so that the focus does.
      if (!act) {
        if (button === document.activeElement) this.moved = true
        button?.remove()
        continue
      }
      if (!button) place.lastChild.before((button = make('button', { type: 'button', className: name })))
      button.onclick = act
      if (!button.dataset.busy) button.textContent = name === 'recall' ? `${t(name)} ${clock(left)}` : t(name)
    }
    if (this.moved) place.querySelector('button')?.focus()
    this.moved = false
  }
}

async function copy(url, button) {
  try {
    await navigator.clipboard.writeText(url)
  } catch {
    // Not allowed over http: the old way.
    const area = make('textarea', { value: url })
    button.after(area)
    area.select()
    document.execCommand('copy')
    area.remove()
    button.focus()
  }
  button.dataset.busy = true
  button.textContent = t('copied')
  setTimeout(() => {
    delete button.dataset.busy
    button.textContent = t('copy')
  }, 1500)
}

function code(url) {
  const at = (id) => document.getElementById(id)
  at('picture').src = `api/chat/qrcode?type=svg&url=${encodeURIComponent(url)}`
  at('picture').alt = url
  at('address').textContent = LOOPBACK.test(new URL(url, document.baseURI).hostname) ? `${url} — ${t('onlyHere')}` : url
  at('code').showModal()
}
