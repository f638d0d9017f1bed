// The demo in examples/uni-app as compiled for WeChat, run in Node: uni-app's own runtime, Vue's renderer up to `setData`,
// real files, and real HTTP to the real server. WeChat's network, its rendering and phones are not covered.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ROOT, media, startProgram } from './support.mjs'
import { makeWx } from './wx.mjs'

const DIST = `${ROOT}examples/uni-app/dist/build/mp-weixin`
const require = createRequire(import.meta.url)
const TYPINGS = readFileSync(new URL('node_modules/miniprogram-api-typings/types/wx/lib.wx.api.d.ts', import.meta.url), 'utf8')

let program, folder

before(async () => {
  program = await startProgram({ UPLOAD_SIGNING_SECRET: 'secret of check-page' })
  folder = mkdtempSync(join(tmpdir(), 'weixin-'))
})

after(() => {
  program.end()
  rmSync(folder, { recursive: true, force: true })
})

function temporary(name, content) {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

/** Starts the app anew and opens `path`, as WeChat does. */
function open(path, options) {
  for (const name of Object.keys(require.cache)) if (name.startsWith(DIST)) delete require.cache[name]
  const redirect = (url) => url.replace('http://127.0.0.1:9000', program.address)
  const wx = (globalThis.wx = makeWx({ redirect, ...options }))
  let app, component, page
  Object.assign(globalThis, {
    App(it) {
      app = it
      it.onLaunch?.call(it, wx.getLaunchOptionsSync())
    },
    getApp: () => app,
    getCurrentPages: () => (page ? [page] : []),
    // uni-app looks at it, and makes a component of every page.
    Page: () => assert.fail('a page that is no component'),
    Component: (it) => (component = it),
  })
  require(join(DIST, 'app.js'))
  require(join(DIST, `${path}.js`))
  page = Object.assign(Object.create(component.methods ?? {}), {
    is: path, route: path, options: {}, dataset: {}, properties: {}, data: { ...component.data },
    setData(data, done) {
      // WeChat takes it as JSON.
      JSON.stringify(data)
      for (const [at, value] of Object.entries(data)) put(this.data, at, value)
      if (done) queueMicrotask(done)
    },
    triggerEvent() {}, selectComponent: () => null, selectAllComponents: () => [], createSelectorQuery() {},
  })
  const life = { ...component, ...component.lifetimes }
  life.created?.call(page)
  life.attached?.call(page)
  component.methods?.onLoad?.call(page, {})
  component.methods?.onShow?.call(page)
  life.ready?.call(page)
  const wxml = readFileSync(join(DIST, `${path}.wxml`), 'utf8')
  return { wx, page, wxml }
}

/** `{ 'b[0].n': '5%' }`, as setData takes paths. */
function put(data, at, value) {
  const steps = at.replace(/\[(\d+)\]/g, '.$1').split('.')
  const last = steps.pop()
  let place = data
  for (const step of steps) place = place[step] ??= {}
  place[last] = value
}

/** The data field that is bound to `attribute` of the first element with `css` among its classes. */
function bound({ wxml }, css, attribute) {
  const tag = new RegExp(`<[^>]*class="[^"]*\\b${css}\\b[^>]*>`).exec(wxml)?.[0]
  const field = new RegExp(`${attribute}="[^"]*\\{\\{(?:m\\.)?(\\w+)\\}\\}`).exec(tag ?? '')?.[1]
  assert.ok(field, `${attribute} of ${css} in ${wxml}`)
  return field
}

const event = (type) => ({ type, target: { dataset: {} }, currentTarget: { dataset: {} }, detail: {} })
const tap = (app, css) => app.page[app.page.data[bound(app, css, 'bindtap')]](event('tap'))

/** The newest message as the renderer gave it: its state, the text over it, the reason of a failure. */
function newest(app) {
  const [, list] = /wx:for="\{\{(\w+)\}\}"/.exec(app.wxml)
  const fields = app.page.data[list]?.at(-1)
  const [, state] = /class="\{\{\['bubble', m\.(\w+)\]\}\}"/.exec(app.wxml)
  const [, veil] = /class="veil">\{\{m\.(\w+)\}\}/.exec(app.wxml)
  const [, reason] = /class="failed"[^>]*>\{\{m\.(\w+)\}\}/.exec(app.wxml)
  return { fields, state: fields?.[state], veil: fields?.[veil], reason: fields?.[reason] }
}

async function until(isSo, sentence) {
  const end = Date.now() + 20000
  while (!isSo()) {
    assert.ok(Date.now() < end, `waited in vain until ${sentence}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const stored = () => program.stored()
const uploads = ({ wx }) => wx.calls.map(({ name, url }) => `${name} ${new URL(url).pathname}`)
const noise = (size) => Buffer.concat([media('rgb.png'), Buffer.alloc(size, 5)])

test('the shim invents nothing', () => {
  for (const name of makeWx().names) assert.match(TYPINGS, new RegExp(`\\n +${name}[<(]`), name)
})

test('a picture is sent as one form, and its progress is shown', async () => {
  const app = open('pages/chat/chat')
  app.wx.setStorageSync('token', 'x.y.z')
  const content = noise(3e6)
  app.wx.chosen.image = [temporary('tmp_a.png', content)]
  const before = stored()
  tap(app, 'image')
  const seen = new Set()
  await until(() => {
    seen.add(newest(app).veil)
    return newest(app).state === 'done'
  }, 'it is done')
  const path = stored().find((path) => !before.includes(path))
  assert.ok(program.read(path).equals(content))
  assert.deepEqual(uploads(app), ['uploadFile /api/chat/uploadAliyun'])
  const percents = [...seen].filter((text) => /^\d+%$/.test(text)).map(parseFloat)
  assert.ok(percents.length > 1 && percents.every((percent) => percent < 100), `${[...seen]}`)
})

test('progress that is one event says nothing, and no percentage is shown', async () => {
  const app = open('pages/chat/chat', { android: true })
  app.wx.chosen.image = [temporary('tmp_b.png', noise(3e6))]
  tap(app, 'image')
  const seen = new Set()
  await until(() => {
    seen.add(newest(app).veil)
    return newest(app).state === 'done'
  }, 'it is done')
  assert.ok(seen.has('…') && !seen.has('99%'), `${[...seen]}`)
})

test('a large file goes past the server, and goes on when the app comes back from the background', async () => {
  const app = open('pages/chat/chat')
  const content = noise(20e6)
  app.wx.chosen.video = [temporary('tmp_c.mp4', Buffer.concat([media('mp42-faststart.mp4'), content]))]
  const before = stored()
  tap(app, 'video')
  await until(() => uploads(app).includes('uploadFile /api/chat/uploadPending'), 'it is sent')
  app.wx.emit('appHide', {})
  app.wx.interrupt()
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(app.wx.running.size, 0)
  app.wx.emit('appShow', { path: '', query: {}, scene: 1001 })
  await until(() => newest(app).state === 'done', 'it is done')
  const added = stored().filter((path) => !before.includes(path))
  assert.equal(added.length, 1, `${added}`)
  assert.equal(program.read(added[0]).length, media('mp42-faststart.mp4').length + content.length)
  assert.ok(uploads(app).includes('request /api/chat/uploadComplete'))
})

test('what is refused says why, and a tap tries it again', async () => {
  const app = open('pages/chat/chat')
  const path = temporary('program.exe', Buffer.concat([Buffer.from('MZ\x90\0', 'latin1'), Buffer.alloc(4000, 0xfe)]))
  app.wx.chosen.file = [path]
  tap(app, 'paper')
  await until(() => newest(app).state === 'failed', 'it failed')
  assert.match(newest(app).reason, /^上传失败/)
  writeFileSync(path, media('page.pdf'))
  const retry = /class="failed" bindtap="\{\{m\.(\w+)\}\}"/.exec(app.wxml)[1]
  app.page[newest(app).fields[retry]](event('tap'))
  await until(() => newest(app).state === 'done', 'it is done')
})

test('a long press takes a message back', async () => {
  const app = open('pages/chat/chat')
  app.wx.chosen.image = [temporary('tmp_d.png', media('rgb.png'))]
  tap(app, 'image')
  await until(() => newest(app).state === 'done', 'it is done')
  const before = stored().length
  app.wx.tapped = '撤回'
  const press = /bindlongpress="\{\{m\.(\w+)\}\}"/.exec(app.wxml)[1]
  app.page[newest(app).fields[press]](event('longpress'))
  await until(() => stored().length === before - 1, 'the file is gone')
  assert.ok(uploads(app).includes('request /api/chat/uploadRecall'))
})

test('the plain page uploads with the code of the README', async () => {
  const app = open('pages/plain/plain')
  app.wx.chosen.image = [temporary('tmp_e.png', media('rgb.png'))]
  tap(app, 'pick')
  const [, said] = /class="said">\{\{(\w+)\}\}/.exec(app.wxml)
  await until(() => /\/images\/\d{8}\/.*\.png$/.test(app.page.data[said]), 'the URL is shown')
})
