// The page of the local server in Chromium, as a person uses it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { devices } from 'playwright-core'
import { ROOT, file, media, openPage, photo, screenshot, startChromium, startProgram, startProxy, throttle } from './support.mjs'

const AXE = readFileSync(`${ROOT}tests/page/node_modules/axe-core/axe.min.js`, 'utf8')
const DESKTOP = { viewport: { width: 1280, height: 900 } }

let browser, program, proxy, picture, page, context, errors

before(async () => {
  browser = await startChromium()
  program = await startProgram()
  proxy = await startProxy(program.port)
  picture = await photo(browser)
  ;({ page, context, errors } = await openPage(browser, { locale: 'zh-CN', ...DESKTOP, permissions: ['clipboard-read', 'clipboard-write', 'microphone'] }, `${proxy.address}/`))
})

after(async () => {
  await browser.close()
  proxy.end()
  program.end()
})

/** The newest item of the list. */
const newest = () => page.locator('#uploads > li').first()
const inState = (state, item = newest()) => item.and(page.locator(`[data-state=${state}]`)).waitFor()

/** A DataTransfer with one file, made in the page. */
const transfer = (name, type, buffer) =>
  page.evaluateHandle(([base64, name, type]) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt())], name, { type }))
    return transfer
  }, [buffer.toString('base64'), name, type])

