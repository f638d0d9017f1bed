// How a chat shows a file, from the facts of the answer; before there is one, from the file itself.

import { keepPlaying } from './client/media.js'
import { bytes, t } from './words.js'

const WIDEST = 260, HIGHEST = 300

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use')
  use.setAttribute('href', `#i-${name}`)
  svg.append(use)
  return svg
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

/** `image`, `video`, `audio`, `document` or `file`. */
export function kindOf({ kind, mime = '' }) {
  const [family] = mime.split('/')
  return kind ?? (['image', 'video', 'audio'].includes(family) ? family : 'document')
}

/** `facts`: name, size, mime and, where known, kind, width, height, duration_ms. */
export function bubble(facts, src) {
  const shown = { image: picture, video: film, audio: voice }[kindOf(facts)]
  return shown && src ? shown(facts, src) : paper(facts, src)
}

function picture(facts, src) {
  const image = make('img', { alt: facts.name })
  reserve(image, facts)
  // HEIC and TIFF are shown by few browsers.
  image.onerror = () => image.replaceWith(paper(facts, src))
  image.src = src
  return image
}

function film(facts, src) {
  const video = make('video', { controls: true, preload: 'metadata', playsInline: true })
  video.setAttribute('aria-label', facts.name)
  reserve(video, facts)
  keepPlaying(video, src, () => video.replaceWith(paper(facts, src)))
  return video
}

/** Keeps the place before the file is loaded, so that nothing jumps. */
function reserve(element, { width, height }) {
  if (!width || !height) return
  const scale = Math.min(1, WIDEST / width, HIGHEST / height)
  element.width = Math.max(1, Math.round(width * scale))
  element.height = Math.max(1, Math.round(height * scale))
}

function voice(facts, src) {
  const sound = new Audio()
  sound.preload = 'metadata'
  const length = make('span')
  const button = make('button', { type: 'button', className: 'voice' }, icon('play'), make('i'), length)
  const show = (seconds) => {
    const rounded = Math.max(1, Math.round(seconds))
    length.textContent = `${rounded}″`
    button.style.width = `${Math.min(15, 7 + rounded * 0.25)}rem`
    button.setAttribute('aria-label', sound.paused ? t('play', { s: rounded }) : t('halt'))
    button.firstChild.firstChild.setAttribute('href', sound.paused ? '#i-play' : '#i-stop')
    button.classList.toggle('playing', !sound.paused)
  }
  const seconds = () => (facts.duration_ms ? facts.duration_ms / 1000 : Number.isFinite(sound.duration) ? sound.duration : 1)
  for (const event of ['loadedmetadata', 'play', 'pause', 'ended']) sound.addEventListener(event, () => show(seconds()))
  button.onclick = () => (sound.paused ? sound.play().catch(() => {}) : sound.pause())
  show(seconds())
  // AMR is played by no browser.
  keepPlaying(sound, src, () => button.replaceWith(paper(facts, src)))
  return button
}

function paper(facts, src) {
  const name = make('b', { textContent: facts.name || facts.mime })
  const text = make('span', {}, name, make('small', { textContent: bytes(facts.size) }))
  const download = src ? { href: src, target: '_blank', rel: 'noopener' } : {}
  return make(src ? 'a' : 'div', { className: 'paper', ...download }, icon('file'), text)
}