async function accessible(what, on = page) {
  await on.evaluate(AXE)
  // A colour in transition has the contrast of neither end.
  await on.evaluate(() => Promise.allSettled(document.getAnimations().filter((it) => it instanceof CSSTransition).map((it) => it.finished)))
  const { violations } = await on.evaluate(() => axe.run())
  const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  assert.deepEqual(bad.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`), [], what)
}

const widthFits = (on) => on.evaluate(() => document.documentElement.scrollWidth <= innerWidth)

async function storedAs(item) {
  const url = await item.locator('a.url').getAttribute('href')
  return new URL(url).pathname.slice(1)
}

test('an empty page says what to do, and no file is sent before one is chosen', async () => {
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN')
  await page.getByText('把文件拖到这里').waitFor()
  assert.match(await page.locator('#curl').textContent(), /^curl -F img=@photo.jpg http:.*\/api\/chat\/uploadAliyun$/)
  await accessible('empty')
  await screenshot(page, 'empty')
  assert.deepEqual(program.stored(), [])
})

test('a chosen picture arrives, with its bubble, its URL and its answer', async () => {
  await page.setInputFiles('input#file', [file('夕阳.jpg', 'image/jpeg', picture)])
  await inState('done')
  const path = await storedAs(newest())
  assert.ok(program.read(path).equals(picture))
  const shown = newest().locator('.bubble img')
  await page.waitForFunction((image) => image.complete && image.naturalWidth === 1200, await shown.elementHandle())
  assert.equal(await shown.getAttribute('alt'), '夕阳.jpg')
  assert.match(await newest().locator('.answer pre').textContent(), /"mime": "image\/jpeg"/)
  assert.equal(await page.getByRole('status').textContent(), '夕阳.jpg：完成')
})

test('files are dropped and pasted', async () => {
  await page.dispatchEvent('#drop', 'drop', { dataTransfer: await transfer('dropped.pdf', 'application/pdf', media('page.pdf')) })
  await inState('done')
  assert.equal(await newest().locator('.bubble .paper b').textContent(), 'dropped.pdf')
  const data = await transfer('pasted.png', 'image/png', media('rgb.png'))
  await page.evaluate((clipboardData) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true })), data)
  await newest().getByText('pasted.png').first().waitFor()
  await inState('done')
})

test('several files at once keep their order, and each kind has its bubble', async () => {
  await page.setInputFiles('input#file', [
    file('clip.mp4', 'video/mp4', media('mp42-faststart.mp4')),
    file('voice.m4a', 'audio/mp4', media('voice.m4a')),
    file('季度报告（最终版）.docx', '', media('report.docx')),
    file('old.amr', 'audio/amr', media('amr-nb.amr')),
  ])
  const items = page.locator('#uploads > li')
  for (const [at, name, bubble] of [[0, 'clip.mp4', 'video'], [1, 'voice.m4a', 'button.voice'], [2, '季度报告（最终版）.docx', '.paper'], [3, 'old.amr', '.paper']]) {
    assert.equal(await items.nth(at).locator('.name').textContent(), name)
    await inState('done', items.nth(at))
    await items.nth(at).locator(`.bubble ${bubble}`).waitFor()
  }
  const play = items.nth(1).locator('button.voice')
  assert.match(await play.getAttribute('aria-label'), /播放语音 \d+ 秒/)
  await play.click()
})

test('a voice message is recorded and sent, or thrown away', async () => {
  const before = program.stored().length
  await page.getByRole('button', { name: '录音' }).click()
  await page.locator('#recording').waitFor()
  await screenshot(page, 'recording', false)
  await page.getByRole('button', { name: '丢弃' }).click()
  assert.equal(program.stored().length, before)
  await page.getByRole('button', { name: '录音' }).click()
  await page.locator('#clock').getByText('0:01').waitFor()
  await page.getByRole('button', { name: '发送' }).click()
  await newest().locator('.name').getByText('语音-').waitFor()
  await inState('done')
  const answer = JSON.parse(await newest().locator('.answer pre').textContent())
  assert.match(answer.name, /^语音-\d{6}\.(m4a|webm)$/)
  assert.match(answer.mime, /^audio\//)
  await newest().locator('.bubble button.voice').waitFor()
})

test('on a slow network progress grows, can be paused, resumed and cancelled, and draws its curve', async () => {
  const before = program.stored().length
  const end = await throttle(context, page, 300e3)
  await page.setInputFiles('input#file', [file('slow.jpg', 'image/jpeg', Buffer.concat([picture, Buffer.alloc(3e6)]))])
  await inState('sending')
  const bar = newest().getByRole('progressbar')
  const seen = []
  while (seen.length < 4) {
    const value = await bar.evaluate((bar) => bar.value)
    if (value > (seen.at(-1) ?? 0)) seen.push(value)
    await page.waitForTimeout(50)
  }
  assert.ok(seen.every((value) => value < 1e2), `${seen}`)
  await newest().getByText(/KB\/s/).waitFor()
  const drawn = await newest().locator('canvas').evaluate((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean))
  assert.ok(drawn)
  await screenshot(page, 'sending', false)
  await newest().getByRole('button', { name: '暂停' }).click()
  await newest().getByText('已暂停').waitFor()
  await inState('waiting')
  await accessible('paused')
  await newest().getByRole('button', { name: '继续' }).click()
  await inState('sending')
  await newest().getByRole('button', { name: '取消' }).click()
  await inState('aborted')
  await end()
  // An upload that was begun is undone a moment later.
  for (let tries = 0; program.stored().length > before && tries < 100; tries++) await page.waitForTimeout(50)
  assert.equal(program.stored().length, before)
  await newest().getByRole('button', { name: '重试' }).click()
  await inState('done')
})

test('a connection that breaks is tried again, and the file arrives whole', async () => {
  const large = Buffer.concat([picture, Buffer.alloc(6e6, 7)])
  // Chromium itself sends once more what breaks on a connection that had been used before.
  proxy.cut(2e6, 2)
  await page.setInputFiles('input#file', [file('cut.jpg', 'image/jpeg', large)])
  await inState('done')
  assert.equal(proxy.cuts, 2)
  await newest().locator('.facts').getByText('第 2 次尝试').waitFor()
  await newest().locator('.facts').getByText('直传').waitFor()
  assert.ok(program.read(await storedAs(newest())).equals(large))
})

test('without a network it waits for it', async () => {
  await context.setOffline(true)
  await page.setInputFiles('input#file', [file('offline.png', 'image/png', media('rgb.png'))])
  await newest().locator('.facts').getByText('network').waitFor()
  await context.setOffline(false)
  await inState('done')
})

test('the URL is copied and shown as a QR code', async () => {
  const url = await newest().locator('a.url').getAttribute('href')
  await newest().getByRole('button', { name: '复制地址' }).click()
  await newest().getByText('已复制').waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), url)
  await newest().getByRole('button', { name: '二维码' }).click()
  const code = page.getByRole('dialog').getByRole('img')
  await page.waitForFunction((image) => image.complete && image.naturalWidth > 0, await code.elementHandle())
  await accessible('dialog')
  await screenshot(page, 'qr', false)
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
})

test('a file is recalled while its time counts down', async () => {
  const path = await storedAs(newest())
  const url = await newest().locator('a.url').getAttribute('href')
  const recall = newest().getByRole('button', { name: '撤回' })
  const [, first] = /(\d:\d\d)/.exec(await recall.textContent())
  await page.waitForFunction(([button, first]) => !button.textContent.includes(first), [await recall.elementHandle(), first])
  await recall.click()
  await inState('recalled')
  await newest().getByText('你撤回了一条消息').waitFor()
  assert.ok(!program.stored().includes(path))
  // The browser's own copy may outlive the file, by the time that Cache-Control gives it.
  assert.equal(await page.evaluate(async (url) => (await fetch(url, { cache: 'no-store' })).status, url), 404)
})

test('a failure tells its code, its status, its request and its reason', async () => {
  await page.setInputFiles('input#file', [
    file('program.exe', 'application/octet-stream', Buffer.concat([Buffer.from('MZ\x90\0', 'latin1'), Buffer.alloc(4000, 0xfe)])),
    file('empty.png', 'image/png', Buffer.alloc(0)),
  ])
  for (const [at, code, status] of [[0, 'type_refused', 'HTTP 415'], [1, 'file_empty', 'HTTP 400']]) {
    const item = page.locator('#uploads > li').nth(at)
    await inState('failed', item)
    assert.equal(await item.locator('code.code').textContent(), code)
    assert.equal(await item.locator('.http').textContent(), status)
    assert.match(await item.locator('.request').textContent(), /[0-9a-f]{8}-[0-9a-f-]{27}/)
    assert.match(await item.locator('.text').textContent(), /^上传失败: /)
  }
  await accessible('everything')
  await screenshot(page, 'list')
})

test('every word is there in both languages, and the page changes over', async () => {
  const WORDS = await page.evaluate(async () => (await import('/_/words.js')).WORDS)
  assert.deepEqual(Object.keys(WORDS.zh).sort(), Object.keys(WORDS.en).sort())
  const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort().join()
  for (const key of Object.keys(WORDS.zh)) assert.equal(places(WORDS.zh[key]), places(WORDS.en[key]), key)
  await page.getByRole('button', { name: 'English' }).click()
  await page.getByText('Drop files here').waitFor()
  assert.equal(await page.locator('html').getAttribute('lang'), 'en')
  // Names are the sender's, and a reason is the server's.
  const left = await page.evaluate(() => {
    const body = document.body.cloneNode(true)
    for (const foreign of body.querySelectorAll('.name, .paper b, .text, pre, template, dialog')) foreign.remove()
    return body.textContent.match(/[\u4e00-\u9fff]+/g)
  })
  assert.deepEqual(left, ['中文'])
  await page.emulateMedia({ colorScheme: 'dark' })
  await accessible('dark')
  await screenshot(page, 'list-dark-en')
})

test('the keyboard reaches everything, and the focus is not lost', async () => {
  await page.locator('#language').focus()
  for (const wanted of ['file', 'record', 'SUMMARY', 'retry', 'remove']) {
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName), wanted)
  }
  const remove = newest().getByRole('button', { name: 'Remove' })
  await remove.focus()
  await page.keyboard.press('Enter')
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), 'BODY')
})

test('the policy holds: nothing inline runs, and nothing was refused by it', async () => {
  assert.deepEqual(errors, [])
  await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'window.ran = true'
    document.head.append(script)
  })
  assert.equal(await page.evaluate(() => window.ran), undefined)
  assert.ok(errors.some((text) => /Content Security Policy/.test(text)), `${errors}`)
})

test('a token is asked for where one is needed', async () => {
  const closed = await startProgram({ UPLOAD_JWT_SECRET: 'secret of check-page' })
  const { page: other, errors } = await openPage(browser, { locale: 'en-US', ...DESKTOP }, `${closed.address}/`)
  await other.setInputFiles('input#file', [file('a.png', 'image/png', media('rgb.png'))])
  await other.locator('li[data-state=failed] code.code').getByText('token_missing').waitFor()
  if (await other.locator('#settings').evaluate((settings) => !settings.open)) await other.getByText('Settings').click()
  await other.getByLabel('Token (JWT)').fill(process.env.CHECK_TOKEN)
  await other.getByRole('button', { name: 'Try again' }).click()
  await other.locator('li[data-state=done]').waitFor()
  assert.deepEqual(errors, [])
  await other.context().close()
  closed.end()
})

for (const [name, options] of [['phone', { ...devices['Pixel 7'], locale: 'zh-CN' }], ['narrow', { locale: 'en-US', viewport: { width: 320, height: 568 } }]]) {
  test(`it fits a screen: ${name}`, async () => {
    const { page: small, context, errors } = await openPage(browser, options, `${proxy.address}/`)
    assert.ok(await widthFits(small))
    assert.equal(await small.locator('input#camera').isVisible(), name === 'phone')
    await small.setInputFiles('input#file', [
      file('a-file-name-without-any-place-to-break-it-which-phones-and-screenshots-really-have.jpg', 'image/jpeg', picture),
      file('voice.m4a', 'audio/mp4', media('voice.m4a')),
      file('program.exe', '', Buffer.concat([Buffer.from('MZ\x90\0', 'latin1'), Buffer.alloc(4000, 0xfe)])),
    ])
    await small.locator('li[data-state=failed]').waitFor()
    await small.waitForFunction(() => document.querySelectorAll('li[data-state=done]').length === 2)
    for (const summary of await small.locator('summary:visible').all()) await summary.click()
    assert.ok(await widthFits(small))
    const low = await small.evaluate(() => [...document.querySelectorAll('button, .button, select')].filter((it) => it.offsetHeight && it.offsetHeight < 44).map((it) => it.outerHTML))
    assert.deepEqual(low, [])
    await accessible(name, small)
    // A page in full has no touch screen.
    await screenshot(small, name, name !== 'phone')
    assert.deepEqual(errors, [])
    await context.close()
  })
}
